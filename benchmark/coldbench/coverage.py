"""How often the 95 % intervals hold the truth, on data whose truth is known: ``python -m coldbench.coverage``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd
import torch
from torch import Tensor

from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.jackknife import GROUPS, Estimate, Grouped, estimate
from coldbench.metrics.pixelwise import RMSE

#: Simulated measurements a line.
DRAWS = 400
#: More of them, values alone, where the truth is a mean over measurements.
TRUTH_DRAWS = 2000


@dataclass(frozen=True)
class Case:
    """One kind of measurement.

    Attributes:
        metric: its name.
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
    *(Case("FD", images, dim, shift) for dim in (4, 16, 64) for images in (320, 1000, 5000) for shift in (1.0, 4.0)),
    Case("FD", 1000, 16, 0.0),
)


def coverage(case: Case, generator: torch.Generator, draws: int = DRAWS) -> dict[str, object]:
    """Simulate measurements of one kind, and count the intervals that hold the truth.

    Two truths for a Frechet distance: that of so many images, which is what a table states and the interval is for, and
    the closed form for infinitely many, which it approaches as N grows against d.
    """
    measure = _rmse if case.metric == "RMSE" else _frechet
    found = [measure(case, generator, GROUPS) for _ in range(draws)]
    limit = 1.0 if case.metric == "RMSE" else case.shift**2
    at_n = limit if case.metric == "RMSE" else fmean(measure(case, generator, 1).value for _ in range(TRUTH_DRAWS))
    return {
        "Metric": case.metric,
        "d": case.dimensions or "",
        "N": case.images,
        "Truth at N": f"{at_n:.4g}",
        "Covered": f"{_share(found, at_n):.1%}",
        "Truth for N to infinity": f"{limit:.4g}",
        "Covered ": f"{_share(found, limit):.1%}",
    }


def _rmse(case: Case, generator: torch.Generator, groups: int) -> Estimate:
    """Images of white noise of std 1, against black: the RMSE is 1."""
    grouped = Grouped(RMSE, groups, case.images)
    noise = torch.randn(case.images, 1, 4, 4, generator=generator, dtype=torch.float64)
    grouped.update(range(case.images), noise, torch.zeros_like(noise))
    return estimate(RMSE.result, grouped)


def _frechet(case: Case, generator: torch.Generator, groups: int) -> Estimate:
    """Standard normal features moved by ``shift``, against the standard normal itself: the distance is shift^2."""
    grouped = Grouped(FeatureStatistics, groups, case.images)
    grouped.update(range(case.images), _features(case, generator))
    population = FeatureStatistics()
    population.count, population.mean = 2, torch.zeros(case.dimensions).double()
    population.scatter = torch.eye(case.dimensions).double()
    return estimate(lambda ours: frechet_distance(ours, population), grouped)


def _features(case: Case, generator: torch.Generator) -> Tensor:
    shift = torch.zeros(case.dimensions).double()
    shift[0] = case.shift
    return torch.randn(case.images, case.dimensions, generator=generator, dtype=torch.float64) + shift


def _share(found: Sequence[Estimate], truth: float) -> float:
    intervals = [estimate.interval() or (math.nan, math.nan) for estimate in found]
    return sum(low <= truth <= high for low, high in intervals) / len(found)


def main() -> None:
    """Print the table, as Markdown."""
    generator = torch.Generator().manual_seed(0)
    frame = pd.DataFrame([coverage(case, generator) for case in CASES])
    print(frame.to_markdown(index=False, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
