"""How often the 95 % intervals hold the truth, on data whose truth is known.

``python -m coldbench.metrics.coverage`` prints the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd
import torch
from torch import Tensor

from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.intervals import GROUPS, Estimate, Grouped, estimate
from coldbench.metrics.metric import Mean
from coldbench.metrics.pixelwise import SSIM, SquaredError

#: Simulated measurements a line.
DRAWS = 400
#: More of them, values alone, where the truth is a mean over measurements.
TRUTH_DRAWS = 2000
#: std of what a paired case adds to the features.
NOISE = 0.5


@dataclass(frozen=True)
class Case:
    """One kind of measurement.

    Attributes:
        metric: a key of ``MEASURES``.
        images: N.
        dimensions: d of the features; 0 where there are none.
        shift: distance of the two Gaussians' means.
    """

    metric: str
    images: int
    dimensions: int = 0
    shift: float = 0.0


CASES = (
    Case("RMSE", 100),
    Case("RMSE", 1000),
    Case("SSIM", 100),
    Case("SSIM", 1000),
    *(Case("FD", images, dim, shift) for dim in (4, 16, 64) for images in (320, 1000, 5000) for shift in (1.0, 4.0)),
    *(Case("FD", 100, 128, shift) for shift in (1.0, 4.0)),  # fewer images than dimensions
    Case("FD", 1000, 16, 0.0),
    *(Case("FD, paired", images, dim, 1.0) for dim in (4, 16, 64) for images in (320, 1000)),
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
        "Truth at N": f"{at_n:.4g}",
        "Covered": f"{_share(found, at_n):.1%}",
        "Truth for N to infinity": "" if limit is None else f"{limit:.4g}",
        "Covered ": "" if limit is None else f"{_share(found, limit):.1%}",
    }


def _limit(case: Case) -> float | None:
    """The closed form for infinitely many images; SSIM has none."""
    if case.metric == "SSIM":
        return None
    if case.metric == "RMSE":
        return 1.0
    spread = math.sqrt(1 + NOISE**2) - 1 if case.metric == "FD, paired" else 0.0
    return case.shift**2 + case.dimensions * spread**2


def _rmse(case: Case, generator: torch.Generator, groups: int) -> Estimate:
    """Images of white noise of std 1, against black: the RMSE is 1."""
    grouped = Grouped(SquaredError, groups, case.images)
    noise = torch.randn(case.images, 1, 4, 4, generator=generator, dtype=torch.float64)
    grouped.update(range(case.images), noise, torch.zeros_like(noise))
    return estimate(SquaredError.result, grouped)


def _ssim(case: Case, generator: torch.Generator, groups: int) -> Estimate:
    """Images of white noise, each seen through more noise of a strength of its own."""
    grouped: Grouped[Mean] = Grouped(SSIM.accumulator, groups, case.images)
    noise, more = torch.rand(2, case.images, 1, 12, 12, generator=generator, dtype=torch.float64)
    grouped.update(range(case.images), noise + torch.rand(case.images, 1, 1, 1, generator=generator) * more, noise)
    return estimate(SSIM.result, grouped)


def _paired(case: Case, generator: torch.Generator, groups: int) -> Estimate:
    """Tables 1-4: the features of restored images, moved by ``shift`` and noisier, against those of their originals."""
    ours, originals = (Grouped(FeatureStatistics, groups, case.images) for _ in range(2))
    features = _features(case, generator)
    noise = torch.randn(case.images, case.dimensions, generator=generator, dtype=torch.float64)
    ours.update(range(case.images), features + NOISE * noise)
    originals.update(range(case.images), features - _shift(case))
    return estimate(frechet_distance, ours, originals)


def _frechet(case: Case, generator: torch.Generator, groups: int) -> Estimate:
    """Standard normal features moved by ``shift``, against the standard normal itself: the distance is shift^2."""
    grouped = Grouped(FeatureStatistics, groups, case.images)
    grouped.update(range(case.images), _features(case, generator))
    population = FeatureStatistics()
    population.count, population.mean = 2, torch.zeros(case.dimensions).double()
    population.scatter = torch.eye(case.dimensions).double()
    return estimate(lambda ours: frechet_distance(ours, population), grouped)


def _features(case: Case, generator: torch.Generator) -> Tensor:
    return torch.randn(case.images, case.dimensions, generator=generator, dtype=torch.float64) + _shift(case)


def _shift(case: Case) -> Tensor:
    shift = torch.zeros(case.dimensions).double()
    shift[0] = case.shift
    return shift


def _share(found: Sequence[Estimate], truth: float) -> float:
    intervals = [estimate.interval() or (math.nan, math.nan) for estimate in found]
    return sum(low <= truth <= high for low, high in intervals) / len(found)


#: (case, generator, groups) -> one measurement.
MEASURES = {"RMSE": _rmse, "SSIM": _ssim, "FD": _frechet, "FD, paired": _paired}


def main() -> None:
    """Print the table, as Markdown."""
    frame = pd.DataFrame([coverage(case) for case in CASES])
    print(frame.to_markdown(index=False, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
