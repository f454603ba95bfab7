"""Intervals of many dimensions are those of the delete-a-group jackknife: to first order within ten per cent."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coldbench.core.errors import BadInput
from coldbench.data.datasets import open_mnist
from coldbench.data.decoding import decode
from coldbench.data.transforms import TRANSFORMS, to_model_range
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.catalog import find_entry
from coldbench.metrics import fid
from coldbench.metrics.deletion import deleted_estimates
from coldbench.metrics.digits import mnist_cnn
from coldbench.metrics.feature_sets import FeatureSet, by_groups
from coldbench.metrics.fid import FID, MANY, PLAIN_UP_TO, audit_frechet, frechet_estimates
from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.influence import influence_estimates
from coldbench.metrics.intervals import Estimate, difference

CPU = torch.device("cpu")
jackknife = by_groups(FeatureStatistics, frechet_distance)


def wide(images: Tensor) -> Tensor:
    """2,048 features by random convolutions: (B, 1, 32, 32) -> (B, 2048)."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 32, 5, stride=2), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2), nn.ReLU(), nn.Conv2d(64, 2048, 3),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    return torch.cat([network(part) for part in images.split(100)])


@cache
def digits(kind: str, space: str, first: int, count: int) -> Tensor:
    """Features of MNIST's test images, whole, blurred or shrunken."""
    with torch.inference_mode():
        source = open_mnist(Path())
        pixels = decode(source, transform=TRANSFORMS["native"], image_size=32, channels=1, count=first + count)
        x = to_model_range(pixels.batch(range(first, first + count)))
        if kind == "shrunken":
            x = build_degradation({"name": "superres", "image_size": 32, "timesteps": 1, "mode": "area"})(x, 1, None)
        if kind == "blurred":
            x = build_degradation(find_entry("mnist-blur").degradation)(x, 2, None)
        extract = mnist_cnn(CPU).extract if space == "mnist-cnn" else wide
        return extract((x + 1) / 2)


def sets(space: str, count: int, zeros: int = 0) -> tuple[dict[str, FeatureSet], FeatureSet]:
    ours = {kind: FeatureSet(digits(kind, space, 0, count).numpy(), zeros) for kind in ("shrunken", "blurred")}
    return ours, FeatureSet(digits("original", space, 0, count).numpy(), zeros)


def statistics(space: str, count: int) -> FeatureStatistics:
    """Of other digits: they have nothing to do with those that are compared with them."""
    seen = FeatureStatistics()
    seen.update(digits("original", space, 2000, count))
    return seen


def alike(found: Estimate, expected: Estimate) -> None:
    assert found.value == pytest.approx(expected.value, rel=1e-9)
    assert found.error() == pytest.approx(expected.error(), rel=0.1)


@pytest.mark.parametrize("zeros", [0, 31])
@pytest.mark.parametrize("paired", [True, False])
def test_many_images_of_few_dimensions(paired: bool, zeros: int) -> None:
    ours, originals = sets("mnist-cnn", 1500, zeros)
    against = originals if paired else statistics("mnist-cnn", 1500)
    found, expected = influence_estimates(ours, against), jackknife(ours, against)
    for kind in ours:
        alike(found[kind], expected[kind])
    differences = [difference(each["shrunken"], each["blurred"], paired=True) for each in (found, expected)]
    (low, high), (wanted_low, wanted_high) = (each.interval or (0.0, 0.0) for each in differences)
    assert high - low == pytest.approx(wanted_high - wanted_low, rel=0.1)


def deleted(a: Tensor, b: Tensor, groups: int = 20) -> Estimate:
    """The jackknife of few images of many dimensions: the singular values of their inner products do for it."""

    def distance(a: Tensor, b: Tensor) -> float:
        x, y = ((each - each.mean(0)) / math.sqrt(len(each) - 1) for each in (a, b))
        traces = x.square().sum() + y.square().sum()
        return float((a.mean(0) - b.mean(0)).square().sum() + traces - 2 * torch.linalg.svdvals(x @ y.T).sum())

    group = torch.arange(len(a)) * groups // len(a)
    without = [distance(a[group != g], b[group != g]) for g in range(groups)]
    return Estimate(distance(a, b), tuple(without))


def test_fewer_images_than_dimensions() -> None:
    ours, originals = sets("wide", 300)
    found = influence_estimates(ours, originals)
    for kind, features in ours.items():
        expected = deleted(features.all().double(), originals.all().double())
        assert found[kind].value == pytest.approx(expected.value, rel=1e-6)
        assert found[kind].error() == pytest.approx(expected.error(), rel=0.1)


@pytest.mark.parametrize("count", [60, 127, 129, 400])
@pytest.mark.parametrize("zeros", [0, 31])
def test_one_sample_of_not_many_more_images_than_dimensions(count: int, zeros: int) -> None:
    """Exactly the jackknife's replicates, by another way."""
    ours, _ = sets("mnist-cnn", count, zeros)
    against = statistics("mnist-cnn", 1500)
    found, expected = deleted_estimates(ours, against), jackknife(ours, against)
    for kind in ours:
        assert found[kind].value == pytest.approx(expected[kind].value, rel=1e-9)
        assert found[kind].replicates == pytest.approx(expected[kind].replicates, rel=1e-6)
        assert found[kind].error() == pytest.approx(expected[kind].error(), rel=1e-4)


@pytest.mark.parametrize("images", [2, 601 * MANY - 1, 601 * MANY])
def test_the_number_is_the_same_by_every_way(images: int) -> None:
    """In one dimension more than the plain way takes, of one sample and of pairs."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(images, 601, generator=generator) * scale for scale in (1.0, 1.2))
    ours, seen = {"a": FeatureSet(a.numpy())}, FeatureStatistics()
    seen.update(b)
    first, second = (frechet_estimates(ours, other)["a"].value for other in (seen, FeatureSet(b.numpy())))
    mine = FeatureStatistics()
    mine.update(a)
    expected = pytest.approx(frechet_distance(mine, seen), rel=1e-9)
    assert (first, second) == (expected, expected)


def test_the_reference_of_few_images_is_the_jackknife() -> None:
    ours, originals = sets("mnist-cnn", 100)
    for kind, expected in jackknife(ours, originals).items():
        found = deleted(ours[kind].all().double(), originals.all().double())
        assert found.replicates == pytest.approx(expected.replicates, rel=1e-8)


def test_both_roots_of_a_covariance_give_the_same_replicates() -> None:
    """The eigenvectors, of more images than dimensions; the images themselves, with one dimension of nothing more."""
    a, b = (torch.randn(65, 64, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    more = influence_estimates({"a": FeatureSet(a.numpy())}, FeatureSet(b.numpy()))["a"]
    a, b = (nn.functional.pad(each, (0, 1)) for each in (a, b))
    same = influence_estimates({"a": FeatureSet(a.numpy())}, FeatureSet(b.numpy()))["a"]
    assert same.value == pytest.approx(more.value, rel=1e-9)
    assert same.replicates == pytest.approx(more.replicates, rel=1e-6)


@pytest.mark.parametrize("way", ["influence_estimates", "deleted_estimates"])
def test_the_audit_finds_a_wrong_number_by_every_way(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A covariance divided by N instead of N - 1, on 16 images."""
    a, b = (torch.rand(count, 600, generator=torch.Generator().manual_seed(count)) for count in (16, 17))
    other: Tensor | FeatureStatistics = b
    if way == "deleted_estimates":
        other = FeatureStatistics()
        other.update(b)
    assert audit_frechet(a, other) < FID.audit_tolerance
    right = getattr(fid, way)

    def wrong(*sides: Any) -> dict[str, Estimate]:
        return {name: Estimate(each.value * 15 / 16) for name, each in right(*sides).items()}

    monkeypatch.setattr(fid, way, wrong)
    assert audit_frechet(a, other) > FID.audit_tolerance


@pytest.mark.parametrize("count", [40, 700])
def test_a_set_is_at_no_distance_from_itself(count: int) -> None:
    features = FeatureSet(torch.rand(count, 600, generator=torch.Generator().manual_seed(0)).numpy())
    estimate = frechet_estimates({"a": features}, features)["a"]
    assert features.dimensions > PLAIN_UP_TO
    assert estimate.value == pytest.approx(0, abs=1e-9)
    assert estimate.error() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("dimensions", [PLAIN_UP_TO, PLAIN_UP_TO + 1])
def test_features_without_any_spread_are_as_far_apart_as_their_means(dimensions: int) -> None:
    a, b = torch.zeros(8, dimensions), torch.full((8, dimensions), 2.0)
    estimate = frechet_estimates({"a": FeatureSet(a.numpy())}, FeatureSet(b.numpy()))["a"]
    assert estimate.value == pytest.approx(4 * dimensions)
    assert estimate.error() == pytest.approx(0, abs=1e-9)


def test_too_few_images_have_no_interval_or_no_distance() -> None:
    two = FeatureSet(torch.rand(2, 600).numpy())
    assert frechet_estimates({"a": two}, two)["a"].interval() is None
    one = FeatureSet(torch.rand(1, 600).numpy())
    with pytest.raises(BadInput, match="at least 2 images"):
        frechet_estimates({"a": one}, one)
