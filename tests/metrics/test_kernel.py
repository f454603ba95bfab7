"""KID against torch-fidelity's, and against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_kid import kid_features_to_metric

from coldbench.core.errors import BadInput
from coldbench.metrics import kernel
from coldbench.metrics.feature_sets import FeatureSet
from coldbench.metrics.intervals import GROUPS
from coldbench.metrics.kernel import KID, audit_kernel, kernel_distance, kernel_estimates
from coldbench.metrics.pairwise import Features


def random_features(count: int, dim: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator).relu() * (1 + seed / 10)


def seen(features: Tensor, batch: int = 64) -> Features:
    result = Features()
    for part in features.split(batch):
        result.update(part)
    return result


@pytest.mark.parametrize(("count", "dim"), [(30, 8), (200, 128), (50, 2048), (1500, 4)])
def test_kid_equals_torch_fidelity(count: int, dim: int) -> None:
    """One subset of all the images: nothing is left to draw, and the two are the same number."""
    a, b = random_features(count, dim, 0), random_features(count, dim, 1)
    theirs = kid_features_to_metric(a.double(), b.double(), kid_subsets=1, kid_subset_size=count, verbose=False)
    expected = float(theirs["kernel_inception_distance_mean"])
    assert kernel_distance(seen(a), seen(b)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_kid_of_sets_of_two_sizes_is_its_definition() -> None:
    a, b = random_features(7, 5, 0).double(), random_features(11, 5, 1).double()

    def k(x: Tensor, y: Tensor) -> float:
        return float((x @ y / 5 + 1) ** 3)

    within = [
        sum(k(x, y) for i, x in enumerate(each) for j, y in enumerate(each) if i != j) / (len(each) * (len(each) - 1))
        for each in (a, b)
    ]
    between = sum(k(x, y) for x in a for y in b) / 77
    assert kernel_distance(seen(a), seen(b)) == pytest.approx(sum(within) - 2 * between, rel=1e-6)


def test_kid_of_two_halves_of_one_distribution_is_about_zero_and_unbiased() -> None:
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(200):
        a, b = torch.randn(2, 40, 4, generator=generator)
        found.append(kernel_distance(seen(a), seen(b)))
    mean, error = torch.tensor(found).mean().item(), torch.tensor(found).std().item() / 200**0.5
    assert abs(mean) < 4 * error
    assert min(found) < 0 < max(found), "the unbiased estimate may be negative"


def test_what_the_originals_have_to_themselves_is_summed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many methods are compared with them, and however many groups are left out."""
    pairs = 0
    true = kernel._kernel

    def counted(x: Tensor, y: Tensor) -> Tensor:
        nonlocal pairs
        pairs += len(x) * len(y)
        return true(x, y)

    monkeypatch.setattr(kernel, "_kernel", counted)
    images, methods = 200, 3
    sets = [FeatureSet(random_features(images, 6, seed).numpy()) for seed in range(methods + 1)]
    kernel_estimates({str(number): each for number, each in enumerate(sets[1:])}, sets[0])
    # The pairs within a set once, those of two images of a group twice; the pairs of a set and the originals once.
    within = (images**2 + images**2 / GROUPS) / 2
    assert pairs == (methods + 1) * within + methods * images**2


def test_one_image_has_no_kid() -> None:
    with pytest.raises(BadInput, match="a kernel distance needs at least 2 images"):
        kernel_distance(seen(torch.ones(1, 4)), seen(torch.ones(5, 4)))
    with pytest.raises(BadInput, match="a kernel distance needs at least 2 images"):
        kernel_distance(seen(torch.ones(5, 4)), Features())


def test_the_audit_takes_an_accumulator_of_many_and_features_on_the_other_side() -> None:
    few, many = random_features(16, 32, 0), random_features(300, 32, 1)
    assert audit_kernel(few, many) < KID.audit_tolerance
    assert audit_kernel(few, seen(many)) < KID.audit_tolerance


def test_the_audit_finds_a_biased_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the diagonal left in the mean kernels, the usual mistake."""
    few, many = random_features(16, 32, 0), random_features(300, 32, 1)

    def biased(a: FeatureSet, b: FeatureSet) -> float:
        extra = [float(((f.all().double().square().sum(1) / 32 + 1) ** 3).mean()) / f.count for f in (a, b)]
        return kernel_distance(a, b) + sum(extra)

    monkeypatch.setattr(kernel, "kernel_distance", biased)
    assert audit_kernel(few, many) > KID.audit_tolerance
