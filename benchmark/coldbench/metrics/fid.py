"""FID: the Frechet distance as a metric, with its intervals and its audit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from coldbench.metrics.deletion import deleted_estimates
from coldbench.metrics.feature_sets import FeatureSet, by_groups
from coldbench.metrics.frechet import FeatureStatistics, few_images, frechet_distance
from coldbench.metrics.influence import influence_estimates
from coldbench.metrics.intervals import Estimate
from coldbench.metrics.metric import Metric

#: Dimensions up to which replicates are computed like the distance itself. Each costs a decomposition, in time
#: proportional to the cube of the dimensions: 21 of 512 take 2 seconds, and 21 of 2,048 two minutes.
PLAIN_UP_TO = 512
#: Images a dimension from which on one sample is large enough for replicates to first order.
MANY = 4


def frechet_estimates(ours: Mapping[str, FeatureSet], against: FeatureSet | FeatureStatistics) -> dict[str, Estimate]:
    """Frechet distances with their replicates, in the cheapest way that has the jackknife's standard error.

    Args:
        ours, against: see ``metrics.feature_sets.set_estimates``.
    """
    dimensions = max(features.dimensions for features in ours.values())
    images = max(features.count for features in ours.values())
    if dimensions <= PLAIN_UP_TO:
        return by_groups(FeatureStatistics, frechet_distance)(ours, against)
    if isinstance(against, FeatureStatistics) and images < MANY * dimensions:
        return deleted_estimates(ours, against)
    return influence_estimates(ours, against)


def audit_frechet(features: Tensor, against: Tensor | FeatureStatistics) -> float:
    """``|our Frechet distance - torch-fidelity's| / max(torch-fidelity's, tr C_a + tr C_b)``.

    Args:
        features: (n, d).
        against: other features, or the statistics of too many to have them here.
    """
    images = FeatureSet(features.float().cpu().numpy(), groups=1)
    other = FeatureSet(against.float().cpu().numpy(), groups=1) if isinstance(against, Tensor) else against
    ours = frechet_estimates({"": images}, other)[""].value
    reference, traces = _by_torch_fidelity(features.double().cpu(), against)
    # Of features that are all equal there is no term to be relative to.
    return abs(ours - reference) / (max(reference, traces) or 1.0)


def _by_torch_fidelity(features: Tensor, against: Tensor | FeatureStatistics) -> tuple[float, float]:
    """The distance of a few images, and the sum of the traces.

    Few images span few dimensions. Seen from axes of their own, the distance is the same, and torch-fidelity's matrix
    square root takes no time. Statistics extend beyond these axes, with nothing but a part of their trace.
    """
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    if isinstance(against, FeatureStatistics):
        axes, covariance = _axes(features - against.mean), against.covariance()
        inside = axes.T @ covariance @ axes
        outside = float(covariance.trace() - inside.trace())
        b = {"mu": (against.mean @ axes).numpy(), "sigma": inside.numpy()}
    else:
        others = against.double().cpu()
        axes, outside = _axes(torch.cat((features - others.mean(dim=0), others - others.mean(dim=0)))), 0.0
        b = _statistics(others @ axes)
    a = _statistics(features @ axes)
    distance = float(fid_statistics_to_metric(a, b, verbose=False)["frechet_inception_distance"]) + outside
    return distance, float(np.trace(a["sigma"]) + np.trace(b["sigma"])) + outside


def _statistics(features: Tensor) -> dict[str, np.ndarray]:
    """Mean and covariance as torch-fidelity takes them."""
    from torch_fidelity.metric_fid import fid_features_to_statistics

    statistics = fid_features_to_statistics(features)
    return {**statistics, "sigma": np.atleast_2d(statistics["sigma"])}  # np.cov of one feature is no matrix


def _axes(rows: Tensor) -> Tensor:
    """Orthonormal columns (d, k) whose span holds all rows; those of the space itself where that is as small."""
    count, dimensions = rows.shape
    return torch.linalg.qr(rows.T).Q if count < dimensions else torch.eye(dimensions, dtype=rows.dtype)


#: The Frechet distance, called FID in the feature space of the paper's and FD in any other. Its audit is wider than the
#: others' and relative to the largest term: the reference's matrix square root loses half of its digits where there are
#: fewer images than features. (A covariance divided by N instead of N - 1 moves it by 1/16 on 16 images.)
FID = Metric(
    name="FID",
    accumulator=FeatureStatistics,
    result=frechet_distance,
    better="lower",
    reads="features",
    estimates=frechet_estimates,
    elsewhere="FD",
    decimals=2,
    audit=audit_frechet,
    audit_tolerance=1e-4,
    warning=few_images,
)
