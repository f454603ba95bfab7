"""Numbers of all pairs of images, with replicates from one pass: against an accumulator a group."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from coldbench.metrics import pairwise
from coldbench.metrics.feature_sets import FeatureSet, by_groups, set_estimates
from coldbench.metrics.intervals import GROUPS, Estimate
from coldbench.metrics.metric import Metric, find_metrics
from coldbench.metrics.pairwise import Features, as_set, group_numbers

NAMES = ("KID", "Precision", "Recall")


@pytest.fixture(params=NAMES)
def metric(request: pytest.FixtureRequest) -> Metric:
    (found,) = find_metrics([request.param])
    return found


def normal(count: int, seed: int, dim: int = 6, shift: float = 0.0) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) + shift


def feature_set(features: Tensor, zeros: int = 0, groups: int = GROUPS) -> FeatureSet:
    return FeatureSet(features.numpy(), zeros, groups)


def accumulated(features: Tensor) -> Features:
    seen = Features()
    for part in features.split(64):
        seen.update(part)
    return seen


def methods(images: int, **facts: int) -> dict[str, FeatureSet]:
    """Two methods, of which the second is worse."""
    return {name: feature_set(normal(images, seed, shift=seed / 2), **facts) for seed, name in ((1, "a"), (2, "b"))}


def assert_equal(found: Estimate, expected: Estimate) -> None:
    assert found.value == pytest.approx(expected.value, rel=1e-10)
    assert found.replicates == pytest.approx(expected.replicates, rel=1e-10)


#: Images, zero features and replicates: 20 groups alike, groups of two sizes, fewer images than groups, the quirk of
#: the released protocol (whose zero features leave groups empty), too few groups for an interval.
SIZES = [(100, 0, 20), (333, 0, 20), (7, 0, 7), (90, 10, 18), (5, 2, 5), (2, 2, 0)]


@pytest.mark.parametrize(("images", "zeros", "replicates"), SIZES)
@pytest.mark.parametrize("paired", [True, False])
def test_replicates_are_those_of_an_accumulator_a_group(
    metric: Metric, images: int, zeros: int, replicates: int, paired: bool
) -> None:
    """To the last digits, since a difference of two methods is of their replicates."""
    ours = methods(images, zeros=zeros)
    against = feature_set(normal(images, 0), zeros) if paired else accumulated(normal(150, 0))
    expected = by_groups(metric.accumulator, metric.result)(ours, against)
    found = set_estimates(metric, ours, against)
    assert found.keys() == expected.keys()
    for name, each in expected.items():
        assert_equal(found[name], each)
        assert len(found[name].replicates) == replicates


@pytest.mark.parametrize("groups", [1, 2, 5])
def test_groups_longer_than_a_run_change_nothing(metric: Metric, groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And too few groups give the number without an interval."""
    ours, against = methods(140, groups=groups), feature_set(normal(140, 0), groups=groups)
    expected = set_estimates(metric, ours, against)
    monkeypatch.setattr(pairwise, "_LONGEST", 9)
    found = set_estimates(metric, ours, against)
    for name in ours:
        assert_equal(found[name], expected[name])
        assert len(found[name].replicates) == (5 if groups == 5 else 0)


def test_every_pair_of_images_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairwise, "_LONGEST", 4)
    a, b = feature_set(normal(50, 0), zeros=3, groups=4), as_set(normal(21, 1))

    def times(pairs: Iterable[tuple[pairwise.Read, pairwise.Read]], rows: int, columns: int) -> Tensor:
        seen = torch.zeros(rows, columns, dtype=torch.int64)
        for (one, x), (other, y) in pairs:
            assert (len(x), len(y)) == tuple(seen[one.images, other.images].shape)
            seen[one.images, other.images] += 1
        return seen

    assert (times(pairwise.between(a, b), 53, 21) == 1).all()
    once = times(pairwise.within(a), 53, 53)
    assert (once + once.T - once * once.T == 1).all()


def test_runs_hold_the_features_of_their_images_and_one_group() -> None:
    features = feature_set(normal(50, 0), zeros=3, groups=4)
    numbers, rows = group_numbers(features), features.all().double()
    assert numbers.tolist()[-3:] == [4, 4, 4]
    for (run, read), _ in pairwise.between(features, as_set(normal(1, 1))):
        assert (numbers[run.images] == run.group).all()
        assert torch.equal(read, rows[run.images])


def test_a_set_of_an_accumulator_is_never_divided() -> None:
    features = normal(30, 0)
    for whole in (as_set(accumulated(features)), as_set(features)):
        assert torch.equal(whole.all(), features)
        assert group_numbers(whole).tolist() == [whole.groups] * 30
        assert pairwise.replicates(whole) == [None]
