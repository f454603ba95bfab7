"""Hot samplers where the answer is known: Gaussian data N(m, v), whose exact posterior mean is the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from coldbench.diffusion.degradations.noise import GaussianNoise
from coldbench.diffusion.sampling import Restore, ddpm_step, estimated_noise_step, improved_step, sample

MEAN, COUNT, TIMESTEPS = 0.7, 40_000, 400


def posterior_mean(degradation: GaussianNoise, variance: float) -> Restore:
    """E[x0 | x_s] for x0 ~ N(MEAN, variance)."""

    def restore(x: Tensor, s: int) -> Tensor:
        signal, noise = degradation.scales(s, x)
        gain = variance * signal / (variance * signal**2 + noise**2)
        return MEAN + gain * (x - signal * MEAN)

    return restore


def generate(variance: float, sampler: str) -> Tensor:
    degradation = GaussianNoise(image_size=1, timesteps=TIMESTEPS, channels=1).double()
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(COUNT, 1, 1, 1, generator=generator, dtype=torch.float64)
    step = {
        "ddpm": ddpm_step(lambda s: torch.randn(z.shape, generator=generator, dtype=torch.float64)),
        "estimated-noise": estimated_noise_step,
        "fixed-noise": improved_step,
    }[sampler]
    return sample(posterior_mean(degradation, variance), degradation, z, z, step).sampled


@pytest.mark.parametrize(("sampler", "variance"), [("ddpm", 1.0), ("estimated-noise", 1.0), ("estimated-noise", 0.25)])
def test_samples_have_the_mean_and_variance_of_the_data(sampler: str, variance: float) -> None:
    samples = generate(variance, sampler)
    # Four standard errors of COUNT samples: 4 sqrt(v / n) for the mean, 4 v sqrt(2 / n) for the variance; and 2 % of
    # the standard deviation for T = 400 steps instead of infinitely many.
    assert samples.mean().item() == pytest.approx(MEAN, abs=4 * (variance / COUNT) ** 0.5 + 0.02 * variance**0.5)
    assert samples.var().item() == pytest.approx(variance, rel=4 * (2 / COUNT) ** 0.5 + 0.04)


def test_ddpm_variance_is_that_of_its_recursion() -> None:
    """For v != 1, sigma^2 = 1 - a is not exact: Var x_{s-1} = slope^2 Var x_s + sigma^2, step by step."""
    degradation = GaussianNoise(image_size=1, timesteps=TIMESTEPS, channels=1)
    abar = np.concatenate([[1.0], degradation.get_buffer("alphas_cumprod").double().numpy()])
    v, variance = 0.25, 1.0
    for s in range(TIMESTEPS, 0, -1):
        alpha = abar[s] / abar[s - 1]
        gain = v * abar[s] ** 0.5 / (v * abar[s] + 1 - abar[s])
        slope = (1 - (1 - alpha) / (1 - abar[s]) * (1 - abar[s] ** 0.5 * gain)) / alpha**0.5
        variance = slope**2 * variance + (1 - alpha if s > 1 else 0)
    samples = generate(v, "ddpm")
    assert samples.var().item() == pytest.approx(variance, rel=4 * (2 / COUNT) ** 0.5)
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.02)


def test_fixed_noise_follows_its_differential_equation() -> None:
    """With z fixed, x = c z + ... obeys dc/dphi = d(noise) + gain c d(signal): it ends below the data's deviation."""
    variance = 1.0

    def slope(phi: float, c: np.ndarray) -> np.ndarray:
        signal, noise = np.sin(phi), np.cos(phi)
        gain = variance * signal / (variance * signal**2 + noise**2)
        return -np.sin(phi) + gain * c * np.cos(phi)

    c = solve_ivp(slope, (0, np.pi / 2), [1.0], rtol=1e-8).y[0, -1]
    samples = generate(variance, "fixed-noise")
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.05)
    assert samples.std().item() == pytest.approx(c, rel=0.05)
    assert c < 0.9
