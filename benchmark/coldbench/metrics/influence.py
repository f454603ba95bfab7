"""Intervals of the Frechet distance in spaces of many dimensions, from one decomposition.

Without an image, a statistic theta of N images changes by about -psi / (N - 1), with psi the image's *influence*
(F. Hampel 1974). The Frechet distance of two Gaussians is differentiable: with T the optimal transport map between
them, the influence of an image a is (up to a constant)

    2 (mu_a - mu_b).(a - mu_a) + (a - mu_a)^T (I - T) (a - mu_a),

likewise for b, and those of paired images add up. The sums over the groups of ``metrics.intervals`` give replicates to
first order, so that standard errors, intervals and paired differences follow as from the delete-a-group jackknife, at
the price of one product more than the distance itself. The jackknife is what the tests hold them to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from coldbench.metrics.feature_sets import FeatureSet
from coldbench.metrics.frechet import FeatureStatistics, check_enough
from coldbench.metrics.intervals import FEWEST, Estimate


def influence_estimates(ours: Mapping[str, FeatureSet], against: FeatureSet | FeatureStatistics) -> dict[str, Estimate]:
    """The Frechet distances of several sets from the same one, with first-order replicates.

    Args:
        ours: name -> features.
        against: the originals' features, image by image those of ``ours``; or statistics, the same in every replicate.

    Raises:
        BadInput: fewer than two images.
    """
    other = _side(against)
    return {name: _estimate(features, _side(features), against, other) for name, features in ours.items()}


@dataclass(frozen=True, eq=False)
class _Side:
    """One of two Gaussians, by its mean and a root of its covariance.

    Attributes:
        mean: float64 (d,).
        root: R (m, d) with R^T R = covariance.
        count: N of the sample that it was taken of.
        whitening: W (d, m) with (a - mean) W the coordinates z of an image a in which the covariance is I; None where
            the root consists of the centred images themselves: there z is the image's own axis times sqrt(N - 1).
    """

    mean: Tensor
    root: Tensor
    count: int
    whitening: Tensor | None

    def trace(self) -> Tensor:
        """Of the covariance."""
        return self.root.square().sum()

    def squares(self, rows: Tensor, positions: range, axes: Tensor, weights: Tensor) -> Tensor:
        """z^T A diag(w) A^T z of some of the images, (B,).

        Args:
            rows: their features less the mean, (B, d).
            positions: of the images in the set.
            axes: A (m, r).
            weights: w (r,).
        """
        if self.whitening is None:
            return axes[positions.start : positions.stop].square() @ weights * (self.count - 1)
        return (rows @ (self.whitening @ axes)).square() @ weights


def _side(seen: FeatureSet | FeatureStatistics) -> _Side:
    """From the images themselves where they are no more than the dimensions: then they are the smaller root."""
    check_enough(seen.count)
    if isinstance(seen, FeatureSet) and seen.count <= seen.dimensions:
        features = seen.all().double()
        mean = features.mean(dim=0)
        return _Side(mean, (features - mean) / math.sqrt(seen.count - 1), seen.count, None)
    statistics = seen.seen_by(FeatureStatistics) if isinstance(seen, FeatureSet) else seen
    values, vectors = statistics.spectrum()
    return _Side(statistics.mean, values.sqrt()[:, None] * vectors.T, statistics.count, vectors / values.sqrt())


def _estimate(features: FeatureSet, a: _Side, against: FeatureSet | FeatureStatistics, b: _Side) -> Estimate:
    """|mu_a - mu_b|^2 + tr C_a + tr C_b - 2 sum s, with s the singular values of R_a R_b^T; and its replicates.

    With the singular vectors U and V, (a - mu_a)^T T (a - mu_a) is z^T U diag(s) U^T z; for b it is the same in V.
    """
    left, singular, right = torch.linalg.svd(a.root @ b.root.T, full_matrices=False)
    delta = a.mean - b.mean
    value = max(float(delta.square().sum() + a.trace() + b.trace() - 2 * singular.sum()), 0.0)
    sums = _group_sums(features, a, 2 * delta, left, singular)
    if isinstance(against, FeatureSet):
        sums += _group_sums(against, b, -2 * delta, right.T, singular)
    sizes = torch.bincount(features.group_numbers(), minlength=features.groups)
    filled = sizes > 0
    if filled.sum() < FEWEST:
        return Estimate(value)
    without = value - sums[filled] / (features.count - sizes[filled])
    return Estimate(value, tuple(without.tolist()))


def _group_sums(features: FeatureSet, side: _Side, slope: Tensor, axes: Tensor, weights: Tensor) -> Tensor:
    """The influences of the images, summed by group, (G,)."""
    # The influences of all images, zero features among them, must add up to nothing.
    constant = (side.trace() - weights.sum()) * (side.count - 1) / side.count
    groups = features.group_numbers()
    sums = torch.zeros(features.groups, dtype=torch.float64)
    for positions, block in features.blocks():
        rows = block.double() - side.mean
        squares = rows.square().sum(dim=1) - side.squares(rows, positions, axes, weights)
        sums.index_add_(0, groups[positions.start : positions.stop], rows @ slope + squares - constant)
    return sums
