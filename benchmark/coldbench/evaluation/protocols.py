"""The two named protocols: the paper's, and the released code's with the quirks that move numbers (PROTOCOL 6.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from coldbench.core.errors import BadInput
from coldbench.diffusion.catalog import Entry
from coldbench.diffusion.sampling import Step, improved_step, naive_step, shifted_naive_step, shifted_step

NAMES = ("paper", "released")
_TRANSFORM = "transform="


@dataclass(frozen=True)
class Protocol:
    """What a reconstruction table scores; the defaults are Algorithms 1 and 2 as printed.

    Attributes:
        name: as stored with every number.
        late_degraded: Degraded is x_{T-1}, the image after one update, instead of x_T.
        early_sampled: Sampled is the last prediction R(x_1) instead of x_0.
        step: how Sampled goes from x_s to x_{s-1}.
        naive: how Algorithm 1 does.
        skipped: images dropped at the start of the data set.
        feature_batch: features are computed in batches of this size; the images that do not fill the last one count as
            zero features. None: every image counts as it is.
        settings: of the degradation, in the place of the registry's.
        transform: of the images, in the place of the registry's; None leaves that.
    """

    name: str
    late_degraded: bool = False
    early_sampled: bool = False
    step: Step = improved_step
    naive: Step = naive_step
    skipped: int = 0
    feature_batch: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    transform: str | None = None

    def involves_network(self, method: str) -> bool:
        """Whether a network has a part in what this method shows."""
        return method != "degraded" or self.late_degraded

    def zero_features(self, images: int) -> int:
        """How many zero vectors stand in for images that the feature batches leave over."""
        return images % self.feature_batch if self.feature_batch else 0


_RELEASED = Protocol("released", skipped=1, feature_batch=50)

#: The released evaluation of each degradation family.
RELEASED = {
    "blur": _RELEASED,
    "inpaint": replace(_RELEASED, late_degraded=True, early_sampled=True, settings={"centre_outside": True}),
    "superres": replace(_RELEASED, early_sampled=True),
    "snow": replace(
        _RELEASED,
        late_degraded=True,
        early_sampled=True,
        step=shifted_step,
        naive=shifted_naive_step,
        settings={"images_per_field": 16},
    ),
}


#: Rows whose images the released evaluation crops and flips at random (PROTOCOL 5.4, 6.1).
_CROPPED_AT_RANDOM = frozenset({("celeba", "inpaint"), ("celeba", "superres")})


def find_protocol(name: str, entry: Entry) -> Protocol:
    """The protocol of this name for what a checkpoint restores.

    Raises:
        BadInput: unknown name, or a degradation that the released code does not evaluate.
    """
    if name not in NAMES:
        raise BadInput(f"unknown protocol '{name}'; known: {', '.join(NAMES)}")
    if name == "paper":
        return Protocol("paper")
    family = entry.degradation["name"]
    if family not in RELEASED:
        raise BadInput(f"the released code has no evaluation of '{family}': use --protocol paper")
    cropped = (entry.dataset, family) in _CROPPED_AT_RANDOM
    return replace(RELEASED[family], transform="zoom-random") if cropped else RELEASED[family]


def stored_name(protocol: str, transform: str, settings: Sequence[str]) -> str:
    """The protocol as stored with a number: with everything that makes this measurement another one.

    Args:
        protocol: its own name.
        transform: of the images; ``native`` goes without saying.
        settings: of the degradation, as ``key=value``, that a command changed.
    """
    return "+".join([protocol, *([] if transform == "native" else [f"{_TRANSFORM}{transform}"]), *settings])


def parse_name(stored: str) -> tuple[str, str | None, tuple[str, ...]]:
    """What ``stored_name`` was given: protocol, transform (None where it went without saying), settings."""
    protocol, *changes = stored.split("+")
    transforms = [change.removeprefix(_TRANSFORM) for change in changes if change.startswith(_TRANSFORM)]
    settings = tuple(change for change in changes if not change.startswith(_TRANSFORM))
    return protocol, transforms[0] if transforms else None, settings
