"""What metrics of all pairs of images share: features as they are, cut into runs of neighbours, and replicates of them.

Whatever is summed or kept of a pair of images belongs to the pair of their groups (see ``metrics.intervals``), so that
deleting a group deletes what belongs to it, and all replicates follow from one pass over the pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from coldbench.metrics.feature_sets import FeatureSet
from coldbench.metrics.intervals import FEWEST, Estimate

#: With fewer images than this, a number of all their pairs is hardly one of their distributions.
FEW = 1000
#: Images of a run at most: of two runs, all pairs are held at a time, 2 MiB in float64.
_LONGEST = 512


class Features:
    """Accumulates the features themselves, float32 (N, d)."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []

    @property
    def count(self) -> int:
        """Images seen."""
        return sum(map(len, self.parts))

    def update(self, features: Tensor) -> None:
        """Take in the features (B, d) of a batch."""
        self.parts.append(features.float().cpu())

    def merge(self, other: Self) -> None:
        """Take in what another accumulator has seen."""
        self.parts += other.parts

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` takes up."""
        return {"features": self.all()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.parts = [state["features"]] if len(state["features"]) else []

    def all(self) -> Tensor:
        """float32 (N, d)."""
        return torch.cat(self.parts) if self.parts else torch.zeros(0, 0)


@dataclass(frozen=True)
class Run:
    """Neighbouring images of one group.

    Attributes:
        group: 0 to G - 1, or G for images that are part of every replicate.
        images: their positions in the set; zero features come last.
    """

    group: int
    images: slice


#: A run and its features, float64 (B, d).
Read = tuple[Run, Tensor]


def as_set(features: FeatureSet | Features | Tensor) -> FeatureSet:
    """The features of an accumulator, or of a few images, as a set without groups: G is 0, and nothing is deleted."""
    if isinstance(features, FeatureSet):
        return features
    rows = features.all() if isinstance(features, Features) else features
    return FeatureSet(rows.float().cpu().numpy(), groups=0)


def alike(features: Tensor, against: Tensor | Features) -> tuple[FeatureSet, FeatureSet]:
    """A few features (n, d) and equally many of what they are compared with, the first, as other people's code wants.

    Args:
        features: (n, d).
        against: other features, or the accumulator of many.
    """
    other = against.all() if isinstance(against, Features) else against
    size = min(len(features), len(other))
    return as_set(features[:size]), as_set(other[:size])


def group_numbers(features: FeatureSet) -> Tensor:
    """The group of every image, (N,); G for zero features."""
    return torch.cat((features.group_numbers(), torch.full((features.zeros,), features.groups))).long()


def remaining(groups: Tensor, fixed: int, without: int | None) -> Tensor:
    """Which of these groups a replicate keeps; without None, all.

    Args:
        groups: their numbers.
        fixed: G, the number of those that are part of every replicate.
        without: the group that is left out.
    """
    return torch.ones_like(groups, dtype=torch.bool) if without is None else (groups == fixed) | (groups != without)


def within(features: FeatureSet) -> Iterator[tuple[Read, Read]]:
    """Every two runs of a set once, each run with itself among them."""
    runs = _runs(features)
    for number, first in enumerate(runs):
        a = _read(features, first)
        for second in runs[number:]:
            yield (first, a), (second, a if second is first else _read(features, second))


def between(a: FeatureSet, b: FeatureSet) -> Iterator[tuple[Read, Read]]:
    """Every run of one set with every run of the other."""
    others = _runs(b)
    for first in _runs(a):
        read = _read(a, first)
        for second in others:
            yield (first, read), (second, _read(b, second))


def _runs(features: FeatureSet) -> list[Run]:
    found, start = [], 0
    for group, members in groupby(group_numbers(features).tolist()):
        stop = start + sum(1 for _ in members)
        cuts = range(start, stop, _LONGEST)
        found += [Run(group, slice(first, min(first + _LONGEST, stop))) for first in cuts]
        start = stop
    return found


def _read(features: FeatureSet, run: Run) -> Tensor:
    images, there = run.images, len(features.rows)
    if images.start >= there:  # zero features are a group of their own
        return torch.zeros(images.stop - images.start, features.dimensions, dtype=torch.float64)
    return torch.from_numpy(np.array(features.rows[images], dtype=np.float64))


def replicates(features: FeatureSet) -> list[int | None]:
    """What a number and its replicates leave out: nothing, then each group, if they are enough for an interval."""
    filled = features.group_numbers().unique().tolist() if features.groups else []
    return [None, *(filled if len(filled) >= FEWEST else [])]


def estimate_of(numbers: Iterable[float]) -> Estimate:
    """From a number and those without each group."""
    value, *others = numbers
    return Estimate(value, tuple(others))
