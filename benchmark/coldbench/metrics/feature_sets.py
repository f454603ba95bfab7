"""The features of a set of images, on disk or in memory, and metrics of them with their replicates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from coldbench.core.errors import CheckFailed
from coldbench.core.rows import block
from coldbench.metrics.intervals import GROUPS, Estimate, Grouped, estimates, group_of
from coldbench.metrics.metric import Accumulator, Metric

#: Features read at a time: of 2,048 dimensions, 64 MiB in float64.
BLOCK = 4096

A = TypeVar("A", bound=Accumulator)


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """The features of one kind of images, in the order of the images.

    Attributes:
        rows: float32 (n, d), possibly mapped from a file; see ``blocks``.
        zeros: how many feature vectors of zeros are added behind them, in every replicate.
        groups: of neighbouring images, for intervals; 1 where none is wanted.
    """

    rows: np.ndarray
    zeros: int = 0
    groups: int = GROUPS

    @property
    def count(self) -> int:
        """N, with the zero features."""
        return len(self.rows) + self.zeros

    @property
    def dimensions(self) -> int:
        """d."""
        return int(self.rows.shape[1])

    def blocks(self) -> Iterator[tuple[range, Tensor]]:
        """Positions and features (B, d) of the images, block by block; without the zero features."""
        for start in range(0, len(self.rows), BLOCK):
            positions = range(start, min(start + BLOCK, len(self.rows)))
            # A copy: torch takes no array that cannot be written.
            yield positions, torch.from_numpy(block(self.rows, start, positions.stop))

    def all(self) -> Tensor:
        """float32 (N, d), with the zero features."""
        found = torch.zeros(self.count, self.dimensions)
        for positions, features in self.blocks():
            found[positions.start : positions.stop] = features
        return found

    def first(self, count: int) -> Tensor:
        """float32 (count, d), or fewer where there are fewer; without the zero features."""
        return torch.from_numpy(block(self.rows, 0, min(count, len(self.rows))))

    def group_numbers(self) -> Tensor:
        """The group of each image, (n,)."""
        return torch.tensor([group_of(position, self.groups, self.count) for position in range(len(self.rows))])

    def seen_by(self, make: Callable[[], A]) -> A:
        """Everything, the zero features included, seen by one accumulator."""
        seen = make()
        for _, features in self.blocks():
            seen.update(features)
        if self.zeros:
            seen.update(torch.zeros(self.zeros, self.dimensions))
        return seen

    def grouped(self, make: Callable[[], A]) -> Grouped[A]:
        """Everything seen by one accumulator a group.

        Raises:
            CheckFailed: the accumulators have not seen every image, once.
        """
        grouped = Grouped(make, self.groups, self.count)
        for positions, features in self.blocks():
            grouped.update(positions, features)
        if self.zeros:
            grouped.fixed.update(torch.zeros(self.zeros, self.dimensions))
        if grouped.count != self.count:
            raise CheckFailed(f"{grouped.count} images were measured instead of {self.count}")
        return grouped


def set_estimates(metric: Metric, ours: Mapping[str, FeatureSet], against: Any) -> dict[str, Estimate]:
    """A metric of several sets of images against the same set, with replicates.

    Args:
        metric: which reads features.
        ours: name -> features.
        against: the originals' features, image by image those of ``ours``; or the metric's accumulator that has seen
            what they are compared with, which is the same in every replicate.
    """
    compute = metric.estimates or by_groups(metric.accumulator, metric.result)
    return dict(compute(ours, against))


def by_groups(
    make: Callable[[], Any], result: Callable[[Any, Any], float]
) -> Callable[[Mapping[str, FeatureSet], Any], dict[str, Estimate]]:
    """The delete-a-group jackknife of any metric of features (see ``metrics.intervals``)."""

    def compute(ours: Mapping[str, FeatureSet], against: Any) -> dict[str, Estimate]:
        grouped = {name: features.grouped(make) for name, features in ours.items()}
        originals = [against.grouped(make)] if isinstance(against, FeatureSet) else []

        def distances(*totals: Any) -> dict[str, float]:
            # What the side that they share costs, it costs once a replicate.
            other = totals[-1] if originals else against
            return {name: float(result(seen, other)) for name, seen in zip(grouped, totals, strict=False)}

        return estimates(distances, *grouped.values(), *originals)

    return compute
