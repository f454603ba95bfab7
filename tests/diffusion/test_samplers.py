"""Methods by name: what each samples, what it starts from, and a plain function in the place of one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.degradations.blend import Blend
from coldbench.diffusion.degradations.blur import blur
from coldbench.diffusion.degradations.noise import GaussianNoise
from coldbench.diffusion.registries import SAMPLERS
from coldbench.diffusion.samplers import ANY, Noise, Sampler, find_sampler
from coldbench.diffusion.sampling import (
    Restore,
    ddpm_step,
    estimated_noise_step,
    ihdm_step,
    improved_step,
    indi_step,
    naive_step,
    sample,
)

BLUR = blur(image_size=32, timesteps=4, routine="constant", std=1.0)
NOISE = GaussianNoise(image_size=32, timesteps=4, channels=3)
BLEND = Blend(image_size=32, timesteps=4, channels=3)


def halfway(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, noise: Noise) -> Tensor:
    """The mean of x_T and its direct restoration: a method from outside."""
    return (x_T + restore(x_T, degradation.timesteps)) / 2


dimmed = Sampler(halfway, start="noise")


def restore(x: Tensor, s: int) -> Tensor:
    """Some restorer."""
    return torch.tanh(x) * (1 - s / 50)


def noise(s: int) -> Tensor:
    """Fresh noise of step s."""
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(s))


@pytest.mark.parametrize(
    ("name", "step"),
    [("sampled", improved_step), ("improved", improved_step), ("naive", naive_step), ("ihdm", ihdm_step(noise))],
)
def test_algorithms_by_name(name: str, step: object, images: Tensor) -> None:
    x_T = BLUR(images, 4)
    expected = sample(restore, BLUR, x_T, None, step).sampled  # type: ignore[arg-type]
    assert torch.equal(find_sampler(name).sample(restore, BLUR, x_T, None, noise), expected)


@pytest.mark.parametrize(
    ("name", "step"),
    [("fixed-noise", improved_step), ("estimated-noise", estimated_noise_step), ("ddpm", ddpm_step(noise))],
)
def test_hot_samplers_by_name(name: str, step: object) -> None:
    z = noise(99)
    expected = sample(restore, NOISE, z, z, step).sampled  # type: ignore[arg-type]
    assert torch.equal(find_sampler(name).sample(restore, NOISE, z, z, noise), expected)


@pytest.mark.parametrize(("name", "step"), [("fixed-noise", improved_step), ("indi", indi_step)])
def test_samplers_of_blends_by_name(name: str, step: object) -> None:
    y = noise(99)
    expected = sample(restore, BLEND, y, y, step).sampled  # type: ignore[arg-type]
    assert torch.equal(find_sampler(name).sample(restore, BLEND, y, y, noise), expected)


def test_degraded_is_the_image_itself_and_direct_a_single_step(images: Tensor) -> None:
    def never(x: Tensor, s: int) -> Tensor:
        raise AssertionError

    assert find_sampler("degraded").sample(never, BLUR, images, None, noise) is images
    assert torch.equal(find_sampler("direct").sample(restore, BLUR, images, None, noise), restore(images, 4))


def test_only_what_is_degraded_needs_no_network() -> None:
    assert [name for name in SAMPLERS if not find_sampler(name).uses_network] == ["degraded"]


def test_the_starts_of_the_methods() -> None:
    """Tables 1-4 begin with a degraded image, the hot half of Table 5 with noise, the cold half with channel means."""
    starts = {name: find_sampler(name).start for name in SAMPLERS}
    assert {name for name, start in starts.items() if start == "noise"} == {"fixed-noise", "estimated-noise", "ddpm"}
    cold = {name for name, start in starts.items() if start == "channel-means"}
    assert cold == {"perfect-symmetry", "broken-symmetry"}
    assert {name for name, start in starts.items() if start == ANY} == {"indi", "ihdm"}
    assert set(starts.values()) == {"noise", "degraded", "channel-means", ANY}
    assert find_sampler("perfect-symmetry").symmetry_noise == 0
    assert find_sampler("broken-symmetry").symmetry_noise == 0.002


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_a_method_serves_the_models_that_begin_as_it_does(name: str) -> None:
    sampler = find_sampler(name)
    served = [start for start in ("degraded", "noise", "channel-means") if sampler.serves(start)]
    assert served == (["degraded", "noise", "channel-means"] if sampler.start == ANY else [sampler.start])


@pytest.mark.parametrize(
    ("start", "degradation", "made"),
    [
        ("noise", NOISE, {"fixed-noise", "estimated-noise", "ddpm"}),
        ("noise", BLEND, {"fixed-noise", "indi"}),
        ("channel-means", BLUR, {"perfect-symmetry", "broken-symmetry"}),
        ("degraded", BLUR, {"degraded", "sampled", "improved", "direct", "naive"}),
        ("degraded", BLEND, {"degraded", "sampled", "improved", "direct", "naive", "indi"}),
    ],
)
def test_the_methods_that_are_made_for_a_model(start: str, degradation: Degradation, made: set[str]) -> None:
    assert {name for name in SAMPLERS if find_sampler(name).is_made_for(start, degradation)} == made


def test_a_plain_function_serves_as_a_sampler_from_any_start(images: Tensor) -> None:
    sampler = find_sampler(f"{__name__}:halfway")
    assert sampler.start == ANY
    assert all(sampler.serves(start) for start in ("degraded", "noise", "channel-means"))
    assert sampler.uses_network
    found = sampler.sample(restore, BLUR, images, None, noise)
    assert torch.equal(found, halfway(restore, BLUR, images, None, noise))


def test_a_sampler_from_outside_says_what_it_starts_from() -> None:
    sampler = find_sampler(f"{__name__}:dimmed")
    assert sampler is dimmed
    assert sampler.serves("noise")
    assert not sampler.serves("degraded")


def test_what_is_no_sampler_is_named() -> None:
    with pytest.raises(BadInput, match=r"unknown sampler 'sampeld'; did you mean sampled"):
        find_sampler("sampeld")
    with pytest.raises(BadInput, match=r"sampler 'math:pi' is float, not a function \(R, D, x_T, context, noise\)"):
        find_sampler("math:pi")


@pytest.mark.parametrize("degradation", [BLUR, BLEND])
@pytest.mark.parametrize("name", ["estimated-noise", "ddpm"])
def test_hot_samplers_refuse_other_degradations(name: str, degradation: Degradation, images: Tensor) -> None:
    with pytest.raises(BadInput, match="sample from Gaussian noise only; from blends, indi does"):
        find_sampler(name).sample(restore, degradation, images, images, noise)


@pytest.mark.parametrize("degradation", [BLUR, NOISE])
def test_indi_refuses_what_is_no_blend(degradation: Degradation, images: Tensor) -> None:
    with pytest.raises(BadInput, match="indi samples from blends only, such as --model mnist-blend"):
        find_sampler("indi").sample(restore, degradation, images, images, noise)
