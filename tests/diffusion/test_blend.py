"""Blends, and their two samplers on Gaussian data, whose exact posterior mean is the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from coldbench.core.errors import BadInput, Missing
from coldbench.data.datasets import open_source
from coldbench.data.transforms import to_model_range
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.degradations.blend import Blend
from coldbench.diffusion.degradations.noise import GaussianNoise
from coldbench.diffusion.sampling import Restore, Step, improved_step, indi_step, sample

MEAN, COUNT, TIMESTEPS = 0.7, 40_000, 400
CHECKERS = "tests.example_plugin:checkers"


@pytest.fixture
def y() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_blend_is_the_straight_line_from_x_to_y(images: Tensor, y: Tensor) -> None:
    blend = Blend(image_size=32, timesteps=5, channels=3)
    for s in range(6):
        torch.testing.assert_close(blend(images, s, y), (1 - s / 5) * images + s / 5 * y, atol=1e-6, rtol=0)
    assert torch.equal(blend(images, 5, y), y)  # to the last bit, or the network could read x in what should be noise


def test_a_blend_without_y_is_refused(images: Tensor) -> None:
    with pytest.raises(BadInput, match=r"blend needs y: pass what draw\(\) gave"):
        Blend(image_size=32, timesteps=5, channels=3)(images, 1)


def test_a_blend_goes_towards_images_of_the_set_that_is_named() -> None:
    drawn = Blend(image_size=24, timesteps=5, channels=3, towards=CHECKERS).draw(range(200), seed=0)
    array = torch.from_numpy(open_source(CHECKERS, Path()).array).movedim(-1, 1)
    distance = (drawn[:, None] - to_model_range(array)[None]).abs().amax(dim=(2, 3, 4))
    assert (distance.min(dim=1).values == 0).all()
    chosen = distance.argmin(dim=1).bincount(minlength=len(array))
    # Of 200 uniform draws, about 40 exp(-5) = .3 of the 40 images are missed, and none is drawn often.
    assert (chosen > 0).sum() >= 37
    assert chosen.max() < 20


def test_the_record_of_a_blend_tells_which_images_it_goes_towards() -> None:
    settings = {"name": "blend", "image_size": 24, "timesteps": 5, "channels": 3}
    assert build_degradation(settings).settings == {**settings, "towards": "noise"}
    recorded = build_degradation({**settings, "towards": CHECKERS}).settings
    assert recorded["digest"] == open_source(CHECKERS, Path()).digest
    assert build_degradation(recorded).settings == recorded


@pytest.mark.parametrize("towards", ["noise", CHECKERS])
def test_a_blend_towards_other_images_than_those_recorded_is_refused(towards: str) -> None:
    with pytest.raises(BadInput, match=f"blend towards {towards}: the digest is not 0123"):
        Blend(image_size=24, timesteps=5, channels=3, towards=towards, digest="0123")


def test_a_blend_towards_absent_images_says_so() -> None:
    with pytest.raises(Missing, match="coldbench fetch afhq"):
        Blend(image_size=24, timesteps=5, channels=3, towards="afhq")
    with pytest.raises(BadInput, match="no folder at nowhere"):
        Blend(image_size=24, timesteps=5, channels=3, towards="folder:nowhere")


@pytest.mark.parametrize(("kind", "name"), [(Blend, "blend"), (GaussianNoise, "noise")])
def test_what_is_drawn_for_grey_images_does_not_serve_coloured_ones(kind: Any, name: str, images: Tensor) -> None:
    """It would be the same in every channel."""
    grey = kind(image_size=32, timesteps=5, channels=1)
    with pytest.raises(BadInput, match=f"{name} has channels=1, and the images have 3: --set channels=3"):
        grey(images, 2, grey.draw(range(len(images)), seed=0))


def test_indi_goes_towards_the_y_that_x_s_implies(images: Tensor, y: Tensor) -> None:
    blend = Blend(image_size=32, timesteps=5, channels=3).double()
    x, x0_hat = images.double(), y.double()
    for s in range(1, 6):
        implied = x0_hat + 5 / s * (x - x0_hat)
        torch.testing.assert_close(blend(x0_hat, s, implied), x)
        torch.testing.assert_close(indi_step(blend, x, x0_hat, s, None), blend(x0_hat, s - 1, implied))


def test_algorithm_2_undoes_a_blend_exactly_with_the_y_it_was_made_of(images: Tensor, y: Tensor) -> None:
    """With y fixed, x_0 = y + (1/T) sum over s of (x0_hat_s - y): the mean of all predictions."""
    blend = Blend(image_size=32, timesteps=5, channels=3)
    predictions: list[Tensor] = []

    def restore(x: Tensor, s: int) -> Tensor:
        predictions.append(torch.tanh(x) * s / 5)
        return predictions[-1]

    restored = sample(restore, blend, y, y, improved_step).sampled
    torch.testing.assert_close(restored, torch.stack(predictions).mean(dim=0), atol=1e-5, rtol=0)


def test_indi_samples_from_blends_only(images: Tensor, y: Tensor) -> None:
    noise = GaussianNoise(image_size=32, timesteps=4, channels=3)
    with pytest.raises(BadInput, match="indi samples from blends only, such as --model mnist-blend"):
        indi_step(noise, y, images, 2, y)


def posterior_mean(blend: Blend, variance: float) -> Restore:
    """E[x0 | x_s] for x0 ~ N(MEAN, variance) and y ~ N(0, 1)."""

    def restore(x: Tensor, s: int) -> Tensor:
        noise = s / blend.timesteps
        signal = 1 - noise
        gain = variance * signal / (variance * signal**2 + noise**2)
        return MEAN + gain * (x - signal * MEAN)

    return restore


def generate(variance: float, step: Step) -> tuple[Tensor, Tensor]:
    """The y that generation starts from, and what becomes of it; both (COUNT,)."""
    blend = Blend(image_size=1, timesteps=TIMESTEPS, channels=1)
    y = torch.randn(COUNT, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return y.flatten(), sample(posterior_mean(blend, variance), blend, y, y, step).sampled.flatten()


@pytest.mark.parametrize("variance", [1.0, 0.25, 0.04])
def test_indi_samples_have_the_mean_and_variance_of_the_data(variance: float) -> None:
    """Its differential equation takes y to MEAN + sqrt(v) y, whatever v: see the next test for fixed y."""
    y, samples = generate(variance, indi_step)
    deviation = variance**0.5
    assert samples.mean().item() == pytest.approx(MEAN, abs=4 * deviation / COUNT**0.5 + 0.02 * deviation)
    assert samples.var().item() == pytest.approx(variance, rel=4 * (2 / COUNT) ** 0.5 + 0.04)
    torch.testing.assert_close(samples, MEAN + deviation * y, atol=0.1 * deviation, rtol=0)


@pytest.mark.parametrize("variance", [1.0, 0.25])
def test_fixed_y_follows_its_differential_equation(variance: float) -> None:
    """x = (1 - t) MEAN + c y with dc/dt = 1 - gain c: the mean is right, and the deviation not that of the data."""

    def slope(t: float, c: np.ndarray) -> np.ndarray:
        return 1 - variance * (1 - t) / (variance * (1 - t) ** 2 + t**2) * c

    c = solve_ivp(slope, (1, 0), [1.0], rtol=1e-8, atol=1e-10).y[0, -1]
    y, samples = generate(variance, improved_step)
    torch.testing.assert_close(samples, MEAN + c * y, atol=0.02, rtol=0)
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert samples.std().item() == pytest.approx(c, rel=0.02)
    assert c < 0.5 * variance**0.5
