"""What somebody outside of coldbench brings: a restorer, a degradation, images and features of their own.

From this file's folder:

    coldbench evaluate example_plugin:sharpen --degradation example_plugin:Fade --set timesteps=5 \
        --data example_plugin:checkers --features example_plugin:mean_colours
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from coldbench.data.sources import ImageSource, array_source
from coldbench.diffusion.degradations.base import Degradation
from coldbench.metrics.features import FeatureSpace


class Fade(Degradation):
    """D(x, s) = (1 - s / 2T) x: contrast fades to a half."""

    def __init__(self, *, timesteps: int, image_size: int = 24) -> None:
        super().__init__(timesteps=timesteps, image_size=image_size)

    def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
        severity = torch.as_tensor(s, dtype=x0.dtype, device=x0.device).reshape(-1, 1, 1, 1)
        return (1 - severity / (2 * self.timesteps)) * x0


def sharpen(x: Tensor, s: int) -> Tensor:
    """R(x, s): full contrast again; exact for ``Fade`` with T = 5."""
    return x / (1 - s / 10)


def checkers(root: Path, *, train: bool = False) -> ImageSource:
    """Forty checkerboards, each of its own colour."""
    colours = np.random.default_rng(int(train)).integers(0, 256, (40, 1, 1, 3), dtype=np.uint8)
    board = (np.indices((24, 24)).sum(axis=0) // 4 % 2)[None, :, :, None].astype(np.uint8)
    return array_source("checkers", board * colours)


def mean_colours(device: torch.device) -> FeatureSpace:
    """The mean, the upper left and the centre of each channel of an RGB image."""

    def extract(images: Tensor) -> Tensor:
        colour = images.expand(-1, 3, -1, -1)
        centre = colour.shape[-1] // 2
        return torch.cat((colour.mean((2, 3)), colour[..., 0, 0], colour[..., centre, centre]), dim=1)

    return FeatureSpace("mean-colours", hashlib.sha256(b"mean-colours").hexdigest(), extract)
