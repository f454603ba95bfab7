"""How often the 95 % intervals hold the truth, on data whose truth is known.

``python -m coldbench.metrics.coverage`` prints the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from coldbench.metrics.feature_sets import FeatureSet
from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.influence import influence_estimates
from coldbench.metrics.intervals import GROUPS, Estimate, Grouped, estimate
from coldbench.metrics.kernel import kernel_estimates
from coldbench.metrics.manifold import precision_estimates, recall_estimates
from coldbench.metrics.metric import Mean
from coldbench.metrics.pairwise import as_set
from coldbench.metrics.pixelwise import SSIM, SquaredError

#: Simulated measurements a line.
DRAWS = 200
#: More of them, values alone, where the truth is a mean over measurements.
TRUTH_DRAWS = 1000
#: std of what a paired case adds to the features.
NOISE = 0.5
#: Share of the variance that the images of a run have in common.
SHARED = 0.25
#: What ends the names of metrics of restored images and their originals.
PAIRED = ", paired"
#: Seed of the images that generated ones are compared with, the same ones in every measurement.
_REFERENCE_SEED = 1

#: (case, generator, groups) -> one measurement.
Measure = Callable[["Case", torch.Generator, int], Estimate]
#: See ``metrics.feature_sets.set_estimates``.
SetEstimates = Callable[[Mapping[str, FeatureSet], Any], Mapping[str, Estimate]]


@dataclass(frozen=True)
class Case:
    """One kind of measurement.

    Attributes:
        metric: a key of ``MEASURES``.
        images: N.
        dimensions: d of the features; 0 where there are none.
        shift: distance of the two Gaussians' means.
        run: neighbours that have something in common, as digits by one writer do; 1 where no image is like another.
    """

    metric: str
    images: int
    dimensions: int = 0
    shift: float = 0.0
    run: int = 1


_SHARES = ("Precision", "Recall")
CASES = (
    Case("RMSE", 100),
    Case("RMSE", 1000),
    Case("SSIM", 100),
    Case("SSIM", 1000),
    *(Case("FD", images, dim, shift) for dim in (4, 16, 64) for images in (320, 1000, 5000) for shift in (1.0, 4.0)),
    *(Case("FD", 100, 128, shift) for shift in (1.0, 4.0)),  # fewer images than dimensions
    Case("FD", 200, 128, 1.0),
    Case("FD", 1000, 16, 0.0),
    *(Case("FD, paired", images, dim, 1.0) for dim in (4, 16, 64) for images in (320, 1000)),
    *(Case("FD, paired", images, 128, 1.0) for images in (100, 200)),
    # Runs of a twentieth of the images, as long as a group, and shorter ones; 10,000 images are MNIST's, and their runs
    # about as long as what one writer has in it.
    *(Case(metric, 1000, run=run) for metric in ("RMSE", "SSIM") for run in (50, 16)),
    *(Case(metric, 1000, 4, 1.0, run) for metric in ("FD", "FD, paired") for run in (50, 30, 16)),
    *(Case("FD", 1000, 16, 1.0, run) for run in (50, 16)),
    Case("FD, paired", 1000, 16, 1.0, 50),
    *(Case(metric, 10_000, 16, 1.0, run) for metric in ("FD", "FD, paired") for run in (100, 200)),
    # To first order, as where deleting groups is too dear; each has its line of FD above.
    *(
        Case(f"FD by influence{paired}", images, dim, 1.0, run)
        for paired in ("", PAIRED)
        for images, dim, run in (
            *((images, dim, 1) for dim in (16, 64) for images in (320, 1000)),
            *((images, 128, 1) for images in (100, 200)),
            (1000, 16, 50),
        )
    ),
    *(Case(f"KID{paired}", 1000, dim, 1.0) for paired in ("", PAIRED) for dim in (16, 64)),
    *(Case(f"KID{paired}", 1000, 16, 1.0, 50) for paired in ("", PAIRED)),
    *(Case(metric, 1000, dim, 1.0, run) for metric in _SHARES for dim, run in ((16, 1), (64, 1), (16, 50))),
    *(Case(f"{metric}{PAIRED}", 1000, dim, 1.0) for metric in _SHARES for dim in (4, 16)),
)


def coverage(case: Case, draws: int = DRAWS) -> dict[str, object]:
    """Simulate measurements of one kind, and count the intervals that hold the truth.

    Two truths for a Frechet distance: that of so many images, which is what a table states and the interval is for, and
    the closed form for infinitely many, which it approaches as N grows against d.
    """
    measure, generator = MEASURES[case.metric], torch.Generator().manual_seed(0)
    found = [measure(case, generator, GROUPS) for _ in range(draws)]
    at_n = fmean(measure(case, generator, 1).value for _ in range(TRUTH_DRAWS))
    limit = _limit(case)
    return {
        "Metric": case.metric,
        "d": case.dimensions or "",
        "N": case.images,
        "Run": case.run,
        "Truth at N": f"{at_n:.4g}",
        "Covered": f"{_share(found, at_n):.1%}",
        "Truth for N to infinity": "" if limit is None else f"{limit:.4g}",
        "Covered ": "" if limit is None else f"{_share(found, limit):.1%}",
    }


def _limit(case: Case) -> float | None:
    """The closed form for infinitely many images, of the RMSE and the Frechet distance."""
    if case.metric == "RMSE":
        return 1.0
    if not case.metric.startswith("FD"):
        return None
    spread = math.sqrt(1 + NOISE**2) - 1 if case.metric.endswith(PAIRED) else 0.0
    return case.shift**2 + case.dimensions * spread**2


def _rmse(case: Case, generator: torch.Generator, groups: int) -> Estimate:
    """Images of white noise of std 1, against black: the RMSE is 1."""
    grouped = Grouped(SquaredError, groups, case.images)
    noise = _normal(case, generator, 16).reshape(case.images, 1, 4, 4)
    grouped.update(range(case.images), noise, torch.zeros_like(noise))
    return estimate(SquaredError.result, grouped)


def _ssim(case: Case, generator: torch.Generator, groups: int) -> Estimate:
    """Images of white noise, each seen through more noise; its strength is the image's own, or that of its run."""
    grouped: Grouped[Mean] = Grouped(SSIM.accumulator, groups, case.images)
    noise, more = torch.rand(2, case.images, 1, 12, 12, generator=generator, dtype=torch.float64)
    strengths = torch.rand(math.ceil(case.images / case.run), 1, 1, 1, generator=generator)
    grouped.update(range(case.images), noise + _run_by_run(case, strengths) * more, noise)
    return estimate(SSIM.result, grouped)


def _paired(case: Case, generator: torch.Generator, groups: int) -> Estimate:
    ours, originals = (Grouped(FeatureStatistics, groups, case.images) for _ in range(2))
    for grouped, features in zip((ours, originals), _pairs(case, generator), strict=True):
        grouped.update(range(case.images), features)
    return estimate(frechet_distance, ours, originals)


def _paired_sets(estimates: SetEstimates) -> Measure:
    def measure(case: Case, generator: torch.Generator, groups: int) -> Estimate:
        ours, originals = (_feature_set(features, groups) for features in _pairs(case, generator))
        return estimates({case.metric: ours}, originals)[case.metric]

    return measure


def _pairs(case: Case, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Tables 1-4: the features of restored images, moved by ``shift`` and noisier, and those of their originals."""
    features = normal_features(case, generator)
    noise = torch.randn(case.images, case.dimensions, generator=generator, dtype=torch.float64)
    return features + NOISE * noise, features - _shift(case)


def _frechet(case: Case, generator: torch.Generator, groups: int) -> Estimate:
    """Standard normal features moved by ``shift``, against the standard normal itself: the distance is shift^2."""
    grouped = Grouped(FeatureStatistics, groups, case.images)
    grouped.update(range(case.images), normal_features(case, generator))
    return estimate(frechet_to_normal, grouped)


def frechet_to_normal(features: FeatureStatistics) -> float:
    """The Frechet distance from the standard normal distribution itself."""
    return frechet_distance(features, _standard_normal(len(features.mean)))


def _sets(estimates: SetEstimates, against: Callable[[Case], Any]) -> Measure:
    """Table 5: normal features moved by ``shift``, against what is the same in every measurement."""

    def measure(case: Case, generator: torch.Generator, groups: int) -> Estimate:
        ours = _feature_set(normal_features(case, generator), groups)
        return estimates({case.metric: ours}, against(case))[case.metric]

    return measure


def _standard_normal(dimensions: int) -> FeatureStatistics:
    return FeatureStatistics.of(torch.zeros(dimensions), torch.eye(dimensions))


def _training_images(case: Case) -> FeatureSet:
    """As many standard normal features as there are images."""
    generator = torch.Generator().manual_seed(_REFERENCE_SEED)
    return as_set(torch.randn(case.images, case.dimensions, generator=generator))


def _feature_set(features: Tensor, groups: int) -> FeatureSet:
    return FeatureSet(features.float().numpy(), groups=groups)


def normal_features(case: Case, generator: torch.Generator) -> Tensor:
    """Normal features (N, d) of covariance 1, moved by the case's shift."""
    return _normal(case, generator, case.dimensions) + _shift(case)


def _normal(case: Case, generator: torch.Generator, dimensions: int) -> Tensor:
    """Standard normal numbers (N, d); those of a run have the share ``SHARED`` of their variance in common."""
    own = torch.randn(case.images, dimensions, generator=generator, dtype=torch.float64)
    if case.run == 1:
        return own
    runs = torch.randn(math.ceil(case.images / case.run), dimensions, generator=generator, dtype=torch.float64)
    return math.sqrt(1 - SHARED) * own + math.sqrt(SHARED) * _run_by_run(case, runs)


def _run_by_run(case: Case, values: Tensor) -> Tensor:
    """What each image has of its run: (R, ...) -> (N, ...)."""
    return values.repeat_interleave(case.run, dim=0)[: case.images]


def _shift(case: Case) -> Tensor:
    shift = torch.zeros(case.dimensions).double()
    shift[0] = case.shift
    return shift


def _share(found: Sequence[Estimate], truth: float) -> float:
    intervals = [estimate.interval() or (math.nan, math.nan) for estimate in found]
    return sum(low <= truth <= high for low, high in intervals) / len(found)


MEASURES: dict[str, Measure] = {
    "RMSE": _rmse,
    "SSIM": _ssim,
    "FD": _frechet,
    f"FD{PAIRED}": _paired,
    "FD by influence": _sets(influence_estimates, lambda case: _standard_normal(case.dimensions)),
    f"FD by influence{PAIRED}": _paired_sets(influence_estimates),
    "KID": _sets(kernel_estimates, _training_images),
    f"KID{PAIRED}": _paired_sets(kernel_estimates),
    "Precision": _sets(precision_estimates, _training_images),
    f"Precision{PAIRED}": _paired_sets(precision_estimates),
    "Recall": _sets(recall_estimates, _training_images),
    f"Recall{PAIRED}": _paired_sets(recall_estimates),
}


def main() -> None:
    """Print the table, as Markdown."""
    torch.set_num_threads(1)  # the matrices are small: more threads would wait for one another
    frame = pd.DataFrame([coverage(case) for case in CASES])
    print(frame.to_markdown(index=False, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
