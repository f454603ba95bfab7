"""Gaussian noise on the cosine schedule: the hot diffusion of Section 5.1."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.core.randomness import normal_images
from coldbench.diffusion.degradations.base import Degradation, check_channels


class GaussianNoise(Degradation):
    """D(x, s) = sqrt(abar_{s-1}) x + sqrt(1 - abar_{s-1}) z, with the image's own noise z as context.

    Args:
        image_size: S, in pixels.
        timesteps: T.
        channels: C; the noise is drawn per pixel and channel.
    """

    alphas_cumprod: Tensor
    context_name = "noise"

    def __init__(self, *, image_size: int, timesteps: int, channels: int) -> None:
        super().__init__(timesteps=timesteps, image_size=image_size)
        self.channels = channels
        self.register_buffer("alphas_cumprod", cosine_schedule(timesteps), persistent=False)

    def draw(self, indices: Sequence[int], seed: int) -> Tensor:
        """z, float32 (B, C, S, S), standard normal."""
        return normal_images(indices, seed, "noise", (self.channels, self.image_size, self.image_size))

    def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
        if context is None:
            raise BadInput("noise needs z: pass what draw() gave")
        check_channels("noise", context, x0)
        signal, noise = self.scales(s, x0)
        return signal * x0 + noise * context

    def scales(self, s: int | Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """(sqrt(abar), sqrt(1 - abar)) at severity s, shaped to multiply images; (1, 0) at s = 0."""
        severity = torch.as_tensor(s, device=like.device)
        abar = torch.where(severity == 0, 1.0, self.alphas_cumprod[(severity - 1).clamp(min=0)])
        abar = abar.reshape(-1, 1, 1, 1)
        return abar.sqrt(), (1 - abar).sqrt()

    def noise_in(self, x_s: Tensor, x0_hat: Tensor, s: int) -> Tensor:
        """The z that would have made x_s of x0_hat: the estimated noise of Section 5.1, s >= 1."""
        signal, noise = self.scales(s, x_s)
        return (x_s - signal * x0_hat) / noise


def cosine_schedule(timesteps: int) -> Tensor:
    """abar_0 .. abar_{T-1}, float32 (T,): Nichol & Dhariwal's cosine with each beta clipped at 0.999 (PROTOCOL 2.5)."""
    points = torch.linspace(0, timesteps + 1, timesteps + 1)
    curve = torch.cos((points / (timesteps + 1) + 0.008) / 1.008 * math.pi * 0.5) ** 2
    curve = curve / curve[0]
    betas = (1 - curve[1:] / curve[:-1]).clamp(0, 0.999)
    return torch.cumprod(1 - betas, dim=0)
