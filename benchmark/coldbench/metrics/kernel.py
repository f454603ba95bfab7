"""KID: the squared maximum mean discrepancy of two sets of features (Binkowski et al. 2018), cubic kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.metrics.feature_sets import FeatureSet
from coldbench.metrics.intervals import Estimate
from coldbench.metrics.metric import Metric
from coldbench.metrics.pairwise import (
    FEW,
    Features,
    alike,
    as_set,
    between,
    estimate_of,
    group_numbers,
    remaining,
    replicates,
    within,
)


def kernel_distance(a: FeatureSet | Features, b: FeatureSet | Features) -> float:
    """KID = mean k(a, a') + mean k(b, b') - 2 mean k(a, b), the unbiased estimate; it may be negative.

    torch-fidelity and others take the mean over random subsets of 1,000 images. This is what that mean tends to, over
    all pairs: nothing is drawn, and of so many images no estimate varies less.

    Raises:
        BadInput: fewer than two images.
    """
    return kernel_estimates({"": as_set(a)}, b)[""].value


def kernel_estimates(ours: Mapping[str, FeatureSet], against: FeatureSet | Features) -> dict[str, Estimate]:
    """The KID of several sets from the same one, with the replicates of the delete-a-group jackknife.

    All of them follow from the kernel's sums over pairs of groups, and cost what one KID costs; what ``against`` has to
    itself is summed once.

    Args:
        ours, against: see ``metrics.feature_sets.set_estimates``.

    Raises:
        BadInput: fewer than two images.
    """
    other = as_set(against)
    theirs = _own(other)
    return {name: _estimate(features, other, theirs) for name, features in ours.items()}


@dataclass(frozen=True, eq=False)
class _Own:
    """The kernel of the images of one set, summed by their groups.

    Attributes:
        sums: over pairs of two different images, (G + 1, G + 1); the last group is part of every replicate.
        sizes: images of each group, (G + 1,).
    """

    sums: Tensor
    sizes: Tensor

    def kept(self, without: int | None) -> Tensor:
        """1 for each group, 0 for the one that is left out, (G + 1,)."""
        fixed = len(self.sizes) - 1
        return remaining(torch.arange(fixed + 1), fixed, without).double()

    def count(self, without: int | None) -> float:
        """Images that are left."""
        return float(self.kept(without) @ self.sizes)

    def mean(self, without: int | None = None) -> float:
        """The mean kernel of two different images that are left."""
        kept, count = self.kept(without), self.count(without)
        return float(kept @ self.sums @ kept) / (count * (count - 1))


def _own(features: FeatureSet) -> _Own:
    if features.count < 2:
        raise BadInput("a kernel distance needs at least 2 images")
    sums = torch.zeros(features.groups + 1, features.groups + 1, dtype=torch.float64)
    for (a, x), (b, y) in within(features):
        kernel = _kernel(x, y)
        if a is b:
            sums[a.group, a.group] += kernel.sum() - kernel.trace()
        else:  # and the same pairs the other way round
            sums[a.group, b.group] += kernel.sum()
            sums[b.group, a.group] += kernel.sum()
    sizes = torch.bincount(group_numbers(features), minlength=features.groups + 1)
    return _Own(sums, sizes.double())


def _estimate(features: FeatureSet, other: FeatureSet, theirs: _Own) -> Estimate:
    ours = _own(features)
    cross = torch.zeros(len(ours.sizes), len(theirs.sizes), dtype=torch.float64)
    for (a, x), (b, y) in between(features, other):
        cross[a.group, b.group] += _kernel(x, y).sum()

    def distance(without: int | None) -> float:
        shared = float(ours.kept(without) @ cross @ theirs.kept(without))
        mean = shared / (ours.count(without) * theirs.count(without))
        return ours.mean(without) + theirs.mean(without) - 2 * mean

    return estimate_of(map(distance, replicates(features)))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x.y / d + 1)^3 of every two features, (A, d) and (B, d) -> (A, B)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def audit_kernel(features: Tensor, against: Tensor | Features) -> float:
    """``|our KID - torch-fidelity's|`` / the largest term, with one subset of all the features.

    torch-fidelity compares sets of one size: of more features on the other side, the first are taken.

    Args:
        features: (n, d).
        against: other features, or the accumulator of many.
    """
    from torch_fidelity.metric_kid import kid_features_to_metric

    a, b = alike(features, against)
    ours = kernel_distance(a, b)
    reference = kid_features_to_metric(
        a.all().double(), b.all().double(), kid_subsets=1, kid_subset_size=a.count, verbose=False
    )
    return abs(ours - float(reference["kernel_inception_distance_mean"])) / (_own(a).mean() + _own(b).mean())


def few_images(images: int, space: str, dimensions: int) -> str:
    """A warning where there are few images; else nothing."""
    if images >= FEW:
        return ""
    return (
        f"KID of {images} images: it varies much below {FEW:,}, and of restored images and their own originals it is "
        "biased downwards in proportion to 1/N, since each pair is alike"
    )


KID = Metric(
    name="KID",
    accumulator=Features,
    result=kernel_distance,
    better="lower",
    reads="features",
    estimates=kernel_estimates,
    decimals=5,
    audit=audit_kernel,
    warning=few_images,
)
