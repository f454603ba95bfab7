"""The samplers against what the paper proves about them."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.degradations.blur import blur
from coldbench.diffusion.sampling import improved_step, naive_step, sample, shifted_naive_step, shifted_step


class Linear(Degradation):
    """D(x, s) = x + s e, the first-order degradation of the paper's Section 3.3, in float64."""

    def __init__(self, e: Tensor, timesteps: int) -> None:
        super().__init__(timesteps=timesteps, image_size=e.shape[-1])
        self.e = e

    def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
        return x0 + s * self.e


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), timesteps=st.integers(1, 30), scale=st.floats(0.01, 100))
def test_algorithm_2_is_exact_for_linear_degradations_whatever_the_restorer(
    seed: int, timesteps: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x0, e = torch.randn(2, 2, 1, 8, 8, generator=generator, dtype=torch.float64)
    degradation = Linear(e, timesteps)

    def nonsense(x: Tensor, s: int) -> Tensor:
        return scale * torch.sin(x * s) + torch.randn(x.shape, generator=generator, dtype=torch.float64)

    restored = sample(nonsense, degradation, degradation(x0, timesteps), None, improved_step)
    torch.testing.assert_close(restored.sampled, x0, atol=1e-9 * max(scale, timesteps), rtol=0)


def test_algorithm_1_is_not(images: Tensor) -> None:
    degradation = Linear(torch.ones(1), 5)
    restored = sample(lambda x, s: x * 0.9, degradation, degradation(images, 5), None, naive_step)
    assert (restored.sampled - images).abs().max() > 0.1


def test_a_perfect_restorer_restores_perfectly(images: Tensor) -> None:
    degradation = blur(image_size=32, timesteps=4, routine="constant", kernel_size=11, std=1.0)
    for step in (naive_step, improved_step):
        restored = sample(lambda x, s: images, degradation, degradation(images, 4), None, step)
        for result in (restored.direct, restored.last_prediction, restored.sampled):
            torch.testing.assert_close(result, images, atol=1e-6, rtol=0)


def test_released_snow_steps_are_one_severity_too_mild(images: Tensor) -> None:
    """PROTOCOL 3, with S_i the 0-based severity i, which is D(., i + 1) here."""
    degradation = Linear(torch.ones(1), 5)
    x0_hat = images * 0.9
    for s in (5, 4, 3):
        expected = images - degradation(x0_hat, s - 1) + degradation(x0_hat, s - 2)
        torch.testing.assert_close(shifted_step(degradation, images, x0_hat, s, None), expected)
        torch.testing.assert_close(shifted_naive_step(degradation, images, x0_hat, s, None), degradation(x0_hat, s - 2))
    torch.testing.assert_close(
        shifted_step(degradation, images, x0_hat, 2, None), images - degradation(x0_hat, 1) + x0_hat
    )
    assert torch.equal(shifted_step(degradation, images, x0_hat, 1, None), images)
    assert torch.equal(shifted_naive_step(degradation, images, x0_hat, 2, None), x0_hat)
    assert torch.equal(shifted_naive_step(degradation, images, x0_hat, 1, None), x0_hat)


def test_the_restorer_is_called_from_the_last_step_to_the_first(images: Tensor) -> None:
    calls: list[int] = []

    def record(x: Tensor, s: int) -> Tensor:
        calls.append(s)
        return x + s

    degradation = Linear(torch.zeros(1), 4)
    restored = sample(record, degradation, images, None, naive_step)
    assert calls == [4, 3, 2, 1]
    torch.testing.assert_close(restored.direct, images + 4)
    torch.testing.assert_close(restored.last_prediction, images + 10)
    torch.testing.assert_close(restored.sampled, images + 10)
