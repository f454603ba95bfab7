"""Blending one image into another (animorphosis), or into noise, along a straight line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.core.paths import data_folder
from coldbench.core.randomness import image_rng, normal_images
from coldbench.data.datasets import open_source
from coldbench.data.decoding import Pixels, decode
from coldbench.data.transforms import find_transform, to_model_range
from coldbench.diffusion.degradations.base import Degradation, check_channels

#: The value of ``towards`` that names no images.
NOISE = "noise"


class Blend(Degradation):
    """D(x, s) = x + (s/T) (y - x), with another image or noise y as context; D(x, T) = y, nothing of x being left.

    From noise to images it is the straight path of Iterative alpha-(de)Blending (Heitz et al. 2023) and of InDI
    (Delbracio & Milanfar 2023), whose sampler is ``indi``; from one data set to another, the paper's animorphosis.

    Args:
        image_size: S, in pixels.
        timesteps: T.
        channels: C of the images.
        towards: what y is. ``noise`` is standard normal. The name of a data set stands for its test images, folder:PATH
            or npz:PATH for other images; one of them is drawn for each x, and where x is among them, it may be x
            itself. Data sets that do not ship are looked for where coldbench fetch puts them unless told otherwise.
        digest: that the images of ``towards`` must have; found out unless given.

    Raises:
        BadInput: images that cannot be read or have another digest, a digest of noise, or a C that is not 1 or 3.
        Missing: a known data set that is absent.
    """

    context_name = "other"

    def __init__(
        self, *, image_size: int, timesteps: int, channels: int, towards: str = NOISE, digest: str | None = None
    ) -> None:
        super().__init__(timesteps=timesteps, image_size=image_size)
        if channels not in (1, 3):
            raise BadInput(f"blend needs 1 or 3 channels, not {channels}")
        self.shape = (channels, image_size, image_size)
        self.images = None if towards == NOISE else _decoded(towards, image_size, channels)
        if digest is not None and digest != self.found().get("digest"):
            raise BadInput(f"blend towards {towards}: the digest is not {digest}; without that setting, any will do")

    def found(self) -> dict[str, Any]:
        return {"digest": self.images.source.digest} if self.images else {}

    def draw(self, indices: Sequence[int], seed: int) -> Tensor:
        """y, float32 (B, C, S, S): standard normal, or images in [-1, 1], each drawn from all with equal odds."""
        if self.images is None:
            return normal_images(indices, seed, "noise", self.shape)
        count = self.images.count
        drawn = [int(image_rng(seed, "blend-image", index).integers(count)) for index in indices]
        return to_model_range(self.images.batch(drawn))

    def context_as_images(self, context: Tensor) -> Tensor:
        """y in [0, 1], or beyond where it is noise."""
        return (context + 1) / 2

    def context_from_images(self, images: Tensor, s: int) -> Tensor:
        """y in [-1, 1]."""
        return images * 2 - 1

    def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
        if context is None:
            raise BadInput("blend needs y: pass what draw() gave")
        check_channels("blend", context, x0)
        severity = torch.as_tensor(s, dtype=x0.dtype, device=x0.device).reshape(-1, 1, 1, 1)
        # lerp is exact at both ends: x itself at s = 0, and at s = T no last decimal of x.
        return torch.lerp(x0, context, severity / self.timesteps)


@cache
def _decoded(spec: str, image_size: int, channels: int) -> Pixels:
    """The images of a specification, opened and decoded once, however many blends go towards them."""
    try:
        source = open_source(spec, data_folder())
    except BadInput as error:
        raise BadInput(f"blend goes towards {NOISE} or other images: {error}") from error
    return decode(source, transform=find_transform("native"), image_size=image_size, channels=channels)
