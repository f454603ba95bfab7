"""Some of the steps of a degradation, spread evenly, for samplers that go from x_T to x_0 in fewer of them."""

from __future__ import annotations

import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.diffusion.degradations.base import Degradation


def severities(timesteps: int, steps: int) -> tuple[int, ...]:
    """The severities 0 = s_0 < s_1 < ... < s_n = T between which n steps go: T i / n, halves rounded up.

    Where n divides T, they are each (T / n)-th.

    Args:
        timesteps: T.
        steps: n, 1..T.

    Raises:
        BadInput: another n.
    """
    if not 1 <= steps <= timesteps:
        raise BadInput(f"{steps} steps are none of this degradation, which has 1 to {timesteps}")
    return tuple((2 * timesteps * i + steps) // (2 * steps) for i in range(steps + 1))


class Strided(Degradation):
    """D(x, s_i) for i = 0..n: a degradation of n steps, each of which is some steps of another.

    With n = T it is the other, to the last bit.

    Args:
        of: the other.
        steps: n; see ``severities``.
    """

    def __init__(self, of: Degradation, steps: int) -> None:
        super().__init__(timesteps=steps, image_size=of.image_size)
        self.of, self.settings, self.severities = of, of.settings, severities(of.timesteps, steps)

    @property
    def whole(self) -> Degradation:
        return self.of.whole

    def severity(self, s: int) -> int:
        return self.of.severity(self.severities[s])

    def expand(self, context: Tensor | None) -> Tensor | None:
        return self.of.expand(context)

    def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
        severity = torch.tensor(self.severities, device=s.device)[s] if isinstance(s, Tensor) else self.severities[s]
        return self.of(x0, severity, context)

    def pair(self, x0: Tensor, s: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        harsher, milder = self.severities[s], self.severities[s - 1]
        if harsher - milder == 1:
            return self.of.pair(x0, harsher, context)
        return self.of(x0, harsher, context), self.of(x0, milder, context)

    def observe(self, x_s: Tensor) -> Tensor:
        return self.of.observe(x_s)
