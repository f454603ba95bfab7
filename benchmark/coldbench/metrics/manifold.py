"""Precision and recall of generated or restored images (Kynkaanniemi et al. 2019), as torch-fidelity defines them.

The manifold of a set of images is estimated by balls in the feature space: one around each image, which reaches to its
third nearest neighbour in the set. Precision is the share of our images within a ball of the originals' or training
images', recall the share of those within a ball of ours.

torch-fidelity computes in the precision of the features, float32; here it is float64. The two can differ where an image
lies on the surface of a ball.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

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

#: The neighbour that a ball reaches to.
NEIGHBOUR = 3
#: What a ball needs: the image itself and its neighbours.
FEWEST_IMAGES = NEIGHBOUR + 1
#: A squared distance below this share of the squared norms is what rounding leaves of two equal features.
_ROUNDING = 1e-13


def precision(ours: FeatureSet | Features, against: FeatureSet | Features) -> float:
    """The share of our images within a ball around one of the others, 0 to 1.

    Raises:
        BadInput: fewer than four images, or features that are not finite.
    """
    return precision_estimates({"": as_set(ours)}, against)[""].value


def recall(ours: FeatureSet | Features, against: FeatureSet | Features) -> float:
    """The share of the other images within a ball around one of ours, 0 to 1.

    Raises:
        BadInput: fewer than four images, or features that are not finite.
    """
    return recall_estimates({"": as_set(ours)}, against)[""].value


def precision_estimates(ours: Mapping[str, FeatureSet], against: FeatureSet | Features) -> dict[str, Estimate]:
    """The precision of several sets, with the replicates of the delete-a-group jackknife.

    Args:
        ours, against: see ``metrics.feature_sets.set_estimates``.

    Raises:
        BadInput: fewer than four images, or features that are not finite.
    """
    other = as_set(against)
    without = _left_out(ours, other)
    radii = _radii(other, without)
    return {name: _share(features, other, radii, without) for name, features in ours.items()}


def recall_estimates(ours: Mapping[str, FeatureSet], against: FeatureSet | Features) -> dict[str, Estimate]:
    """The recall of several sets, with the replicates of the delete-a-group jackknife.

    Args:
        ours, against: see ``metrics.feature_sets.set_estimates``.

    Raises:
        BadInput: fewer than four images, or features that are not finite.
    """
    other = as_set(against)
    without = _left_out(ours, other)
    return {name: _share(other, features, _radii(features, without), without) for name, features in ours.items()}


def _left_out(ours: Mapping[str, FeatureSet], other: FeatureSet) -> list[int | None]:
    """What each number is computed without: nothing, then each group, if enough images are left for a ball."""
    for each in (*ours.values(), other):
        if each.count < FEWEST_IMAGES:
            raise BadInput(f"precision and recall need at least {FEWEST_IMAGES} images")
        if not all(features.isfinite().all() for _, features in each.blocks()):
            raise BadInput("precision and recall need features that are finite")
    first = next(iter(ours.values()))
    largest = int(group_numbers(first).bincount().max())
    return replicates(first) if first.count - largest >= FEWEST_IMAGES else [None]


def _radii(features: FeatureSet, without: Sequence[int | None]) -> Tensor:
    """The squared radius of each image's ball, -1 where the image is left out.

    Returns:
        float64 (R, N), a row for each that is left out; a single one if nothing of the set ever is.
    """
    nearest, groups, fixed = _nearest(features), group_numbers(features), features.groups
    found = []
    for group in without if fixed else without[:1]:
        kept = nearest[:, remaining(torch.arange(fixed + 1), fixed, group)]
        radii = kept.flatten(1).kthvalue(FEWEST_IMAGES).values
        found.append(radii.where(remaining(groups, fixed, group), torch.tensor(-1.0, dtype=radii.dtype)))
    return torch.stack(found)


def _nearest(features: FeatureSet) -> Tensor:
    """The smallest squared distances of each image to those of each group, its own 0 among them, (N, G + 1, 4).

    So many of every group that a group can be left out; infinite where a group has fewer images.
    """
    shape = (features.count, features.groups + 1, FEWEST_IMAGES)
    nearest = torch.full(shape, math.inf, dtype=torch.float64)

    def take(images: slice, group: int, distances: Tensor) -> None:
        candidates = torch.cat((nearest[images, group], distances), dim=1)
        nearest[images, group] = candidates.topk(FEWEST_IMAGES, dim=1, largest=False, sorted=False).values

    for (a, x), (b, y) in within(features):
        distances = _squared_distances(x, y)
        take(a.images, b.group, distances)
        if a is not b:
            take(b.images, a.group, distances.T)
    return nearest


def _share(points: FeatureSet, centres: FeatureSet, radii: Tensor, without: Sequence[int | None]) -> Estimate:
    """The share of the points within a ball around one of the centres.

    Args:
        radii: of the balls, see ``_radii``.
        without: what each number is computed without.
    """
    inside = torch.zeros(len(radii), points.count, dtype=torch.bool)
    for (a, x), (b, y) in between(points, centres):
        distances = _squared_distances(x, y)
        inside[:, a.images] |= (distances <= radii[:, None, b.images]).any(dim=2)
    groups = group_numbers(points)
    rows = zip(inside.expand(len(without), -1), without, strict=True)
    return estimate_of(float(row[remaining(groups, points.groups, each)].double().mean()) for row, each in rows)


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """|x - y|^2 of every two features, (A, d) and (B, d) -> (A, B)."""
    squares = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)
    distances = squares - 2 * (x @ y.T)
    return distances.where(distances > _ROUNDING * squares, torch.zeros_like(distances))


def audit_precision(features: Tensor, against: Tensor | Features) -> float:
    """``|our precision - torch-fidelity's|``, of equally many features.

    Args:
        features: (n, d).
        against: other features, or the accumulator of many.
    """
    a, b = alike(features, against)
    return abs(precision(a, b) - _reference(a, b)["precision"])


def audit_recall(features: Tensor, against: Tensor | Features) -> float:
    """``|our recall - torch-fidelity's|``, of equally many features.

    Args:
        features: (n, d).
        against: other features, or the accumulator of many.
    """
    a, b = alike(features, against)
    return abs(recall(a, b) - _reference(a, b)["recall"])


def _reference(a: FeatureSet, b: FeatureSet) -> dict[str, float]:
    """torch-fidelity's numbers."""
    from torch_fidelity.metric_prc import prc_features_to_metric

    found: dict[str, float] = prc_features_to_metric(
        a.all().double(), b.all().double(), prc_neighborhood=NEIGHBOUR, verbose=False
    )
    return found


def few_images(name: str, images: int, space: str, dimensions: int) -> str:
    """A warning where there are few images; else nothing."""
    if images >= FEW:
        return ""
    return (
        f"{name} of {images} images: it varies much below {FEW:,}, and falls as images are added, since the balls "
        "shrink; of restored images and their own originals it is biased upwards, since each pair is alike"
    )


#: Of a share, tolerances are absolute: a single image moves it by 1/N, however small it is.
_TOLERANCES = {"float32 cpu": 1e-3, "float32 gpu": 1e-2, "bfloat16 cpu": 3e-2, "bfloat16 gpu": 3e-2}

_metric = partial(
    Metric, accumulator=Features, better="higher", reads="features", tolerances=_TOLERANCES, relative=False
)
PRECISION = _metric(
    name="Precision",
    result=precision,
    estimates=precision_estimates,
    audit=audit_precision,
    warning=partial(few_images, "Precision"),
)

RECALL = _metric(
    name="Recall",
    result=recall,
    estimates=recall_estimates,
    audit=audit_recall,
    warning=partial(few_images, "Recall"),
)
