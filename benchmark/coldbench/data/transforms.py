"""From an image to the square of pixels that a row measures or a training run sees (PROTOCOL 4, 5.4, 6.0)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import functional as pictures

from coldbench.core.errors import BadInput
from coldbench.core.randomness import image_rng

#: Of a resized image, before it is cropped: about as many as Pillow reads.
_MOST_PIXELS = 1 << 27


@dataclass(frozen=True)
class Transform:
    """Resize the shorter side (bilinear, antialiased), crop a square, and perhaps flip it.

    Attributes:
        zoom: the shorter side becomes int(zoom * S) pixels.
        pad: zeros put around the image before a random crop, in pixels.
        random: crop anywhere and flip every other image left to right, instead of keeping the centre.

    An image that is not square loses its ends. (The released code squashes it in some rows; the paper's images are all
    square.)
    """

    zoom: float = 1.0
    pad: int = 0
    random: bool = False

    def __str__(self) -> str:
        resize = f"shorter side to {self.zoom:g} S" if self.zoom != 1 else "shorter side to S"
        pad = f", {self.pad} zeros around" if self.pad else ""
        return f"{resize}{pad}, {'crop S x S and flip at random' if self.random else 'centre S x S'}"

    def kept_size(self, image_size: int) -> int:
        """R, the side of what ``prepare`` gives for squares of S = ``image_size`` pixels."""
        return int(self.zoom * image_size) if self.random else image_size

    def keeps(self, side: int, image_size: int) -> bool:
        """Whether ``prepare`` leaves squares of this side as they are."""
        return side == int(self.zoom * image_size) == self.kept_size(image_size)

    def prepare(self, image: Image.Image, image_size: int) -> Image.Image:
        """What can be done once and for all: resize, and crop the centre R x R.

        Raises:
            BadInput: the image is so narrow that it would need gigabytes.
        """
        side, (short, long) = int(self.zoom * image_size), sorted(image.size)
        if side * side * long > _MOST_PIXELS * short:
            raise BadInput(f"it is too narrow, {image.width}x{image.height} pixels, to be resized whole; crop it first")
        resized = pictures.resize(image, side)
        return pictures.center_crop(resized, self.kept_size(image_size))

    def finish(self, pixels: Tensor, image_size: int, keys: Sequence[int], seed: int) -> Tensor:
        """What is drawn anew each time.

        Args:
            pixels: uint8 (B, C, R, R).
            image_size: S.
            keys: one an image; with the seed, they decide where it is cropped and whether it is flipped.
            seed: of the run.

        Returns:
            uint8 (B, C, S, S).
        """
        if not self.random:
            return pixels
        padded = F.pad(pixels, [self.pad] * 4)
        return torch.stack([_random_crop(x, image_size, seed, key) for x, key in zip(padded, keys, strict=True)])


def _random_crop(image: Tensor, image_size: int, seed: int, key: int) -> Tensor:
    rng = image_rng(seed, "crop", key)
    top, left = rng.integers(0, image.shape[-1] - image_size + 1, size=2)
    crop = image[:, top : top + image_size, left : left + image_size]
    return crop.flip(-1) if rng.random() < 0.5 else crop


#: By the name stored with a number, or written in a recipe.
TRANSFORMS = {
    "native": Transform(),
    "zoom": Transform(zoom=1.12),
    "zoom-random": Transform(zoom=1.12, random=True),
    "pad-random": Transform(pad=4, random=True),
}


def find_transform(name: str) -> Transform:
    """The transform of this name.

    Raises:
        BadInput: there is none.
    """
    if name not in TRANSFORMS:
        raise BadInput(f"unknown transform '{name}'; known: {', '.join(TRANSFORMS)}")
    return TRANSFORMS[name]


def to_model_range(pixels: Tensor) -> Tensor:
    """uint8 0..255 -> float32 in [-1, 1]."""
    return pixels.float() / 255 * 2 - 1
