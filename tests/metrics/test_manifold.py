"""Precision and recall against torch-fidelity's, and where they can be counted by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_prc import prc_features_to_metric

from coldbench.core.errors import BadInput
from coldbench.metrics import manifold
from coldbench.metrics.feature_sets import FeatureSet
from coldbench.metrics.manifold import (
    PRECISION,
    RECALL,
    audit_precision,
    audit_recall,
    precision,
    precision_estimates,
    recall,
    recall_estimates,
)
from coldbench.metrics.metric import Metric
from coldbench.metrics.pairwise import Features, as_set


def random_features(count: int, dim: int, seed: int, shift: float = 0.0) -> Tensor:
    """As of a network: none is negative."""
    return (torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) + shift).relu()


def both(ours: Tensor, others: Tensor) -> tuple[float, float]:
    return precision(as_set(ours), as_set(others)), recall(as_set(ours), as_set(others))


def torch_fidelity(ours: Tensor, others: Tensor) -> tuple[float, float]:
    found = prc_features_to_metric(ours, others, verbose=False)
    return found["precision"], found["recall"]


@pytest.mark.parametrize(
    ("count", "others", "dim"), [(4, 4, 3), (16, 16, 128), (300, 300, 16), (200, 700, 2048), (1500, 600, 4)]
)
def test_they_equal_torch_fidelity(count: int, others: int, dim: int) -> None:
    """On features of both precisions: none of these images is on the surface of a ball."""
    a, b = random_features(count, dim, 0, 0.5 / dim**0.5), random_features(others, dim, 1)
    found = both(a, b)
    assert found == pytest.approx(torch_fidelity(a.double(), b.double()), rel=1e-6)
    assert found == pytest.approx(torch_fidelity(a, b), rel=1e-6)
    if count > 16:
        assert all(0.01 < share < 0.99 for share in found), "a share that says nothing"


def test_they_are_their_definition() -> None:
    a, b = random_features(40, 5, 0, 0.4).double(), random_features(30, 5, 1).double()

    def share(points: Tensor, centres: Tensor) -> float:
        radii = [sorted(float((x - y).norm()) for y in centres)[3] for x in centres]
        found = [any(float((p - x).norm()) <= r for x, r in zip(centres, radii, strict=True)) for p in points]
        return sum(found) / len(found)

    assert both(a, b) == pytest.approx((share(a, b), share(b, a)))


def test_images_on_a_line() -> None:
    """Of 0, 1, 2, 3 the balls reach from -3 to 6; of 5, 6, 7, 20 from -10 to 35."""
    few = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    others = torch.tensor([[5.0], [6.0], [7.0], [20.0]])
    assert both(few, others) == (1.0, 0.5)
    assert both(others, few) == (0.5, 1.0)
    apart = others + 100
    assert both(few, apart) == (0.0, 0.0)


@pytest.mark.parametrize(("ours", "others"), [(40, 40), (5, 40), (40, 5), (600, 40)])
def test_equal_features_lie_in_one_another_s_balls_of_no_size(ours: int, others: int) -> None:
    """Of images that are all alike: what rounding leaves of their distances counts for nothing."""
    one, more = random_features(1, 2048, 0, 3.0), random_features(60, 2048, 1)
    alike, mixed = one.expand(ours, -1), torch.cat((more, one.expand(others, -1)))
    assert precision(as_set(alike), as_set(mixed)) == recall(as_set(mixed), as_set(alike)) == 1.0
    assert both(alike, one.expand(others, -1) + 1e-3) == (0.0, 0.0)


def test_fewer_images_than_a_ball_needs_are_refused() -> None:
    four, three = random_features(4, 5, 0), random_features(3, 5, 1)
    for ours, others in ((four, three), (three, four)):
        for number in (precision, recall, lambda a, b: audit_precision(a.all(), b.all())):
            with pytest.raises(BadInput, match=r"^precision and recall need at least 4 images$"):
                number(as_set(ours), as_set(others))
    with pytest.raises(BadInput, match="at least 4 images"):
        precision(Features(), Features())


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_features_that_are_no_numbers_are_refused(wrong: float) -> None:
    """Every comparison with them is false, and would pass for an image outside of all balls."""
    right, broken = random_features(30, 5, 0), random_features(30, 5, 1)
    broken[17, 2] = wrong
    for ours, others in ((right, broken), (broken, right)):
        for number in (precision, recall):
            with pytest.raises(BadInput, match="features that are finite"):
                number(as_set(ours), as_set(others))


def test_no_interval_where_too_few_images_would_be_left() -> None:
    """Without one of four images there is no third neighbour; the number itself there is."""
    for count, replicates in ((4, 0), (5, 5)):
        ours, others = (FeatureSet(random_features(count, 5, seed).numpy()) for seed in (0, 1))
        for estimates in (precision_estimates, recall_estimates):
            assert len(estimates({"ours": ours}, others)["ours"].replicates) == replicates


@pytest.mark.parametrize(("metric", "audit"), [(PRECISION, audit_precision), (RECALL, audit_recall)])
def test_the_audit_passes_what_is_right_and_finds_balls_that_are_too_small(
    metric: Metric, audit: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the other side may be an accumulator of many; the usual mistake is to count an image as its own neighbour."""
    few, many = random_features(16, 8, 0, 0.6), random_features(300, 8, 1)
    seen = Features()
    seen.update(many)
    assert audit(few, many) <= metric.audit_tolerance
    assert audit(few, seen) <= metric.audit_tolerance
    monkeypatch.setattr(manifold, "FEWEST_IMAGES", 3)
    assert audit(few, many) > metric.audit_tolerance


def test_few_images_come_with_a_warning() -> None:
    assert PRECISION.warning(1000, "mnist-cnn", 128) == RECALL.warning(1000, "mnist-cnn", 128) == ""
    assert PRECISION.warning(999, "mnist-cnn", 128).startswith("Precision of 999 images: ")
    assert RECALL.warning(999, "mnist-cnn", 128).startswith("Recall of 999 images: ")
