"""Inpainting: a Gaussian hole that widens at every step (Table 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.core.randomness import image_rng
from coldbench.diffusion.degradations.base import Degradation, truncate_to_8_bit

#: How far the pixels of a mask may be from those of a hole: a step of 8 bits.
_ROUNDED = 1 / 255


class Inpainting(Degradation):
    """D(x, s) = P_s x with P_s = m_0 ... m_{s-1}, where m_i = 1 - exp(-r^2 / (2 sigma_i^2)).

    Images are multiplied in [-1, 1], so the hole is mid-grey.

    Args:
        image_size: S, in pixels.
        timesteps: T.
        kernel_std: growth of sigma a step, in pixels, above 0: sigma_i = kernel_std * (i + initial_mask).
        initial_mask: the steps that the hole is ahead of sigma = 0, at least 1; see ``kernel_std``.
        centred: the hole at the image's centre (CelebA), or anywhere, drawn for each image (MNIST, CIFAR-10).
        discrete: the degraded image passes through 8 bits before the network sees it.
        centre_outside: random holes may also be centred one pixel outside the image, as in the released code.

    Raises:
        BadInput: a hole without a width.
    """

    masks: Tensor
    products: Tensor
    context_name = "mask"

    def __init__(
        self,
        *,
        image_size: int,
        timesteps: int,
        kernel_std: float,
        initial_mask: int,
        centred: bool = False,
        discrete: bool = False,
        centre_outside: bool = False,
    ) -> None:
        super().__init__(timesteps=timesteps, image_size=image_size)
        if not kernel_std > 0:
            raise BadInput(f"inpainting needs a kernel_std above 0, not {kernel_std}")
        if initial_mask < 1:
            raise BadInput(f"inpainting needs an initial_mask of at least 1, not {initial_mask}")
        self.centred = centred
        self.discrete = discrete
        self.offsets = image_size + int(centre_outside)
        # A randomly placed hole is a window into a mask twice the size, with the hole at its centre.
        size = image_size if centred else 2 * image_size
        masks = torch.stack([hole(size, kernel_std * (i + initial_mask)) for i in range(timesteps)])
        # float32, one factor after the other: the product must underflow to the exact zero of the released masks.
        products = torch.cumprod(torch.cat([torch.ones(1, size, size), masks]), dim=0)
        self.register_buffer("masks", masks, persistent=False)
        self.register_buffer("products", products, persistent=False)

    def draw(self, indices: Sequence[int], seed: int) -> Tensor | None:
        """Window offsets (rows, columns), int64 (B, 2), uniform on 0..S-1; None for a centred hole.

        The hole's centre, S - 1 - offset, is thus a pixel of the image. The released code also draws S, a centre just
        outside, and then misses Table 2's Degraded SSIM by .016 instead of .004.
        """
        if self.centred:
            return None
        draws = [image_rng(seed, "inpaint-offset", i).integers(0, self.offsets, size=2) for i in indices]
        return torch.from_numpy(np.stack(draws))

    def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
        return x0 * self._windows(self.products, s, context)

    def pair(self, x0: Tensor, s: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        milder = self(x0, s - 1, context)
        return milder * self._windows(self.masks, s - 1, context), milder

    def _windows(self, table: Tensor, step: int | Tensor, offsets: Tensor | None) -> Tensor:
        """The masks of ``table`` (steps, size, size) at ``step``, each image's own window: (B or 1, 1, S, S)."""
        if offsets is None:
            masks = table[step]
            return masks[:, None] if masks.ndim == 3 else masks[None, None]
        window = torch.arange(self.image_size, device=table.device)
        rows = offsets[:, 0, None, None] + window[:, None]
        columns = offsets[:, 1, None, None] + window[None, :]
        steps = step[:, None, None] if isinstance(step, Tensor) else step
        return table[steps, rows, columns][:, None]

    def context_as_images(self, context: Tensor) -> Tensor:
        """The masks P_T, (B, 1, S, S) in [0, 1]: 0 in the hole, 1 far from it."""
        return self._windows(self.products, self.timesteps, context)

    def context_from_images(self, images: Tensor, s: int) -> Tensor:
        """The offsets whose masks P_s these are, to the rounding of 8 bits; see ``draw``."""
        return torch.stack([self._offset(mask.to(self.products), s) for mask in images[:, 0]])

    def _offset(self, mask: Tensor, s: int) -> Tensor:
        """The offset (2,) of the window of P_s that is nearest to a mask (S, S)."""
        nearest, found = math.inf, (0, 0)
        rows = self.products[s].unfold(0, self.image_size, 1).unfold(1, self.image_size, 1)[: self.offsets]
        for row, windows in enumerate(rows):
            differences = (windows[: self.offsets] - mask).abs().amax(dim=(1, 2))
            column = int(differences.argmin())
            if differences[column] < nearest:
                nearest, found = float(differences[column]), (row, column)
        if not nearest <= _ROUNDED:
            raise BadInput(
                f"a mask is no hole of this degradation at severity {s}: it is {nearest:.3f} from the most alike, and "
                f"{_ROUNDED:.3f} is what 8 bits round"
            )
        return torch.tensor(found, device=mask.device)

    def observe(self, x_s: Tensor) -> Tensor:
        return truncate_to_8_bit(x_s) if self.discrete else x_s


def hole(size: int, std: float) -> Tensor:
    """Mask (size, size), float32: 1 far away, exactly 0 at pixel (size/2 - 1, size/2 - 1).

    The released masks are Gaussian kernels of odd size without their first row and column (PROTOCOL 2.2).
    """
    offsets = torch.arange(size, dtype=torch.float64) - (size // 2 - 1)
    gaussian = torch.exp(-(offsets**2) / (2 * std**2)).float()
    return 1 - torch.outer(gaussian, gaussian)
