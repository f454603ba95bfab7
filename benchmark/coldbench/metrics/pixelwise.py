"""RMSE and SSIM, the two metrics that compare each image with its original."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

#: Width of SSIM's window, and so the smallest image.
SSIM_TAPS = 11


class RMSE:
    """sqrt of the mean squared difference over all images, channels and pixels: one global root (PROTOCOL 5.2)."""

    def __init__(self) -> None:
        self.squares, self.count = 0.0, 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in images (B, C, H, W) in [0, 1], unclamped."""
        self.squares += float((prediction.double() - target.double()).square().sum())
        self.count += target.numel()

    def merge(self, other: Self) -> None:
        """Take in what another accumulator has seen."""
        self.squares += other.squares
        self.count += other.count

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` takes up."""
        return {"squares": self.squares, "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.squares, self.count = state["squares"], state["count"]

    def result(self) -> float:
        """The RMSE, in units of the [0, 1] range; NaN before the first image."""
        return math.sqrt(self.squares / self.count) if self.count else math.nan


class SSIM:
    """Mean over images of ``ssim_per_image``."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in images (B, C, H, W) in [0, 1], unclamped."""
        self.total += float(ssim_per_image(prediction, target).sum())
        self.count += len(target)

    def merge(self, other: Self) -> None:
        """Take in what another accumulator has seen."""
        self.total += other.total
        self.count += other.count

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` takes up."""
        return {"total": self.total, "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.total, self.count = state["total"], state["count"]

    def result(self) -> float:
        """The mean SSIM, at most 1; NaN before the first image."""
        return self.total / self.count if self.count else math.nan


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
