"""Gaussian blur, step after step (Table 1 and the cold half of Table 5)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.diffusion.degradations.separable import LAST_DECIMALS, SeparableDegradation

#: Schedule of each routine: kernel std at step i, given the ``std`` of the recipe, and the padding.
ROUTINES: dict[str, tuple[Callable[[int, float], float], str]] = {
    "constant": (lambda i, std: std, "circular"),
    "constant-reflect": (lambda i, std: std, "reflect"),
    "special-6": (lambda i, std: 0.35 + i / 100, "reflect"),
    "exponential": (lambda i, std: math.exp(std * i), "circular"),
    "exponential-reflect": (lambda i, std: math.exp(std * i), "reflect"),
}


Routine = Literal["constant", "constant-reflect", "special-6", "exponential", "exponential-reflect"]


def blur(
    *,
    image_size: int,
    timesteps: int,
    routine: Routine,
    kernel_size: int = 11,
    std: float | None = None,
    discrete: bool = False,
) -> SeparableDegradation:
    """The paper's blurs: T successive convolutions with a truncated Gaussian.

    Args:
        image_size: S, in pixels.
        timesteps: T.
        routine: how the kernels grow, and how the border is padded. Table 1 uses ``constant`` (MNIST), ``special-6``
            (CIFAR-10) and ``exponential-reflect`` (CelebA); Table 5 uses ``exponential``.
        kernel_size: k, odd, in taps.
        std: kernel std in pixels, above 0 (``constant``), or its growth rate a step (``exponential``); ``special-6``
            has a schedule of its own and takes none.
        discrete: the last step also replaces each channel by its mean, as blur generation does.

    Raises:
        BadInput: unknown routine, a std that it lacks or does not take, an even kernel, or one that the padding cannot
            serve.
    """
    if routine not in ROUTINES:
        raise BadInput(f"unknown blur routine '{routine}'; known: {', '.join(ROUTINES)}")
    if (std is None) == takes_std(routine):
        raise BadInput(f"the blur routine {routine} {'needs a' if std is None else 'takes no'} setting std")
    if routine.startswith("constant") and not (std or 0.0) > 0:
        raise BadInput(f"the blur routine {routine} needs a std above 0, not {std}")
    if kernel_size % 2 == 0 or not 0 < kernel_size // 2 < image_size:
        raise BadInput(
            f"blur kernel size {kernel_size} must be odd, at least 3, and reach less than {image_size} pixels"
        )
    schedule, padding = ROUTINES[routine]
    steps = [
        convolution_matrix(gaussian_kernel(kernel_size, schedule(i, std or 0.0)), image_size, padding)
        for i in range(timesteps)
    ]
    if discrete:
        steps[-1] = torch.full_like(steps[-1], 1 / image_size) @ steps[-1]
    return SeparableDegradation(torch.stack(steps), float32_only=LAST_DECIMALS)


def takes_std(routine: str) -> bool:
    """Whether the kernels of a routine depend on ``std``."""
    return routine.startswith(("constant", "exponential"))


def gaussian_kernel(size: int, std: float) -> Tensor:
    """Normalised Gaussian of ``size`` taps, float64, rounded to float32 where the released code does."""
    offsets = torch.arange(size, dtype=torch.float64) - size // 2
    weights = torch.exp(-(offsets**2) / (2 * std**2)).float()
    return (weights / weights.sum()).double()


def convolution_matrix(kernel: Tensor, size: int, padding: str) -> Tensor:
    """The (size, size) matrix of a 1-D convolution, taps beyond the border folded in by ``circular`` or ``reflect``."""
    reach = len(kernel) // 2
    source = torch.arange(size)[:, None] + torch.arange(-reach, reach + 1)[None, :]
    if padding == "circular":
        source = source % size
    else:
        source = source.abs()  # -j -> j; the edge pixel itself is not repeated
        source = (size - 1) - (size - 1 - source).abs()
    matrix = torch.zeros(size, size, dtype=torch.float64)
    return matrix.scatter_add_(1, source, kernel.expand(size, -1).contiguous())
