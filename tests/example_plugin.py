"""What somebody outside of coldbench brings: one of everything that has a name, importing from ``coldbench`` alone.

From this file's folder:

    coldbench evaluate example_plugin:sharpen --degradation example_plugin:Fade --set timesteps=5 \
        --data example_plugin:checkers --features example_plugin:mean_colours --metrics RMSE,FID,example_plugin:MAE
    coldbench evaluate example_plugin:sharpen --degradation example_plugin:Jpeg --set timesteps=5 \
        --data example_plugin:checkers --features none --methods degraded
    coldbench run --table example_table.toml
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from coldbench import (
    Dataset,
    Degradation,
    FeatureSpace,
    ImageSource,
    Restore,
    Sampler,
    array_source,
    mean_over_images,
)


class Fade(Degradation):
    """D(x, s) = (1 - s / 2T) x: contrast fades to a half.

    Args:
        timesteps: T.
        image_size: S, in pixels.
    """

    def __init__(self, *, timesteps: int, image_size: int = 24) -> None:
        super().__init__(timesteps=timesteps, image_size=image_size)

    def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
        severity = torch.as_tensor(s, dtype=x0.dtype, device=x0.device).reshape(-1, 1, 1, 1)
        return (1 - severity / (2 * self.timesteps)) * x0


class Jpeg(Degradation):
    """D(x, s): the image as a JPEG file of a quality that falls evenly from ``best`` at s = 1 to ``worst`` at s = T.

    Args:
        timesteps: T.
        image_size: S, in pixels.
        best, worst: quality as libjpeg counts it, 1 to 95.
    """

    def __init__(self, *, timesteps: int, image_size: int = 24, best: int = 90, worst: int = 5) -> None:
        super().__init__(timesteps=timesteps, image_size=image_size)
        self.qualities = np.linspace(best, worst, timesteps).round().astype(int)

    def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
        severities = torch.as_tensor(s).expand(len(x0)).tolist()
        return torch.stack([x if s == 0 else self._stored(x, s) for x, s in zip(x0, severities, strict=True)])

    def _stored(self, x: Tensor, s: int) -> Tensor:
        """One image (C, S, S) written to a JPEG file and read again."""
        levels = ((x.clamp(-1, 1) + 1) / 2 * 255).round().byte().movedim(0, -1)
        file = io.BytesIO()
        Image.fromarray(levels.squeeze(-1).cpu().numpy()).save(file, "JPEG", quality=int(self.qualities[s - 1]))
        read = torch.from_numpy(np.array(Image.open(file))).reshape(levels.shape).movedim(-1, 0)
        return (read / 255 * 2 - 1).to(x)


def sharpen(x: Tensor, s: int) -> Tensor:
    """R(x, s): full contrast again; exact for ``Fade`` with T = 5."""
    return x / (1 - s / 10)


class Gain(nn.Module):
    """R(x, s) with one parameter: everything ``gain`` times as bright."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x: Tensor, s: int) -> Tensor:
        return self.gain * x


half_more, a_fifth_more = Gain(1.5), Gain(1.2)


class Pointwise(nn.Module):
    """A network: one linear map of each pixel's channels.

    Args:
        channels: C of the images.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.mix(x)


def checkers(root: Path, *, train: bool = False) -> ImageSource:
    """Forty checkerboards, each of its own colour."""
    colours = np.random.default_rng(int(train)).integers(0, 256, (40, 1, 1, 3), dtype=np.uint8)
    board = (np.indices((24, 24)).sum(axis=0) // 4 % 2)[None, :, :, None].astype(np.uint8)
    return array_source("checkers", board * colours)


#: The same as a data set, with a title and a feature space of its own.
CHECKERS = Dataset("Checkerboards", checkers, features=("example_plugin:mean_colours",))


def halfway(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, noise: object) -> Tensor:
    """A sampler: half of the way from x_T to R(x_T, T)."""
    return (x_T + restore(x_T, degradation.timesteps)) / 2


#: The same with what coldbench cannot know of a plain function.
HALFWAY = Sampler(halfway)


def _absolute_error(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction.double() - target.double()).abs().mean(dim=(1, 2, 3))


#: A metric.
MAE = mean_over_images("MAE", _absolute_error, better="lower")


def mean_colours(device: torch.device) -> FeatureSpace:
    """The mean, the upper left and the centre of each channel of an RGB image."""

    def extract(images: Tensor) -> Tensor:
        colour = images.expand(-1, 3, -1, -1)
        centre = colour.shape[-1] // 2
        return torch.cat((colour.mean((2, 3)), colour[..., 0, 0], colour[..., centre, centre]), dim=1)

    return FeatureSpace("mean-colours", hashlib.sha256(b"mean-colours").hexdigest(), extract)
