"""What a metric is, and the registry of metrics.

A metric is an accumulator and a result, and everything that those who print, check and compare it must know. Nothing
outside of this package names one: a new metric is one ``Metric`` and one line of ``METRICS``, or an entry point of the
group ``coldbench.metrics``, or ``module:attribute``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from coldbench.core.errors import BadInput
from coldbench.core.registry import Registry
from coldbench.metrics.features import FID_FEATURES

if TYPE_CHECKING:  # names are listed without waiting for torch
    from torch import Tensor

    from coldbench.metrics.feature_sets import FeatureSet
    from coldbench.metrics.intervals import Estimate

METRICS = Registry(
    "metric",
    {
        "FID": "coldbench.metrics.fid:FID",
        "KID": "coldbench.metrics.kernel:KID",
        "Precision": "coldbench.metrics.manifold:PRECISION",
        "Recall": "coldbench.metrics.manifold:RECALL",
        "SSIM": "coldbench.metrics.pixelwise:SSIM",
        "RMSE": "coldbench.metrics.pixelwise:RMSE",
        "PSNR": "coldbench.metrics.pixelwise:PSNR",
        "LPIPS": "coldbench.metrics.perceptual:LPIPS",
    },
)

#: Tolerances of a metric that states none, relative to its value: as wide as those of a Frechet distance. An H200 was
#: at most 3.0e-4 from the CPU's references of 100 images (perfect symmetry), and 4.0e-5 but for that one.
_RELATIVE = {"float32 cpu": 1e-3, "float32 gpu": 1e-3, "bfloat16 cpu": 3e-2, "bfloat16 gpu": 3e-2}


class Accumulator(Protocol):
    """What a metric sees, batch by batch.

    ``count`` is the number of images seen; ``merge`` takes in what another accumulator has seen, so that intervals,
    resuming and several processes need nothing else. The state holds tensors, numbers and strings.
    """

    count: int

    @property
    def update(self) -> Callable[..., None]: ...

    def merge(self, other: Self, /) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> None: ...


def _no_warning(images: int, space: str, dimensions: int) -> str:
    return ""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric.

    Attributes:
        name: as it is asked for and printed.
        accumulator: makes a new, empty accumulator.
        result: the number, from one accumulator (pairs), or from that of the images and that of what they are compared
            with (features).
        reads: ``pairs``: ``update`` takes restored images and their originals, each (B, C, H, W) in [0, 1], unclamped;
            ``features``: it takes the features (B, d) of one set of images.
        better: whether a ``higher`` or a ``lower`` number is better.
        elsewhere: its name in feature spaces other than that of the FID, before the name of the space.
        decimals: printed.
        tolerances: how far a number may be from a stored one, by dtype and class of device, e.g. ``float32 cpu``.
        relative: whether a tolerance bounds ``|new - stored| / max(|stored|, h)`` instead of ``|new - stored|``; h is
            half the width of the stored interval.
        estimates: of features, a cheaper way to the numbers of several sets and their replicates than one accumulator a
            group: from name -> ``FeatureSet`` and what they are compared with; see ``feature_sets.set_estimates``.
        reference: another implementation's number of a few images, from what ``update`` takes; None if there is none.
        audit: the deviation from another implementation on a few images, where it is more than the difference from
            ``reference``: from images and originals (pairs), or from features (n, d) and either features or an
            accumulator of many.
        audit_tolerance: the largest deviation that passes.
        smallest: the smallest side of the images that it can read, in pixels.
        ready: raises ``Missing`` where something that it needs is not at hand.
        warning: (N, feature space, its dimensions) -> what speaks against trusting the number, or nothing.
    """

    name: str
    accumulator: Callable[[], Any]
    result: Callable[..., float]
    better: Literal["higher", "lower"]
    reads: Literal["pairs", "features"] = "pairs"
    elsewhere: str = ""
    decimals: int = 4
    tolerances: Mapping[str, float] = field(default_factory=lambda: dict(_RELATIVE))
    relative: bool = True
    estimates: Callable[[Mapping[str, FeatureSet], Any], Mapping[str, Estimate]] | None = None
    reference: Callable[[Tensor, Any], float] | None = None
    audit: Callable[[Tensor, Any], float] | None = None
    audit_tolerance: float = 1e-6
    smallest: int = 1
    ready: Callable[[], object] = lambda: None
    warning: Callable[[int, str, int], str] = _no_warning

    def __post_init__(self) -> None:
        if not self.name or self.decimals < 0:
            raise BadInput(f"a metric needs a name, and decimals of at least 0: '{self.name}', {self.decimals}")
        if self.better not in ("higher", "lower") or self.reads not in ("pairs", "features"):
            raise BadInput(
                f"metric {self.name}: better is higher or lower, not {self.better}; reads is pairs or features, "
                f"not {self.reads}"
            )
        # Every arithmetic has a tolerance, so that every record can be compared.
        object.__setattr__(self, "tolerances", {**_RELATIVE, **self.tolerances})

    def label(self, features: str = "") -> str:
        """As tables print it: in any feature space but that of the FID, it carries the name of the space."""
        if self.reads == "pairs" or features == FID_FEATURES:
            return self.name
        return f"{self.elsewhere or self.name}[{features}]"

    def deviation(self, images: Tensor, against: Any) -> float | None:
        """How far the number of a few images is from the other implementation's; None where there is none.

        Args:
            images: a few restored images, or their features.
            against: their originals, or the features or the accumulator of what they are compared with.
        """
        if self.audit is not None:
            return self.audit(images, against)
        if self.reference is None:
            return None
        seen = self.accumulator()
        seen.update(images, against)
        ours, theirs = self.result(seen), self.reference(images, against)
        return 0.0 if ours == theirs else abs(ours - theirs)  # both may be infinite


class Mean:
    """Accumulates the mean over images of a number that each image has.

    Args:
        per_image: restored images and originals, (B, C, H, W) each in [0, 1] -> (B,).
    """

    def __init__(self, per_image: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.per_image = per_image
        self.total, self.count = 0.0, 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in a batch of images.

        Raises:
            BadInput: the function gives something else than one number an image.
        """
        numbers = self.per_image(prediction, target)
        shape = getattr(numbers, "shape", None)
        if shape != (len(target),):
            found = type(numbers).__name__ if shape is None else f"shape {tuple(shape)}"
            raise BadInput(f"it must give one number an image, shape ({len(target)},), not {found}")
        self.total += float(numbers.double().sum())
        self.count += len(target)

    def merge(self, other: Self) -> None:
        """Take in what another accumulator has seen."""
        self.total += other.total
        self.count += other.count

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` takes up."""
        return {"total": self.total, "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.total, self.count = state["total"], state["count"]

    def result(self) -> float:
        """The mean; NaN before the first image."""
        return self.total / self.count if self.count else math.nan


def mean_over_images(
    name: str, per_image: Callable[[Tensor, Tensor], Tensor], *, better: Literal["higher", "lower"], **facts: Any
) -> Metric:
    """The metric that is a mean over images.

    Args:
        name: as it is asked for and printed.
        per_image: restored images and originals, (B, C, H, W) each in [0, 1], unclamped -> (B,).
        better: see ``Metric``.
        facts: other attributes of ``Metric``.
    """
    return Metric(name=name, accumulator=partial(Mean, per_image), result=Mean.result, better=better, **facts)


def find_metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of these names, whatever the case of their letters, each once.

    Raises:
        BadInput: an unknown name, something that is no metric, or two metrics of one name.
    """
    found: dict[str, Metric] = {}
    for name in dict.fromkeys(map(METRICS.key, names)):
        metric = METRICS[name]
        if not isinstance(metric, Metric):
            raise BadInput(f"metric '{name}' is {type(metric).__name__}, not a coldbench.Metric")
        if METRICS.is_builtin(metric.name) and not METRICS.is_builtin(name):
            raise BadInput(f"metric '{name}' is called {metric.name}, which is another metric: give it another name")
        if metric.name in found:
            raise BadInput(f"two metrics are called {metric.name}")
        found[metric.name] = metric
    return tuple(found.values())
