"""How the networks are told the time index."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SinusoidalEmbedding(nn.Module):
    """Sine and cosine of the time index at ``dim / 2`` frequencies from 1 down to 1/10000: (B,) -> (B, dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.frequencies = dim // 2

    def forward(self, time: Tensor) -> Tensor:
        exponents = torch.arange(self.frequencies, device=time.device, dtype=torch.float32)
        angles = time.float()[:, None] * torch.exp(-math.log(10000) / (self.frequencies - 1) * exponents)
        return torch.cat((angles.sin(), angles.cos()), dim=-1)
