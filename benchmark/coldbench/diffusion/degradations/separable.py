"""Degradations that act on rows and columns alike: D(x, s) = B_s x B_s^T with one small matrix a step.

Blur, heat and super-resolution are all of this form, padding and resampling included, so the product
B_s = K_{s-1} ... K_0 of the single steps is taken once, in float64, and no step is ever iterated over.
"""

from __future__ import annotations

import torch
from torch import Tensor

from coldbench.diffusion.degradations.base import Degradation

#: Why numbers of a blur mean nothing in an arithmetic of fewer digits than float32.
LAST_DECIMALS = "a blurred image lives in its last decimals, and bfloat16 has none of them"


class SeparableDegradation(Degradation):
    """Cumulative separable linear degradation.

    Args:
        steps: K_0 .. K_{T-1}, float64 (T, S, S); K_i maps a column of an image degraded i times to one degraded
            i + 1 times, and rows likewise.
        float32_only: see ``Degradation``.
    """

    steps: Tensor
    products: Tensor

    def __init__(self, steps: Tensor, *, float32_only: str = "") -> None:
        super().__init__(timesteps=len(steps), image_size=steps.shape[-1])
        if float32_only:
            self.float32_only = float32_only
        products = [torch.eye(self.image_size, dtype=torch.float64)]
        for step in steps:
            products.append(step @ products[-1])
        self.register_buffer("steps", steps.float(), persistent=False)
        self.register_buffer("products", torch.stack(products).float(), persistent=False)

    def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
        matrix = self.products[s]
        return both_sides(matrix[:, None] if matrix.ndim == 3 else matrix, x0)

    def pair(self, x0: Tensor, s: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        # One more step on D(x, s-1), not a second product: the rounding of both terms then cancels in their
        # difference, which is all that Algorithm 2 uses.
        milder = self(x0, s - 1)
        return both_sides(self.steps[s - 1], milder), milder


def both_sides(matrix: Tensor, x: Tensor) -> Tensor:
    """A x A^T on the last two axes; A is (S, S), or (B, 1, S, S) for one matrix an image."""
    return matrix @ x @ matrix.transpose(-1, -2)
