"""The auditor: the metrics of a few images once more, by other people's code.

Our SSIM and Frechet distance are fast and in closed form; scikit-image's and torch-fidelity's are the references that
everybody knows. Every measurement recomputes its first images with them and records how far apart the two are.
"""

from __future__ import annotations

import math

import numpy as np
from skimage.metrics import mean_squared_error, structural_similarity
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from coldbench.core.errors import CheckFailed
from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.pixelwise import RMSE, SSIM

#: Images audited in each measurement.
AUDITED = 16
#: How far our metrics may be from the references: absolute for SSIM and RMSE; for a Frechet distance relative to its
#: largest term, and wider, since the reference's matrix square root loses half of its digits where there are fewer
#: images than features. (A covariance divided by N instead of N - 1 moves it by 1/16 on 16 images.)
TOLERANCES = {"SSIM": 1e-6, "RMSE": 1e-6, "FID": 1e-4, "FD": 1e-4}


def audit_ssim(prediction: Tensor, target: Tensor) -> float:
    """|ours - scikit-image's| mean SSIM of images (B, C, H, W) in [0, 1]."""
    meter = SSIM()
    meter.update(prediction, target)
    pairs = zip(prediction.double().cpu().numpy(), target.double().cpu().numpy(), strict=True)
    reference = np.mean(
        [
            structural_similarity(
                x, y, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1
            )
            for x, y in pairs
        ]
    )
    return abs(meter.result() - float(reference))


def audit_rmse(prediction: Tensor, target: Tensor) -> float:
    """|ours - scikit-image's| RMSE of images (B, C, H, W) in [0, 1]."""
    meter = RMSE()
    meter.update(prediction, target)
    reference = mean_squared_error(prediction.double().cpu().numpy(), target.double().cpu().numpy())
    return abs(meter.result() - math.sqrt(reference))


def audit_frechet(features: Tensor, against: Tensor | FeatureStatistics) -> float:
    """|our Frechet distance - torch-fidelity's| / max(torch-fidelity's, tr C_a + tr C_b).

    Args:
        features: (n, d).
        against: other features, or the statistics of too many to have them here.
    """
    (a, ours), (b, theirs) = _both_ways(features), _both_ways(against)
    reference = float(fid_statistics_to_metric(a, b, verbose=False)["frechet_inception_distance"])
    traces = float(np.trace(a["sigma"]) + np.trace(b["sigma"]))
    # Of features that are all equal there is no term to be relative to.
    return abs(frechet_distance(ours, theirs) - reference) / (max(reference, traces) or 1.0)


def _both_ways(features: Tensor | FeatureStatistics) -> tuple[dict[str, np.ndarray], FeatureStatistics]:
    """Mean and covariance as torch-fidelity takes them, and as we do."""
    if isinstance(features, FeatureStatistics):
        return {"mu": features.mean.numpy(), "sigma": features.covariance().numpy()}, features
    statistics = FeatureStatistics()
    statistics.update(features)
    reference = fid_features_to_statistics(features.double().cpu())
    return {**reference, "sigma": np.atleast_2d(reference["sigma"])}, statistics  # np.cov of one feature is no matrix


def check_deviation(metric: str, deviation: float, what: str) -> None:
    """Let a measurement fail whose metric is not the reference's.

    Raises:
        CheckFailed: the deviation is above ``TOLERANCES``, or is not a number.
    """
    if not deviation <= TOLERANCES[metric]:
        raise CheckFailed(
            f"audit failed: the {metric} of {what} is {deviation:.1e} from the reference's, more than "
            f"{TOLERANCES[metric]:.0e}"
        )
