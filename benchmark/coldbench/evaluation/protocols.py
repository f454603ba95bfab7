"""The two named protocols: the paper's, and the released code's with the quirks that move numbers (PROTOCOL 6.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.core.steps import split_steps
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.samplers import Noise, Sample, Sampler, find_sampler
from coldbench.diffusion.sampling import (
    Restore,
    Step,
    improved_step,
    sample,
    shifted_naive_step,
    shifted_step,
)
from coldbench.evaluation import PROTOCOLS


@dataclass(frozen=True)
class Protocol:
    """What a reconstruction table scores; the defaults are Algorithms 1 and 2 as printed.

    Attributes:
        name: as stored with every number.
        samplers: methods that are something else than what their names say elsewhere.
        skipped: images dropped at the start of the data set.
        feature_batch: features are computed in batches of this size; the images that do not fill the last one count as
            zero features. None: every image counts as it is.
        settings: of the degradation, in the place of the checkpoint's.
        transform: of the images, in the place of the checkpoint's; None leaves that.
    """

    name: str
    samplers: Mapping[str, Sampler] = field(default_factory=dict)
    skipped: int = 0
    feature_batch: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    transform: str | None = None

    def sampler(self, method: str) -> Sampler:
        """What a method is under this protocol.

        Raises:
            BadInput: there is no such method, or not with so few steps.
        """
        name, steps = split_steps(method)
        if steps is not None and name in self.samplers:
            raise BadInput(f"the released code takes every step of {name}: {method} needs --protocol paper")
        return self.samplers.get(method) or find_sampler(method)

    def zero_features(self, images: int) -> int:
        """How many zero vectors stand in for images that the feature batches leave over."""
        return images % self.feature_batch if self.feature_batch else 0


def _first_update(step: Step) -> Sample:
    """x_{T-1}: what the released code scores as Degraded in Tables 2 and 4."""

    def sampled(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, n: Noise) -> Tensor:
        T = degradation.timesteps
        return step(degradation, x_T, restore(x_T, T), T, degradation.expand(context))

    return sampled


def _last_prediction(step: Step) -> Sample:
    """R(x_1, 1): what the released code scores as Sampled in Tables 2-4."""

    def sampled(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, n: Noise) -> Tensor:
        return sample(restore, degradation, x_T, context, step).last_prediction

    return sampled


def _last_state(step: Step) -> Sample:
    """x_0 by other steps than the paper's."""

    def sampled(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, n: Noise) -> Tensor:
        return sample(restore, degradation, x_T, context, step).sampled

    return sampled


_EARLY = {name: Sampler(_last_prediction(improved_step)) for name in ("sampled", "improved")}
_SHIFTED = {name: Sampler(_last_prediction(shifted_step)) for name in ("sampled", "improved")}
_RELEASED = Protocol("released", skipped=1, feature_batch=50)

#: The released evaluation of each family of degradations.
RELEASED = {
    "blur": _RELEASED,
    "inpaint": replace(
        _RELEASED,
        samplers={"degraded": Sampler(_first_update(improved_step)), **_EARLY},
        settings={"centre_outside": True},
    ),
    "superres": replace(_RELEASED, samplers=_EARLY),
    "snow": replace(
        _RELEASED,
        samplers={
            "degraded": Sampler(_first_update(shifted_step)),
            "naive": Sampler(_last_state(shifted_naive_step)),
            **_SHIFTED,
        },
        settings={"images_per_field": 16},
    ),
}

#: Rows whose images the released evaluation crops and flips at random (PROTOCOL 5.4, 6.1).
_CROPPED_AT_RANDOM = frozenset({("celeba", "inpaint"), ("celeba", "superres")})


def find_protocol(name: str, family: str, dataset: str) -> Protocol:
    """The protocol of this name for what restores a family of degradations.

    Args:
        name: in ``PROTOCOLS``.
        family: a name in ``DEGRADATIONS``.
        dataset: of the images; the released code treats some rows of CelebA apart.

    Raises:
        BadInput: an unknown name, or a degradation that the released code does not evaluate.
    """
    if name not in PROTOCOLS:
        raise BadInput(f"unknown protocol '{name}'; known: {', '.join(PROTOCOLS)}")
    if name == "paper":
        return Protocol("paper")
    if family not in RELEASED:
        raise BadInput(f"the released code has no evaluation of '{family}': use --protocol paper")
    cropped = (dataset, family) in _CROPPED_AT_RANDOM
    return replace(RELEASED[family], transform="zoom-random") if cropped else RELEASED[family]
