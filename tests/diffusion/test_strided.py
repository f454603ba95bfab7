"""Fewer steps: the severities between which they go, and what the samplers make of them."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.core.steps import split_steps, with_steps
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.degradations.blend import Blend
from coldbench.diffusion.degradations.blur import blur
from coldbench.diffusion.degradations.noise import GaussianNoise
from coldbench.diffusion.degradations.part import Part
from coldbench.diffusion.degradations.strided import Strided, severities
from coldbench.diffusion.registries import SAMPLERS
from coldbench.diffusion.samplers import find_sampler
from tests.diffusion.test_samplers import noise, restore

BLUR = blur(image_size=32, timesteps=10, routine="constant", std=1.0)
NOISE = GaussianNoise(image_size=32, timesteps=10, channels=3)
BLEND = Blend(image_size=32, timesteps=10, channels=3)
#: Methods that go step by step -> a degradation that they sample from.
STEPWISE: dict[str, Degradation] = {
    **dict.fromkeys(("sampled", "improved", "naive", "ihdm", "perfect-symmetry", "broken-symmetry"), BLUR),
    **dict.fromkeys(("fixed-noise", "estimated-noise", "ddpm"), NOISE),
    "indi": BLEND,
}


def sampled(name: str, x_T: Tensor, context: Tensor | None = None) -> Tensor:
    degradation = STEPWISE.get(split_steps(name)[0], BLUR)
    return find_sampler(name).sample(restore, degradation, x_T, context, noise)


def plain(restore: object, degradation: Degradation, x_T: Tensor, context: Tensor | None, noise: object) -> Tensor:
    """A sampler from outside, which knows nothing of severities that are left out: Algorithm 1."""
    x = x_T
    for s in range(degradation.timesteps, 0, -1):
        x = degradation(restore(x, s), s - 1, context)  # type: ignore[operator]
    return x


@given(timesteps=st.integers(1, 2000), data=st.data())
def test_severities_are_spread_evenly(timesteps: int, data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, timesteps))
    found = severities(timesteps, steps)
    assert (found[0], found[-1], len(found)) == (0, timesteps, steps + 1)
    assert all(later > earlier for earlier, later in pairwise(found))
    assert all(abs(s - timesteps * i / steps) <= 0.5 for i, s in enumerate(found))
    assert {later - earlier for earlier, later in pairwise(found)} <= {timesteps // steps, -(-timesteps // steps)}


@pytest.mark.parametrize(
    ("timesteps", "steps", "expected"),
    [
        (20, 1, (0, 20)),
        (20, 5, (0, 4, 8, 12, 16, 20)),
        (3, 2, (0, 2, 3)),
        (10, 4, (0, 3, 5, 8, 10)),
        (4, 4, (0, 1, 2, 3, 4)),
    ],
)
def test_severities_by_hand(timesteps: int, steps: int, expected: tuple[int, ...]) -> None:
    assert severities(timesteps, steps) == expected


@pytest.mark.parametrize("steps", [0, -1, 11])
def test_steps_that_there_are_not(steps: int) -> None:
    with pytest.raises(BadInput, match=f"{steps} steps are none of this degradation, which has 1 to 10"):
        severities(10, steps)


def test_algorithm_2_in_four_of_ten_steps_by_hand(images: Tensor) -> None:
    """x_t = x_s - D(x0_hat, s) + D(x0_hat, t) from s = 10 to 8, 5, 3 and 0."""
    x = x_T = BLUR(images, 10)
    for s, t in ((10, 8), (8, 5), (5, 3), (3, 0)):
        x0_hat = restore(x, s)
        x = x - BLUR(x0_hat, s) + BLUR(x0_hat, t)
    torch.testing.assert_close(sampled("improved@4", x_T), x, atol=1e-6, rtol=0)


def test_algorithm_1_in_four_of_ten_steps_by_hand(images: Tensor) -> None:
    x = x_T = BLUR(images, 10)
    for s, t in ((10, 8), (8, 5), (5, 3), (3, 0)):
        x = BLUR(restore(x, s), t)
    assert torch.equal(sampled("naive@4", x_T), x)


def test_the_hot_methods_step_between_the_severities_of_the_schedule(images: Tensor) -> None:
    """Estimated noise and DDPM in two of ten steps, from s = 10 to 5 and 0, by their equations."""
    z = noise(99)
    abar = NOISE.alphas_cumprod[[9, 4]]
    first = restore(z, 10)
    eps = (z - abar[0].sqrt() * first) / (1 - abar[0]).sqrt()
    estimated = restore(abar[1].sqrt() * first + (1 - abar[1]).sqrt() * eps, 5)
    torch.testing.assert_close(sampled("estimated-noise@2", z, z), estimated)
    alpha = abar[0] / abar[1]
    x = (z - (1 - alpha) / (1 - abar[0]).sqrt() * eps) / alpha.sqrt() + (1 - alpha).sqrt() * noise(10)
    found = sampled("ddpm@2", z, z)
    torch.testing.assert_close(found, restore(x, 5), atol=1e-4, rtol=1e-4)


def test_indi_goes_its_part_of_the_way(images: Tensor) -> None:
    """From s = 10 to 5, half of the way to the estimate; from 5 to 0, all of it."""
    y = noise(99)
    halfway = y + (restore(y, 10) - y) / 2
    torch.testing.assert_close(sampled("indi@2", y, y), restore(halfway, 5))


@pytest.mark.parametrize("name", STEPWISE)
def test_all_steps_are_the_method_itself_to_the_last_bit(name: str, images: Tensor) -> None:
    context = None if STEPWISE[name] is BLUR else noise(99)
    x_T = STEPWISE[name](images, 10, context)
    assert torch.equal(sampled(f"{name}@10", x_T, context), sampled(name, x_T, context))


@pytest.mark.parametrize("name", [*STEPWISE, f"{__name__}:plain"])
def test_one_step_is_direct(name: str, images: Tensor) -> None:
    context = noise(99)
    assert torch.equal(sampled(f"{name}@1", images, context), restore(images, 10))


def test_a_sampler_from_outside_takes_fewer_steps_too(images: Tensor) -> None:
    assert torch.equal(sampled(f"{__name__}:plain@4", images), sampled("naive@4", images))


def test_the_network_is_called_once_a_step_and_told_the_true_severity(images: Tensor) -> None:
    calls: list[int] = []

    def counted(x: Tensor, s: int) -> Tensor:
        calls.append(s)
        return x

    find_sampler("improved@4").sample(counted, BLUR, images, None, noise)
    assert calls == [10, 8, 5, 3]


def test_only_methods_that_step_take_fewer_steps() -> None:
    assert {name for name in SAMPLERS if not find_sampler(name).stepwise} == {"degraded", "direct"}
    assert set(STEPWISE) | {"degraded", "direct"} == set(SAMPLERS)
    with pytest.raises(BadInput, match="direct takes no steps, so it cannot take 3 of them"):
        find_sampler("direct@3")


def test_too_many_steps_are_told(images: Tensor) -> None:
    with pytest.raises(BadInput, match="11 steps are none of this degradation, which has 1 to 10"):
        sampled("improved@11", images)


@pytest.mark.parametrize("name", ["sampled@0", "sampled@", "sampled@x", "sampled@1.5", "sampled@-2", "sampled@1@2@"])
def test_what_is_no_number_of_steps_is_no_method(name: str) -> None:
    assert name not in SAMPLERS
    with pytest.raises(BadInput, match="unknown sampler"):
        find_sampler(name)


def test_names_with_steps() -> None:
    assert "sampled@5" in SAMPLERS
    assert SAMPLERS.key("Sampled@5") == "sampled@5"
    assert split_steps(with_steps("my_module:S", 7)) == ("my_module:S", 7)
    assert split_steps("diffusers:/models@home") == ("diffusers:/models@home", None)


def test_severity_is_that_of_the_whole() -> None:
    assert [BLUR.severity(s) for s in (0, 3, 10)] == [0, 3, 10]
    some = Strided(BLUR, 4)
    assert [some.severity(s) for s in range(5)] == [0, 3, 5, 8, 10]
    assert [Strided(some, 2).severity(s) for s in range(3)] == [0, 5, 10]
    part = Strided(Part(BLUR, 6), 2)
    assert part.whole is BLUR
    assert [part.severity(s) for s in range(3)] == [0, 3, 6]


def test_one_severity_an_image(images: Tensor) -> None:
    some = Strided(BLUR, 4)
    both = some(images, torch.tensor([1, 4]))
    expected = torch.cat([BLUR(images[:1], 3), BLUR(images[1:], 10)])
    torch.testing.assert_close(both, expected)
