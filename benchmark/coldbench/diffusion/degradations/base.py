"""What a degradation is: D(x, s) for s = 0..T, with everything random drawn beforehand, image by image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coldbench.core.errors import BadInput


class Degradation(nn.Module, ABC):
    """An image transform of severity s = 0 (the clean image) to s = T.

    Images are float tensors (B, C, S, S) in [-1, 1]. A module only so that its tables follow ``.to(device)``;
    it has no parameters.

    Attributes:
        timesteps: T.
        image_size: S, in pixels.
        settings: what it was built from, for records.
        float32_only: why numbers of it mean nothing in an arithmetic of fewer digits; empty where they do.
        context_name: what ``draw`` gives, in a word, for whoever keeps it in files.
    """

    float32_only = ""
    context_name = "context"

    def __init__(self, *, timesteps: int, image_size: int) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"name": type(self).__name__, "timesteps": timesteps, "image_size": image_size}
        self.timesteps = timesteps
        self.image_size = image_size

    @property
    def whole(self) -> Degradation:
        """The degradation that this one is a part of; itself, unless it is the first steps of another."""
        return self

    def severity(self, s: int) -> int:
        """The severity, of the ``whole``, of the s-th step of this one; s itself, unless it leaves out steps."""
        return s

    def found(self) -> dict[str, Any]:
        """Settings that were found out while it was built, such as the digest of images that it reads; for records."""
        return {}

    def draw(self, indices: Sequence[int], seed: int) -> Tensor | None:
        """Draw what is random about each image; None where nothing is.

        Args:
            indices: the images' positions in their data set.
            seed: of the run. The draw depends on (seed, purpose, index) alone, never on the batch.

        Returns:
            The context that ``forward`` and ``pair`` take, first axis the batch.
        """
        return None

    def context_as_images(self, context: Tensor) -> Tensor:
        """What files keep of a context, float32 (B, c, H, W); ``context_from_images`` makes it from them again."""
        return context.float()

    def context_from_images(self, images: Tensor, s: int) -> Tensor:
        """The context of images that were degraded to severity s, out of what files keep of it.

        Args:
            images: (B, c, H, W), see ``context_as_images``.
            s: severity, 1..T.

        Raises:
            BadInput: they cannot be that.
        """
        return images

    def expand(self, context: Tensor | None) -> Tensor | None:
        """The context in the form that serves every severity: what a whole trajectory shares is computed once."""
        return context

    @abstractmethod
    def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
        """D(x0, s), with D(x0, 0) = x0 exactly.

        Args:
            x0: clean images (B, C, S, S).
            s: severity 0..T, one for all or int64 (B,), one an image.
            context: what ``draw`` gave for these images, or ``expand`` made of it.
        """

    def pair(self, x0: Tensor, s: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(D(x0, s), D(x0, s-1)) for 1 <= s <= T: the two terms of Algorithm 2."""
        return self(x0, s, context), self(x0, s - 1, context)

    def observe(self, x_s: Tensor) -> Tensor:
        """What the network is given of a degraded image; the image itself unless the protocol quantises it."""
        return x_s


def check_channels(name: str, context: Tensor, x0: Tensor) -> None:
    """Whether what was drawn for images has their channels: one would be spread over all of them unnoticed.

    Args:
        name: of the degradation.
        context: (B, c, S, S).
        x0: (B, C, S, S).

    Raises:
        BadInput: c is not C.
    """
    drawn, channels = context.shape[-3], x0.shape[-3]
    if drawn != channels:
        raise BadInput(f"{name} has channels={drawn}, and the images have {channels}: --set channels={channels}")


def truncate_to_8_bit(x: Tensor) -> Tensor:
    """The 256 grey levels of an image file, values in [-1, 1], truncated toward zero (PROTOCOL 2.1, *discrete*)."""
    return torch.trunc((x + 1) * 0.5 * 255) / 255 * 2 - 1
