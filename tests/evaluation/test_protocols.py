"""The two protocols: which sampler a method is under each, and what else the released code does otherwise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.registries import DEGRADATIONS, SAMPLERS
from coldbench.diffusion.samplers import DEGRADED_IMAGE, find_sampler
from coldbench.diffusion.sampling import improved_step, naive_step, sample, shifted_naive_step, shifted_step
from coldbench.evaluation import PROTOCOLS
from coldbench.evaluation.protocols import RELEASED, Protocol, find_protocol

T = 4
RESTORING = [name for name in SAMPLERS if find_sampler(name).serves(DEGRADED_IMAGE)]


def restore(x: Tensor, s: int) -> Tensor:
    """An R that depends on everything that it is given."""
    return 0.9 * x.roll(1, -1) - 0.05 * s


def degradation() -> Degradation:
    return build_degradation({"name": "superres", "image_size": 16, "timesteps": T, "mode": "area"})


def images(protocol: Protocol, method: str, x_T: Tensor) -> Tensor:
    sampler = protocol.sampler(method)
    return sampler.sample(restore, degradation(), x_T, None, lambda s: torch.zeros_like(x_T))


@pytest.fixture(name="x_T")
def degraded() -> Tensor:
    return degradation()(torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1, T)


def test_the_paper_has_each_method_as_it_is_called(x_T: Tensor) -> None:
    paper = find_protocol("paper", "snow", "mnist")
    assert paper == Protocol("paper")
    for method in SAMPLERS:
        assert paper.sampler(method) is find_sampler(method)
    assert torch.equal(images(paper, "degraded", x_T), x_T)
    assert torch.equal(images(paper, "direct", x_T), restore(x_T, T))
    assert torch.equal(images(paper, "naive", x_T), sample(restore, degradation(), x_T, None, naive_step).sampled)
    for method in ("sampled", "improved"):
        expected = sample(restore, degradation(), x_T, None, improved_step).sampled
        assert torch.equal(images(paper, method, x_T), expected)


@pytest.mark.parametrize("family", RELEASED)
def test_what_the_released_code_scores(family: str, x_T: Tensor) -> None:
    """Literally, beside what the protocol makes of each method (PROTOCOL 6.1)."""
    released = find_protocol("released", family, "mnist")
    D = degradation()
    exact = sample(restore, D, x_T, None, improved_step)
    shifted = sample(restore, D, x_T, None, shifted_step)
    expected = {
        "blur": (x_T, exact.sampled),
        "inpaint": (exact.first_update, exact.last_prediction),
        "superres": (x_T, exact.last_prediction),
        "snow": (shifted.first_update, shifted.last_prediction),
    }[family]
    assert torch.equal(images(released, "degraded", x_T), expected[0])
    for method in ("sampled", "improved"):
        assert torch.equal(images(released, method, x_T), expected[1]), method
    assert torch.equal(images(released, "direct", x_T), exact.direct)
    step = shifted_naive_step if family == "snow" else naive_step
    assert torch.equal(images(released, "naive", x_T), sample(restore, D, x_T, None, step).sampled)


def test_these_four_differ_where_it_matters(x_T: Tensor) -> None:
    """The test above would be blind if the states were alike."""
    exact = sample(restore, degradation(), x_T, None, improved_step)
    shifted = sample(restore, degradation(), x_T, None, shifted_step)
    states = [x_T, *exact, shifted.first_update, shifted.last_prediction]
    assert all(not torch.equal(a, b) for number, a in enumerate(states) for b in states[:number])


def test_the_network_has_a_part_in_a_released_degraded_image_only_where_the_code_takes_one_step() -> None:
    uses = {family: find_protocol("released", family, "mnist").sampler("degraded").uses_network for family in RELEASED}
    assert uses == {"blur": False, "inpaint": True, "superres": False, "snow": True}
    assert not Protocol("paper").sampler("degraded").uses_network


def test_every_released_method_still_starts_from_a_degraded_image() -> None:
    for family in RELEASED:
        protocol = find_protocol("released", family, "mnist")
        assert [name for name in SAMPLERS if protocol.sampler(name).serves(DEGRADED_IMAGE)] == RESTORING


def test_the_other_quirks() -> None:
    for family in RELEASED:
        protocol = find_protocol("released", family, "mnist")
        assert (protocol.name, protocol.skipped, protocol.feature_batch) == ("released", 1, 50)
        assert [protocol.zero_features(images) for images in (49, 50, 53, 100)] == [49, 0, 3, 0]
    assert Protocol("paper").zero_features(53) == 0
    assert find_protocol("released", "inpaint", "mnist").settings == {"centre_outside": True}
    assert find_protocol("released", "snow", "mnist").settings == {"images_per_field": 16}
    cropped = {
        (dataset, family)
        for dataset in ("mnist", "cifar10", "celeba")
        for family in RELEASED
        if find_protocol("released", family, dataset).transform == "zoom-random"
    }
    assert cropped == {("celeba", "inpaint"), ("celeba", "superres")}


def test_protocols_by_name() -> None:
    assert PROTOCOLS == ("paper", "released")
    for family in DEGRADATIONS:
        assert find_protocol("paper", family, "mnist") == Protocol("paper")
    with pytest.raises(BadInput, match="unknown protocol 'papers'; known: paper, released"):
        find_protocol("papers", "blur", "mnist")
    with pytest.raises(BadInput, match="no evaluation of 'noise': use --protocol paper"):
        find_protocol("released", "noise", "mnist")


def test_a_method_that_there_is_not() -> None:
    with pytest.raises(BadInput, match="unknown sampler 'smapled'; did you mean sampled"):
        Protocol("paper").sampler("smapled")
