"""Heat against its equation and against scipy, and IHDM's sampler where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import fft, ndimage
from torch import Tensor

from coldbench.diffusion.degradations.heat import dct_matrix, heat
from coldbench.diffusion.sampling import Restore, ihdm_step, naive_step, sample

S, TIMESTEPS = 16, 8
SIGMAS = 0.5 * 40 ** (np.arange(TIMESTEPS) / (TIMESTEPS - 1))  # .5 to 20, evenly in the logarithm
HEAT = heat(image_size=S, timesteps=TIMESTEPS)


def decay(s: int) -> np.ndarray:
    """What is left of each mode (S, S) after s steps, by the equation."""
    time = SIGMAS[s - 1] ** 2 / 2 if s else 0.0
    squares = (math.pi * np.arange(S) / S) ** 2
    return np.exp(-time * (squares[:, None] + squares[None, :]))


@pytest.mark.parametrize(("n", "m"), [(0, 0), (1, 0), (0, 3), (2, 5), (15, 1)])
def test_a_cosine_decays_as_the_heat_equation_says(n: int, m: int) -> None:
    places = (torch.arange(S, dtype=torch.float64) + 0.5) / S
    mode = torch.outer(torch.cos(math.pi * n * places), torch.cos(math.pi * m * places))[None, None].float()
    for s in range(1, TIMESTEPS + 1):
        torch.testing.assert_close(HEAT(mode, s), float(decay(s)[n, m]) * mode, atol=2e-6, rtol=0)


@pytest.mark.parametrize("s", range(1, TIMESTEPS + 1))
def test_heat_is_what_scipy_s_transform_gives(s: int, images: Tensor) -> None:
    x = images[:, :, :S, :S]
    spectrum = fft.dctn(x.double().numpy(), axes=(2, 3), norm="ortho")
    expected = fft.idctn(decay(s) * spectrum, axes=(2, 3), norm="ortho")
    torch.testing.assert_close(HEAT(x, s).double(), torch.from_numpy(expected), atol=2e-6, rtol=0)


def test_heat_blurs_as_a_reflected_gaussian(images: Tensor) -> None:
    """At a sigma of two pixels, a sampled Gaussian is the heat kernel; the borders are mirrors."""
    warm = heat(image_size=32, timesteps=2, sigma_min=2.0, sigma_max=4.0)
    for s, sigma in ((1, 2.0), (2, 4.0)):
        expected = ndimage.gaussian_filter(images.double().numpy(), (0, 0, sigma, sigma), mode="reflect", truncate=8)
        torch.testing.assert_close(warm(images, s).double(), torch.from_numpy(expected), atol=2e-5, rtol=0)


def test_heat_neither_comes_nor_goes(images: Tensor) -> None:
    x = images[:, :, :S, :S]
    for s in range(TIMESTEPS + 1):
        torch.testing.assert_close(HEAT(x, s).mean(dim=(2, 3)), x.mean(dim=(2, 3)), atol=1e-6, rtol=0)


def test_the_cosines_are_orthonormal() -> None:
    cosines = dct_matrix(S)
    torch.testing.assert_close(cosines @ cosines.T, torch.eye(S, dtype=torch.float64))


def draw(s: int) -> Tensor:
    return torch.randn(2, 3, S, S, generator=torch.Generator().manual_seed(s))


def test_ihdm_without_noise_is_algorithm_1(images: Tensor) -> None:
    x_T = HEAT(images[:, :, :S, :S], TIMESTEPS)
    results = [
        sample(lambda x, s: torch.tanh(x) * s, HEAT, x_T, None, step).sampled
        for step in (ihdm_step(draw, delta=0.0), naive_step)
    ]
    assert torch.equal(*results)


def test_ihdm_adds_noise_of_its_delta_at_every_step_but_the_last(images: Tensor) -> None:
    """1.25 times .01 for images in [0, 1] (Rissanen et al. 2022), which is twice as much for images in [-1, 1]."""
    x = images[:, :, :S, :S]
    step = ihdm_step(draw)
    for s in range(2, TIMESTEPS + 1):
        torch.testing.assert_close(step(HEAT, x, x, s, None), HEAT(x, s - 1) + 2 * 1.25 * 0.01 * draw(s))
    assert torch.equal(step(HEAT, x, x * 0.9, 1, None), x * 0.9)


MEAN, COUNT, SIGMA, DELTA = 0.4, 2000, 0.1, 0.125


def posterior_mean(variance: np.ndarray) -> Restore:
    """E[x0 | x_s] where x_s has noise of std SIGMA on it, as IHDM trains, and the modes of x0 are N(mean, variance)."""
    mean = np.zeros((S, S))
    mean[0, 0] = MEAN * S

    def restore(x: Tensor, s: int) -> Tensor:
        d = decay(s)
        gain = variance * d / (variance * d**2 + SIGMA**2)
        spectrum = fft.dctn(x.double().numpy(), axes=(2, 3), norm="ortho")
        return torch.from_numpy(fft.idctn(mean + gain * (spectrum - d * mean), axes=(2, 3), norm="ortho"))

    return restore


def test_ihdm_samples_have_the_mean_and_variance_of_their_recursion() -> None:
    """Mode by mode, Var x_{s-1} = (d_{s-1} gain_s)^2 Var x_s + delta^2, from Var x_T = v d_T^2, no delta at s = 1.

    The data's variance falls with the frequency, as that of photographs does.
    """
    squares = np.arange(S)[:, None] ** 2 + np.arange(S)[None, :] ** 2
    v = 1 / (1 + squares)
    generator = torch.Generator().manual_seed(0)
    degradation = heat(image_size=S, timesteps=TIMESTEPS).double()

    def noise(s: int) -> Tensor:
        return torch.randn(COUNT, 1, S, S, generator=generator, dtype=torch.float64)

    x0 = MEAN + torch.from_numpy(fft.idctn(np.sqrt(v) * noise(0).numpy(), axes=(2, 3), norm="ortho"))
    step = ihdm_step(noise, DELTA)
    samples = sample(posterior_mean(v), degradation, degradation(x0, TIMESTEPS), None, step).sampled

    variance = v * decay(TIMESTEPS) ** 2
    for s in range(TIMESTEPS, 0, -1):
        gain = v * decay(s) / (v * decay(s) ** 2 + SIGMA**2)
        variance = (decay(s - 1) * gain) ** 2 * variance + (DELTA**2 if s > 1 else 0)
    spectrum = fft.dctn(samples.numpy(), axes=(2, 3), norm="ortho")[:, 0]
    assert samples.mean().item() == pytest.approx(MEAN, abs=4 * (variance[0, 0] / COUNT) ** 0.5 / S)
    # Five standard errors for 256 modes; the tables of D are float32.
    np.testing.assert_allclose(spectrum.var(axis=0), variance, rtol=5 * (2 / COUNT) ** 0.5, atol=1e-6)
