"""The delete-a-group jackknife of the Frechet distance from fixed statistics, in spaces of many dimensions.

Where only one side is a sample, of not many more images than dimensions, a group of them decides whole dimensions, and
replicates to first order (``metrics.influence``) are too much alike. But then the images enter by their products with
one root of the other covariance alone: with C_b = L L^T and Y = (a - mu_a) L, the trace of (C_a C_b)^(1/2) is the sum
of the singular values of Y / sqrt(N - 1). Each replicate needs eigenvalues only, of the smaller of Y Y^T and Y^T Y
without its group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from coldbench.metrics.feature_sets import FeatureSet
from coldbench.metrics.frechet import FeatureStatistics, check_enough
from coldbench.metrics.intervals import FEWEST, Estimate
from coldbench.metrics.pairwise import group_numbers


def deleted_estimates(ours: Mapping[str, FeatureSet], against: FeatureStatistics) -> dict[str, Estimate]:
    """The Frechet distances of several sets from the same statistics, with replicates.

    Args:
        ours: name -> features.
        against: the statistics, the same in every replicate.

    Raises:
        BadInput: fewer than two images.
    """
    return {name: _estimate(features, against) for name, features in ours.items()}


def _estimate(features: FeatureSet, against: FeatureStatistics) -> Estimate:
    count = features.count
    check_enough(count)
    centred = features.all().double()
    mean = centred.mean(dim=0)
    centred -= mean
    products = centred @ against.factor()
    squares, delta, trace = centred.square().sum(dim=1), mean - against.mean, against.covariance().trace()
    overlap = torch.linalg.svdvals(products).sum() / (count - 1) ** 0.5
    value = float(delta.square().sum() + squares.sum() / (count - 1) + trace - 2 * overlap)
    replicates = []
    for group, spread in _without_each_group(features, products):
        left = count - int(group.sum())
        shift = -centred[group].sum(dim=0) / left  # of the mean
        own = (squares[~group].sum() - left * shift.square().sum()) / (left - 1)
        overlap = spread.clamp(min=0).sqrt().sum() / (left - 1) ** 0.5
        replicates.append(float((delta + shift).square().sum() + own + trace - 2 * overlap))
    return Estimate(max(value, 0.0), tuple(replicates))


def _without_each_group(features: FeatureSet, products: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Which images are of a group, (N,), and the squared singular values of the others' products, centred anew.

    Args:
        features: the images, zero features among them, which are of no group.
        products: Y (N, r), of which every column has the mean 0.
    """
    numbers = group_numbers(features)
    groups = [numbers == number for number in range(features.groups) if (numbers == number).any()]
    if len(groups) < FEWEST:
        return
    images, dimensions = products.shape
    gram = products @ products.T if images <= dimensions else products.T @ products
    for group in groups:
        if images <= dimensions:
            kept = gram[~group][:, ~group]
            kept = kept - kept.mean(dim=0, keepdim=True) - kept.mean(dim=1, keepdim=True) + kept.mean()
        else:
            gone = products[group]
            total = gone.sum(dim=0)
            kept = gram - gone.T @ gone - torch.outer(total, total) / (images - len(gone))
        yield group, torch.linalg.eigvalsh(kept)
