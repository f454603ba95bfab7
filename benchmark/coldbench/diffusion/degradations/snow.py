"""Snow: streaks that fall denser and longer at every step (Table 4), after ImageNet-C's corruption of that name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from coldbench.core.errors import BadInput
from coldbench.core.randomness import image_rng
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.degradations.blur import gaussian_kernel


@dataclass(frozen=True)
class Level:
    """What one severity level of the corruption fixes; ranges run linearly from the first step to the last.

    Attributes:
        mean, std: of the normal noise that flakes are cut from.
        zoom: how much the noise is magnified.
        threshold: noise below it is no flake.
        length: of the streaks' kernel, in taps.
        blur: std of that kernel, in pixels.
        brightness: weight of the image against its whitened self, where brightness is not fixed.
    """

    mean: float
    std: float
    zoom: float
    threshold: tuple[float, float]
    length: int
    blur: tuple[float, float]
    brightness: tuple[float, float]


LEVELS = {
    1: Level(0.1, 0.3, 3.0, (0.7, 0.3), 5, (0.5, 5.0), (0.95, 0.7)),
    2: Level(0.55, 0.3, 2.5, (1.15, 0.7), 11, (0.05, 12.0), (0.95, 0.55)),
    3: Level(0.55, 0.3, 2.5, (1.15, 0.7), 11, (0.05, 16.0), (0.95, 0.4)),
    4: Level(0.55, 0.3, 2.5, (1.15, 0.55), 11, (0.05, 20.0), (0.95, 0.3)),
}


class Snow(Degradation):
    """D(x, s) = clip(u + S_i + R_i, 0, 1) with u the image in [0, 1], i = s - 1, R_i = S_i turned by 180 degrees.

    One-shot, not cumulative: each severity is made from the clean image and the same flakes.

    Args:
        image_size: S, in pixels.
        timesteps: T.
        level: of the corruption, the harsher the higher.
        fix_brightness: leave the image's brightness alone, as the published runs do.
        images_per_field: consecutive images that share one field of flakes; the released evaluation shares one among
            the 16 images of a batch.

    Raises:
        BadInput: unknown level, or fields that no image has.
    """

    thresholds: Tensor
    streaks: Tensor
    brightness: Tensor
    context_name = "flakes"

    def __init__(
        self,
        *,
        image_size: int,
        timesteps: int,
        level: Literal[1, 2, 3, 4],
        fix_brightness: bool = True,
        images_per_field: int = 1,
    ) -> None:
        super().__init__(timesteps=timesteps, image_size=image_size)
        if level not in LEVELS:
            raise BadInput(f"unknown snow level {level}; known: {', '.join(map(str, LEVELS))}")
        if images_per_field < 1:
            raise BadInput(f"snow needs images_per_field of at least 1, not {images_per_field}")
        self.level = LEVELS[level]
        self.fix_brightness = fix_brightness
        self.images_per_field = images_per_field
        blurs = torch.linspace(*self.level.blur, timesteps).tolist()
        matrices = [_zero_padded(gaussian_kernel(self.level.length, std), image_size) for std in blurs]
        self.register_buffer("thresholds", torch.linspace(*self.level.threshold, timesteps), persistent=False)
        self.register_buffer("streaks", torch.stack(matrices), persistent=False)
        self.register_buffer("brightness", torch.linspace(*self.level.brightness, timesteps), persistent=False)

    def draw(self, indices: Sequence[int], seed: int) -> Tensor:
        """The fields of flakes, float32 (B, 2, S, S): [:, 0] where streaks are horizontal, [:, 1] where vertical."""
        fields = []
        for index in indices:
            rng = image_rng(seed, "snow", index // self.images_per_field)
            noise = rng.normal(self.level.mean, self.level.std, (self.image_size, self.image_size))
            fields.append(self.field(noise, vertical=rng.uniform() > 0.5))
        return torch.stack(fields)

    def field(self, noise: np.ndarray, *, vertical: bool) -> Tensor:
        """Normal noise (S, S) magnified about its centre, in the plane (of 2) of its direction: (2, S, S)."""
        planes = torch.zeros(2, self.image_size, self.image_size)
        planes[int(vertical)] = magnify(torch.from_numpy(noise), self.level.zoom).float()
        return planes

    def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
        if context is None:
            raise BadInput("snow needs its fields: pass what draw() gave")
        severity = torch.as_tensor(s, device=x0.device).expand(len(x0))
        step = (severity - 1).clamp(min=0)
        expanded = context.ndim == 5
        layer = context[torch.arange(len(x0), device=x0.device), step] if expanded else self.layer(context, step)
        snowed = self._whitened((x0 + 1) / 2, step) + layer
        snowed = snowed.clamp(0, 1) * 2 - 1
        return torch.where((severity == 0)[:, None, None, None], x0, snowed)

    def expand(self, context: Tensor | None) -> Tensor | None:
        """The layers of all steps, (B, T, 1, S, S), in one pass: they depend on the fields alone."""
        if context is None or context.ndim == 5:
            return context
        fields, steps = context.repeat_interleave(self.timesteps, dim=0), torch.arange(self.timesteps)
        layers = self.layer(fields, steps.to(context.device).repeat(len(context)))
        return layers.unflatten(0, (len(context), self.timesteps))

    def layer(self, field: Tensor, step: Tensor) -> Tensor:
        """S_i + R_i, (B, 1, S, S), of fields (B, 2, S, S) at the 0-based steps i (B,)."""
        threshold = self.thresholds[step][:, None, None, None]
        horizontal, vertical = torch.where(field < threshold, 0, field).clamp(0, 1).unbind(dim=1)
        streak = self.streaks[step]  # symmetric: the same matrix serves rows and columns
        snow = horizontal @ streak + streak @ vertical
        return (snow + snow.flip(-2, -1))[:, None]

    def _whitened(self, u: Tensor, step: Tensor) -> Tensor:
        """The dimmed, whitened image of the corruption, unless brightness is fixed."""
        if self.fix_brightness:
            return u
        weights = u.new_tensor([0.299, 0.587, 0.114] if u.shape[1] == 3 else [1.0])
        grey = (u * weights[:, None, None]).sum(dim=1, keepdim=True)
        brightness = self.brightness[step][:, None, None, None]
        return brightness * u + (1 - brightness) * torch.maximum(u, 1.5 * grey + 0.5)


def magnify(noise: Tensor, zoom: float) -> Tensor:
    """The centre of a square (S, S), magnified linearly, corner onto corner, and cut back to (S, S)."""
    size = len(noise)
    crop = math.ceil(size / zoom)
    top = (size - crop) // 2
    centre = noise[top : top + crop, top : top + crop]
    larger = round(crop * zoom)
    magnified = F.interpolate(centre[None, None], size=(larger, larger), mode="bilinear", align_corners=True)[0, 0]
    trim = (larger - size) // 2
    return magnified[trim : trim + size, trim : trim + size]


def _zero_padded(kernel: Tensor, size: int) -> Tensor:
    """The (size, size) float32 matrix of a 1-D convolution with zeros beyond the border."""
    offsets = torch.arange(size)[None, :] - torch.arange(size)[:, None] + len(kernel) // 2
    inside = (offsets >= 0) & (offsets < len(kernel))
    return torch.where(inside, kernel[offsets.clamp(0, len(kernel) - 1)], 0).float()
