"""Intervals: against the formula for a mean, and against the truth where it is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from coldbench.metrics.coverage import CASES, Case, coverage, frechet_to_normal, normal_features
from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.intervals import GROUPS, Difference, Estimate, Grouped, difference, estimate
from coldbench.metrics.pixelwise import SquaredError

#: Images: 32 a group.
COUNT = 32 * GROUPS


def mean_squares(values: Tensor, batch: int = 64) -> Estimate:
    """RMSE of single pixels against zero."""
    grouped = Grouped(SquaredError, GROUPS, len(values))
    for start in range(0, len(values), batch):
        images = values[start : start + batch, None, None, None]
        grouped.update(range(start, start + len(images)), images, torch.zeros_like(images))
    return estimate(lambda meter: meter.result() ** 2, grouped)


def excludes_zero(found: Difference) -> bool:
    """Whether the interval leaves no doubt which of the two is larger."""
    assert found.interval is not None
    low, high = found.interval
    return low > 0 or high < 0


def test_the_error_of_a_mean_is_that_of_its_groups() -> None:
    values = torch.rand(COUNT, generator=torch.Generator().manual_seed(0)).double()
    found = mean_squares(values)
    groups = (values**2).reshape(GROUPS, 32).mean(dim=1)
    assert found.value == pytest.approx((values**2).mean().item(), rel=1e-12)
    assert found.error() == pytest.approx((groups.std() / math.sqrt(GROUPS)).item(), rel=1e-9)
    low, high = found.interval() or (math.nan, math.nan)
    # Student's t with 19 degrees of freedom, from the printed tables.
    assert (high - low) / 2 == pytest.approx(2.093 * found.error(), rel=1e-4)


def test_groups_depend_on_positions_not_on_batches() -> None:
    values = torch.rand(333, generator=torch.Generator().manual_seed(0))
    reference = mean_squares(values, 333)
    for batch in (1, 7, 64):
        found = mean_squares(values, batch)
        assert found.replicates == pytest.approx(reference.replicates, rel=1e-12)


def test_intervals_of_the_frechet_distance_cover_the_truth() -> None:
    """Two Gaussians at a distance of one: of 200 draws, a nominal 95 % must cover 90-98 %."""
    generator = torch.Generator().manual_seed(0)
    dim, covered, draws = 4, 0, 200
    shift = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    population = FeatureStatistics()
    population.count = 10**9
    population.mean, population.scatter = torch.zeros(dim).double(), torch.eye(dim).double() * (10**9 - 1)
    for _ in range(draws):
        grouped = Grouped(FeatureStatistics, GROUPS, COUNT)
        grouped.update(range(COUNT), torch.randn(COUNT, dim, generator=generator, dtype=torch.float64) + shift)
        low, high = estimate(lambda ours: frechet_distance(ours, population), grouped).interval() or (0, 0)
        covered += low < 1 < high
    assert 0.90 <= covered / draws <= 0.98


def test_pairing_cancels_what_both_share() -> None:
    generator = torch.Generator().manual_seed(0)
    shared = torch.rand(COUNT, generator=generator)
    a = mean_squares(shared)
    b = mean_squares(shared + 0.01 * torch.rand(COUNT, generator=generator))
    paired, unpaired = difference(a, b, paired=True), difference(a, b, paired=False)
    assert paired.value == unpaired.value == pytest.approx(b.value - a.value)
    assert excludes_zero(paired)
    assert not excludes_zero(unpaired)
    # Unpaired errors add in quadrature.
    low, high = unpaired.interval or (math.nan, math.nan)
    assert (high - low) / 2 == pytest.approx(2.093 * math.hypot(a.error(), b.error()), rel=1e-4)


def test_a_method_against_itself_shows_no_difference() -> None:
    a = mean_squares(torch.rand(COUNT, generator=torch.Generator().manual_seed(0)))
    same = difference(a, a, paired=True)
    assert (same.value, same.interval, excludes_zero(same)) == (0, (0, 0), False)


def test_what_was_not_drawn_has_no_part_in_the_spread() -> None:
    """A mean over 200 drawn values and 200 zeros: half the mean, and half the error."""
    grouped = Grouped(SquaredError, GROUPS, 200)
    values = torch.rand(200, generator=torch.Generator().manual_seed(0)).reshape(200, 1, 1, 1)
    grouped.update(range(200), values, torch.zeros_like(values))
    alone = estimate(lambda meter: meter.result() ** 2, grouped)
    grouped.fixed.update(torch.zeros_like(values), torch.zeros_like(values))
    found = estimate(lambda meter: meter.result() ** 2, grouped)
    assert grouped.count == 400
    assert found.value == pytest.approx(alone.value / 2)
    assert found.error() == pytest.approx(alone.error() / 2, rel=0.1)


@pytest.mark.parametrize("images", [20, 33, 50, 333, 1000, 6400, 10_000])
def test_groups_are_runs_of_neighbours_alike_in_size(images: int) -> None:
    """However the images come in batches, and whatever their number: 20 runs, which differ by one image at most."""
    grouped = Grouped(FeatureStatistics, GROUPS, images)
    positions = torch.arange(images).double()[:, None]
    for batch in positions.split(64):
        grouped.update(batch.flatten().long().tolist(), batch)
    sizes = [group.count for group in grouped.groups]
    assert sum(sizes) == images
    assert max(sizes) - min(sizes) <= 1
    starts = torch.tensor([0, *sizes]).cumsum(0)
    for group, start, stop in zip(grouped.groups, starts[:-1], starts[1:], strict=True):
        expected = positions[start:stop].double()
        assert group.mean.item() == pytest.approx(expected.mean().item())
        assert group.scatter.item() == pytest.approx((expected - expected.mean()).square().sum().item())


def covered(case: Case, spread: bool, draws: int = 150) -> float:
    """The share of intervals that hold the truth, the mean over all simulated measurements.

    Args:
        case: of distances between Gaussians.
        spread: deal each run's images out among all groups, instead of leaving them together.
    """
    generator = torch.Generator().manual_seed(0)
    order = torch.arange(case.images)
    if spread:
        order = order.reshape(-1, GROUPS).T.flatten()  # neighbours end in different groups
    found = []
    for _ in range(draws):
        grouped = Grouped(FeatureStatistics, GROUPS, case.images)
        grouped.update(range(case.images), normal_features(case, generator)[order])
        found.append(estimate(frechet_to_normal, grouped))
    truth = sum(each.value for each in found) / draws
    intervals = [each.interval() or (math.nan, math.nan) for each in found]
    return sum(low <= truth <= high for low, high in intervals) / draws


@pytest.mark.parametrize("run", [1, 16, 30, 50])
def test_intervals_cover_where_neighbours_are_alike(run: int) -> None:
    """Runs of images that have something in common, as digits by one writer do, up to a group's length."""
    assert 0.89 <= covered(Case("FD", 1000, 4, 1.0, run), spread=False) <= 0.99


def test_groups_that_divide_a_run_would_not_cover() -> None:
    """What the coverage of correlated data is there to see: each writer's digits in all groups."""
    assert covered(Case("FD", 1000, 4, 1.0, 50), spread=True) < 0.6
    assert covered(Case("FD", 1000, 4, 1.0, 1), spread=True) > 0.89


def test_the_coverage_table_holds_correlated_data_of_mnist_s_size() -> None:
    runs = {case.run for case in CASES if case.images == 10_000}
    assert runs, "MNIST has 10,000 test images"
    assert all(100 <= run <= 200 for run in runs)
    line = coverage(Case("RMSE", 100, run=5), draws=20)
    assert line["Run"] == 5
    assert float(str(line["Truth at N"])) == pytest.approx(1, abs=0.02)


def test_too_few_groups_give_no_interval() -> None:
    found = mean_squares(torch.ones(2))
    assert (found.value, found.interval()) == (1, None)
    assert math.isnan(found.error())
    assert difference(found, found, paired=True).interval is None
    assert difference(found, found, paired=False).interval is None
