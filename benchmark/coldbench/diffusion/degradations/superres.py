"""Super-resolution: halve the resolution at every step (Table 3)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from coldbench.core.errors import BadInput
from coldbench.diffusion.degradations.separable import SeparableDegradation

MODES = ("area", "bilinear", "bicubic")
#: A network that was trained for long reads them: in bfloat16, the SSIM of mnist-superres falls by .03.
_DECIMALS = "a few large pixels tell an image by their decimals, and bfloat16 has too few of them"


def super_resolution(
    *, image_size: int, timesteps: int, mode: Literal["area", "bilinear", "bicubic"] = "area"
) -> SeparableDegradation:
    """Step i resamples the image to S / 2^(i+1) pixels a side and back up by nearest neighbour.

    Table 3 is reproduced by ``area`` (2x2 means; ``bilinear`` gives the same), not by ``bicubic``, the routine that
    the released README names (PROTOCOL 6.0).

    Args:
        image_size: S, in pixels, a multiple of 2^T.
        timesteps: T.
        mode: how to downsample, without antialiasing.

    Raises:
        BadInput: unknown mode, or a size that cannot be halved T times.
    """
    if mode not in MODES:
        raise BadInput(f"unknown super-resolution mode '{mode}'; known: {', '.join(MODES)}")
    if image_size % 2**timesteps:
        raise BadInput(f"image size {image_size} cannot be halved {timesteps} times")
    sizes = [image_size // 2 ** (i + 1) for i in range(timesteps)]
    return SeparableDegradation(
        torch.stack([resampling_matrix(image_size, size, mode) for size in sizes]), float32_only=_DECIMALS
    )


def resampling_matrix(size: int, smaller: int, mode: str) -> Tensor:
    """The (size, size) float64 matrix that takes a line of pixels down to ``smaller`` and back up."""
    down = F.interpolate(_columns(size), size=(smaller, 1), mode=mode)[0, :, :, 0].T
    up = F.interpolate(_columns(smaller), size=(size, 1), mode="nearest-exact")[0, :, :, 0].T
    return up @ down


def _columns(size: int) -> Tensor:
    """The unit vectors as ``size`` channels of (size, 1) images, so that a linear map of them is its matrix."""
    return torch.eye(size, dtype=torch.float64)[None, :, :, None]
