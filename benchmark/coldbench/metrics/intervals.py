"""Confidence intervals by the delete-a-group jackknife, for any metric made of mergeable accumulators.

The images are cut into groups of neighbours; the metric is taken once on all of them and once without each group, and
the spread of those replicates is the metric's standard error (J. Tukey 1958; P. Kott 2001). It needs no formula for the
metric, so it serves the Frechet distance as well as a mean, and the difference of two methods on the same images:
there, what both methods share cancels in every replicate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, TypeVar

from scipy.special import stdtrit
from torch import Tensor

from coldbench.metrics.metric import Accumulator

#: Groups of a measurement with intervals.
GROUPS = 20
#: With fewer groups than this no interval is given.
FEWEST = 3


A = TypeVar("A", bound=Accumulator)
K = TypeVar("K", bound=Hashable)


class Grouped(Generic[A]):
    """One accumulator a group, and one for what is in every replicate.

    Args:
        make: a new, empty accumulator.
        groups: 1 where no interval is wanted.
        images: how many are to come, so that the groups become alike in size.

    Attributes:
        groups: what was drawn at random, dealt out.
        fixed: what was not, and would be the same in another sample: part of every replicate.
    """

    def __init__(self, make: Callable[[], A], groups: int, images: int) -> None:
        self.make = make
        self.groups = [make() for _ in range(groups)]
        self.fixed = make()
        self.images = images

    def update(self, positions: Sequence[int], *batch: Tensor) -> None:
        """Take in a batch.

        Args:
            positions: of its images in the measurement; they decide the groups.
            batch: tensors with one row an image, as the accumulators take them.
        """
        start = 0
        for group, run in groupby(map(self._group, positions)):
            stop = start + sum(1 for _ in run)
            self.groups[group].update(*(tensor[start:stop] for tensor in batch))
            start = stop

    def _group(self, position: int) -> int:
        return group_of(position, len(self.groups), self.images)

    def total(self, without: int | None = None) -> A:
        """Everything seen, or everything but one group."""
        merged = self.make()
        merged.merge(self.fixed)
        for number, accumulator in enumerate(self.groups):
            if number != without:
                merged.merge(accumulator)
        return merged

    def merge(self, other: Grouped[A]) -> None:
        """Take in what others have seen of the same measurement."""
        for ours, theirs in zip((*self.groups, self.fixed), (*other.groups, other.fixed), strict=True):
            ours.merge(theirs)

    def state_dict(self) -> list[dict[str, Any]]:
        """What ``load_state_dict`` takes up."""
        return [accumulator.state_dict() for accumulator in (*self.groups, self.fixed)]

    def load_state_dict(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Go on from what ``state_dict`` gave."""
        for accumulator, state in zip((*self.groups, self.fixed), states, strict=True):
            accumulator.load_state_dict(state)

    @property
    def count(self) -> int:
        """Of all that was seen."""
        return sum(accumulator.count for accumulator in (*self.groups, self.fixed))

    def filled(self) -> list[int]:
        """The groups that have seen anything."""
        return [number for number, accumulator in enumerate(self.groups) if accumulator.count]


def group_of(position: int, groups: int, images: int) -> int:
    """Groups are runs of neighbours, alike in size to one image: in a data set neighbours may be related."""
    return position * groups // images


@dataclass(frozen=True)
class Estimate:
    """A number, and what it is without each group of images in turn (none where no interval can be given)."""

    value: float
    replicates: tuple[float, ...] = ()

    def error(self) -> float:
        """The jackknife's standard error: sqrt((G - 1)/G sum (theta_g - mean)^2); NaN without replicates."""
        count = len(self.replicates)
        if count < FEWEST:
            return math.nan
        mean = sum(self.replicates) / count
        return math.sqrt((count - 1) / count * sum((r - mean) ** 2 for r in self.replicates))

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Student's t interval with G - 1 degrees of freedom; None without replicates."""
        if len(self.replicates) < FEWEST:
            return None
        half = float(stdtrit(len(self.replicates) - 1, 0.5 + level / 2)) * self.error()
        return self.value - half, self.value + half


@dataclass(frozen=True)
class Difference:
    """b - a of one metric, with its interval.

    Attributes:
        value: b - a.
        interval: 95 %; None where none can be given.
        paired: whether the images of a and b were the same, so that what they share has cancelled.
    """

    value: float
    interval: tuple[float, float] | None
    paired: bool


def estimate(metric: Callable[..., float], *grouped: Grouped[Any]) -> Estimate:
    """``metric`` of the totals, and of the totals without each group."""
    return estimates(lambda *totals: {metric: metric(*totals)}, *grouped)[metric]


def estimates(metrics: Callable[..., Mapping[K, float]], *grouped: Grouped[Any]) -> dict[K, Estimate]:
    """Several numbers of the same totals, so that what they share is computed once a replicate."""
    values = metrics(*(each.total() for each in grouped))
    groups = grouped[0].filled()
    if len(groups) < FEWEST:
        groups = []
    replicates = [metrics(*(each.total(without=group) for each in grouped)) for group in groups]
    return {key: Estimate(value, tuple(each[key] for each in replicates)) for key, value in values.items()}


def difference(a: Estimate, b: Estimate, *, paired: bool) -> Difference:
    """b - a: replicate by replicate where the images are paired, errors added in quadrature where they are not."""
    value = b.value - a.value
    if paired and len(a.replicates) == len(b.replicates):
        spread = Estimate(value, tuple(y - x for x, y in zip(a.replicates, b.replicates, strict=True)))
        return Difference(value, spread.interval(), paired=True)
    count = min(len(a.replicates), len(b.replicates))
    if count < FEWEST:
        return Difference(value, None, paired)
    half = float(stdtrit(count - 1, 0.975)) * math.hypot(a.error(), b.error())
    return Difference(value, (value - half, value + half), paired=False)
