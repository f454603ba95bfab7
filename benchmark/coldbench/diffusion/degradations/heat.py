"""Blur by the heat equation, the degradation of IHDM (Rissanen et al. 2022)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.diffusion.degradations.separable import LAST_DECIMALS, SeparableDegradation


def heat(*, image_size: int, timesteps: int, sigma_min: float = 0.5, sigma_max: float = 20.0) -> SeparableDegradation:
    """D(x, s) = IDCT(exp(-lambda t_s) DCT(x)): heat that spreads for a time t_s and leaves the image at no border.

    lambda = (pi n / S)^2 + (pi m / S)^2 for the frequencies n and m of the DCT-II, whose cosines are level at the
    border, and t_s = sigma_s^2 / 2, so that sigma_s is the std of the Gaussian that blurs as much far from any border.
    The sampler of IHDM is ``ihdm``.

    Args:
        image_size: S, in pixels.
        timesteps: T.
        sigma_min: sigma_1, in pixels, above 0.
        sigma_max: sigma_T, in pixels; those between grow by the same factor a step.

    Raises:
        BadInput: sigmas that do not grow from above 0.
    """
    if not 0 < sigma_min < sigma_max < math.inf:
        raise BadInput(f"heat needs 0 < sigma_min < sigma_max, not {sigma_min} and {sigma_max}")
    times = log_spaced(sigma_min, sigma_max, timesteps).square() / 2
    elapsed = torch.diff(times, prepend=times.new_zeros(1))
    cosines = dct_matrix(image_size)
    rates = (math.pi * torch.arange(image_size, dtype=torch.float64) / image_size).square()
    decay = torch.exp(-elapsed[:, None] * rates)
    return SeparableDegradation(cosines.T @ (decay[:, :, None] * cosines), float32_only=LAST_DECIMALS)


def log_spaced(first: float, last: float, count: int) -> Tensor:
    """``count`` numbers from the first to the last, each the same multiple of the one before: float64."""
    return torch.linspace(math.log(first), math.log(last), count, dtype=torch.float64).exp()


def dct_matrix(size: int) -> Tensor:
    """The orthonormal DCT-II as a matrix (size, size), float64: row n is the cosine of n half periods."""
    places = (torch.arange(size, dtype=torch.float64) + 0.5) * math.pi / size
    cosines = torch.cos(torch.arange(size)[:, None] * places) * math.sqrt(2 / size)
    cosines[0] /= math.sqrt(2)
    return cosines
