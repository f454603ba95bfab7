"""The metrics that compare each image with its original: RMSE, SSIM and PSNR."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from coldbench.metrics.metric import Metric, mean_over_images

#: Width of SSIM's window, and so the smallest image.
SSIM_TAPS = 11


class SquaredError:
    """Sums of squared differences, whose mean over all images, channels and pixels has one root (PROTOCOL 5.2)."""

    def __init__(self) -> None:
        self.squares, self.values, self.count = 0.0, 0, 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in images (B, C, H, W) in [0, 1], unclamped."""
        self.squares += float((prediction.double() - target.double()).square().sum())
        self.values += target.numel()
        self.count += len(target)

    def merge(self, other: Self) -> None:
        """Take in what another accumulator has seen."""
        self.squares += other.squares
        self.values += other.values
        self.count += other.count

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` takes up."""
        return {"squares": self.squares, "values": self.values, "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.squares, self.values, self.count = state["squares"], state["values"], state["count"]

    def result(self) -> float:
        """The RMSE, in units of the [0, 1] range; NaN before the first image."""
        return math.sqrt(self.squares / self.values) if self.values else math.nan


def ssim_per_image(prediction: Tensor, target: Tensor) -> Tensor:
    """SSIM as the paper computes it: 11-tap Gaussian window, sigma 1.5, valid region, biased moments, data range 1.

    Args:
        prediction, target: (B, C, H, W) in [0, 1]; H, W >= 11.

    Returns:
        float64 (B,): the mean over positions and channels. Equals scikit-image's ``structural_similarity`` with
        ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1``.
    """
    x, y = prediction.double(), target.double()
    rows, columns = (_window_matrix(size, x.device) for size in x.shape[-2:])

    def local_mean(image: Tensor) -> Tensor:
        return rows @ image @ columns.T

    mean_x, mean_y = local_mean(x), local_mean(y)
    var_x = local_mean(x * x) - mean_x**2
    var_y = local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _window_matrix(size: int, device: torch.device) -> Tensor:
    """The valid convolution with the Gaussian window as a (size - 10, size) matrix: a product beats 2-D filtering."""
    taps, sigma = SSIM_TAPS, 1.5
    offsets = torch.arange(taps, dtype=torch.float64) - taps // 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    matrix = torch.zeros(size - taps + 1, size, dtype=torch.float64)
    for row in range(len(matrix)):
        matrix[row, row : row + taps] = weights / weights.sum()
    return matrix.to(device)


def psnr_per_image(prediction: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, 10 log10 (1 / MSE) in dB, of images (B, C, H, W) in [0, 1]: float64 (B,).

    Infinite where an image equals its original.
    """
    errors = (prediction.double() - target.double()).square().mean(dim=(1, 2, 3))
    return -10 * errors.log10()


def _reference_rmse(prediction: Tensor, target: Tensor) -> float:
    return math.sqrt(mean_squared_error(_array(prediction), _array(target)))


def _reference_ssim(prediction: Tensor, target: Tensor) -> float:
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    pairs = zip(_array(prediction), _array(target), strict=True)
    return float(np.mean([structural_similarity(x, y, channel_axis=0, data_range=1, **window) for x, y in pairs]))


def _reference_psnr(prediction: Tensor, target: Tensor) -> float:
    pairs = zip(_array(target), _array(prediction), strict=True)
    with np.errstate(divide="ignore"):  # of equal images
        return float(np.mean([peak_signal_noise_ratio(x, y, data_range=1) for x, y in pairs]))


def _array(images: Tensor) -> np.ndarray:
    return images.double().cpu().numpy()


RMSE = Metric(
    name="RMSE",
    accumulator=SquaredError,
    result=SquaredError.result,
    better="lower",
    # An H200 was at most 1.0e-6 from the CPU's references.
    tolerances={"float32 cpu": 5e-5, "float32 gpu": 5e-5, "bfloat16 cpu": 3e-3, "bfloat16 gpu": 3e-3},
    relative=False,
    reference=_reference_rmse,
)
SSIM = mean_over_images(
    "SSIM",
    ssim_per_image,
    better="higher",
    # An H200 was at most 4.8e-6 from the CPU's references.
    tolerances={"float32 cpu": 1e-4, "float32 gpu": 1e-4, "bfloat16 cpu": 1e-2, "bfloat16 gpu": 1e-2},
    relative=False,
    reference=_reference_ssim,
    smallest=SSIM_TAPS,
)
PSNR = mean_over_images("PSNR", psnr_per_image, better="higher", decimals=2, reference=_reference_psnr)
