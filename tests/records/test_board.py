"""Boards: what is ranked together, in which order, and what is told apart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest

from coldbench.core.errors import BadInput
from coldbench.core.provenance import RANDOM_WEIGHTS
from coldbench.metrics.intervals import Estimate, difference
from coldbench.records.board import Task, board
from coldbench.records.ranking import Entry, Kind, Number, Standing, standing
from coldbench.records.record import Record, load
from tests.helpers import EARLIER, changed, edited


@pytest.fixture(scope="module")
def restored() -> list[Record]:
    """All of Table 3 at full size."""
    return load(EARLIER / "full" / "table-3.json")


@pytest.fixture(scope="module")
def generated() -> list[Record]:
    """All of Table 5 at full size."""
    return load(EARLIER / "full" / "table-5.json")


def one(task: Sequence[Task]) -> Task:
    (only,) = task
    return only


def measured(task: Task) -> list[Entry]:
    return [entry for entry in task.entries if entry.kind == Kind.MEASURED]


def numbers(task: Task, label: str) -> dict[str, Number]:
    (column,) = [each for each in task.columns if each.label == label]
    return {entry.method: entry.numbers[column] for entry in measured(task) if column in entry.numbers}


@pytest.mark.parametrize(
    "identity",
    [
        {"images": 9_999},
        {"seed": 1},
        {"protocol": "released"},
        {"transform": "zoom"},
        {"data_sha256": "0" * 64},
        {"degradation": {"name": "superres", "image_size": 32, "timesteps": 2, "mode": "area"}},
        {"degradation": {"name": "superres", "image_size": 32, "timesteps": 3, "mode": "nearest"}},
    ],
)
def test_what_makes_another_number_makes_another_task(identity: dict[str, Any], restored: list[Record]) -> None:
    other = [edited(record, identity=identity) for record in restored]
    assert len(board({"a": restored, "b": other}).tasks) == 2


@pytest.mark.parametrize(
    "values",
    [
        {"identity": {"data": "digits"}},
        {"identity": {"checkpoint": "mine", "checkpoint_sha256": "1" * 64}},
        {"conditions": {"device": "NVIDIA H100", "batch_size": 7, "processes": 8}},
        {"where": {"table": "evaluate", "row": "mine", "title": "Mine"}},
    ],
)
def test_names_models_and_conditions_make_no_other_task(values: dict[str, Any], restored: list[Record]) -> None:
    other = [edited(record, **values) for record in restored]
    assert len(board({"a": restored, "b": other}).tasks) == 1


def test_hot_and_cold_generation_are_ranked_together_and_sizes_are_not(generated: list[Record]) -> None:
    """They are as in Table 5, whose comparison of hot and cold is the paper's point."""
    task = one(board({"a": generated}).tasks)
    methods = ["broken-symmetry", "estimated-noise", "fixed-noise", "perfect-symmetry"]
    assert [entry.method for entry in task.entries] == methods
    assert [entry.rank for entry in task.entries] == [1, 2, 3, 4]
    larger = [
        edited(each, identity={"degradation": {**each.identity.degradation, "image_size": 64}}) for each in generated
    ]
    assert len(board({"a": generated, "b": larger}).tasks) == 2


def test_generators_that_start_elsewhere_are_lines_of_their_own(generated: list[Record]) -> None:
    other = [edited(each, identity={"start": {**each.identity.start, "mean": [0.5]}}) for each in generated]
    assert len(one(board({"a": generated, "b": other}).tasks).entries) == 8


@pytest.mark.parametrize(
    ("metric", "order"),
    [
        (None, ["sampled", "direct", "degraded"]),  # FD: lower is better
        ("ssim", ["direct", "sampled", "degraded"]),  # higher is better
        ("RMSE", ["direct", "sampled", "degraded"]),
        ("FD[mnist-cnn]", ["sampled", "direct", "degraded"]),
    ],
)
def test_sorted_by_a_metric(metric: str | None, order: list[str], restored: list[Record]) -> None:
    """FD 31.12, 52.01, 2119.64; SSIM .7305, .7325, .1781; RMSE .1336, .1285, .2305."""
    task = one(board({"a": restored}, metric).tasks)
    assert [entry.method for entry in measured(task)] == order
    assert [entry.rank for entry in measured(task)] == [1, 2, 3]


def test_a_task_without_the_metric_is_sorted_by_its_first(restored: list[Record], generated: list[Record]) -> None:
    tasks = board({"a": [*restored, *generated]}, "SSIM").tasks
    assert [task.sort.label for task in tasks] == ["SSIM", "FD[mnist-cnn]"]
    with pytest.raises(BadInput, match=r"no number of metric 'PSNR'.*they have FD\[mnist-cnn\], SSIM, RMSE"):
        board({"a": restored}, "PSNR")


def test_the_best_and_those_near_it(restored: list[Record]) -> None:
    """SSIM .7325 +- .0030 and .7305 +- .0035 overlap; FD 31.12 +- 1.93 and 52.01 +- 2.18 do not."""
    task = one(board({"a": restored}).tasks)
    ssim = {method: number.standing for method, number in numbers(task, "SSIM").items()}
    assert ssim == {"direct": Standing.BEST, "sampled": Standing.CLOSE, "degraded": Standing.WORSE}
    distance = {method: number.standing for method, number in numbers(task, "FD[mnist-cnn]").items()}
    assert distance == {"sampled": Standing.BEST, "direct": Standing.WORSE, "degraded": Standing.WORSE}


@pytest.mark.parametrize(("value", "expected"), [(0.7501, Standing.CLOSE), (0.7499, Standing.WORSE)])
def test_half_widths_add_in_quadrature(value: float, expected: Standing) -> None:
    """The half widths .03 and .04 are .05 together."""
    best = Number(0.80, (0.77, 0.83))
    assert standing(Number(value, (value - 0.04, value + 0.04)), best) == expected


def test_the_standing_is_that_of_the_unpaired_difference() -> None:
    """The same as from the replicates, which records do not hold."""
    told = set()
    for shift in (0.001, 0.01, 0.02, 0.03, 0.1):
        a = Estimate(1.0, tuple(1 + 0.002 * math.sin(3 * k) for k in range(20)))
        b = Estimate(1.0 - shift, tuple(1 - shift + 0.003 * math.cos(5 * k) for k in range(20)))
        interval = difference(a, b, paired=False).interval
        assert interval is not None
        apart = not interval[0] <= 0 <= interval[1]
        found = standing(Number(b.value, b.interval()), Number(a.value, a.interval()))
        assert found == (Standing.WORSE if apart else Standing.CLOSE)
        told.add(apart)
    assert told == {True, False}


def test_without_an_interval_nothing_is_told(restored: list[Record]) -> None:
    bare = [edited(record, interval=None) for record in restored]
    ssim = {method: number.standing for method, number in numbers(one(board({"a": bare}).tasks), "SSIM").items()}
    assert ssim == {"direct": Standing.BEST, "sampled": Standing.UNKNOWN, "degraded": Standing.UNKNOWN}


def test_reported_numbers_are_listed_and_not_ranked(restored: list[Record]) -> None:
    """The paper's SSIM of sampled images, .820, is better than any of ours, and still not the best of the board."""
    task = one(board({"a": restored}, "SSIM").tasks)
    reported = [entry for entry in task.entries if entry.kind == Kind.REPORTED]
    assert [entry.method for entry in reported] == ["direct", "sampled", "degraded"]
    assert {entry.sources for entry in reported} == {("paper",)}
    assert {entry.rank for entry in reported} == {None}
    assert {number.standing for entry in reported for number in entry.numbers.values()} == {Standing.UNRANKED}
    assert task.entries[0].kind == Kind.REPORTED
    assert task.entries[0].numbers[task.sort].printed == "0.823"


def test_numbers_reported_of_other_settings_are_left_out(restored: list[Record]) -> None:
    other = [edited(each, request={**each.request, "settings": {"mode": "area"}}) for each in restored]
    assert len(one(board({"a": other}).tasks).entries) == 3


def test_one_number_of_several_folders_is_one_line(restored: list[Record]) -> None:
    moved = [edited(each, where={"table": "evaluate", "row": "mine"}) for each in restored]
    made = board({"alice": restored, "bob": moved})
    lines = measured(one(made.tasks))
    assert len(lines) == 3
    assert {entry.sources for entry in lines} == {("alice", "bob")}
    assert made.remarks == []


def test_folders_that_hold_other_metrics_of_one_model_complete_each_other(restored: list[Record]) -> None:
    by_metric = {label: [each for each in restored if each.metric.label == label] for label in ("SSIM", "RMSE")}
    lines = measured(one(board(by_metric).tasks))
    assert [len(entry.numbers) for entry in lines] == [2, 2, 2]


@pytest.mark.parametrize(("shift", "lines"), [(0.5e-4, 3), (2e-4, 4)])
def test_folders_that_disagree_by_more_than_the_tolerance(shift: float, lines: int, restored: list[Record]) -> None:
    """That of SSIM is 1e-4: neither value is hidden, and what disagrees is told."""
    (sampled,) = [each for each in restored if (each.where.method, each.metric.label) == ("sampled", "SSIM")]
    assert sampled.value is not None
    other = changed(restored, "sampled", "SSIM", value=sampled.value + shift)
    made = board({"alice": restored, "bob": other})
    assert len(measured(one(made.tasks))) == lines
    expected = "sampled SSIM of mnist-superres is 0.730471 and 0.730671 in alice and bob"
    assert made.remarks == ([expected] if lines == 4 else [])


def test_degraded_images_are_one_line_whichever_model_s_row_they_stand_in(restored: list[Record]) -> None:
    other = [
        edited(each, identity={"checkpoint": "mine", "checkpoint_sha256": each.identity.checkpoint_sha256 and "1" * 64})
        for each in restored
    ]
    lines = measured(one(board({"alice": restored, "bob": other}).tasks))
    assert len(lines) == 5
    assert [(entry.model, entry.sources) for entry in lines if entry.method == "degraded"] == [("", ("alice", "bob"))]


def test_another_arithmetic_is_another_line(restored: list[Record]) -> None:
    other = [edited(each, conditions={"dtype": "bfloat16"}) for each in restored]
    models = {entry.model for entry in measured(one(board({"a": restored, "b": other}).tasks))}
    assert models >= {"mnist-superres", "mnist-superres in bfloat16"}


def test_features_of_other_weights_are_another_column(restored: list[Record]) -> None:
    other = [
        edited(each, identity={"features_sha256": each.identity.features_sha256 and "2" * 64}) for each in restored
    ]
    task = one(board({"a": restored, "b": other}).tasks)
    assert [column.label for column in task.columns] == ["FD[mnist-cnn]", "SSIM", "RMSE", "FD[mnist-cnn]"]


def test_random_weights_and_unknown_settings_are_left_out(restored: list[Record]) -> None:
    random = [edited(each, identity={"checkpoint_sha256": RANDOM_WEIGHTS}) for each in restored]
    old = [dataclasses.replace(each, schema_version=2) for each in restored]
    made = board({"a": restored, "random": random, "old": old})
    assert {entry.sources for entry in measured(one(made.tasks))} == {("a",)}
    assert [remark.partition(" are left out")[0] for remark in made.remarks] == ["random: 9 numbers", "old: 9 numbers"]
    with pytest.raises(BadInput, match="nothing to rank in old"):
        board({"old": old})


def test_nothing_measured_is_nothing_to_rank(restored: list[Record]) -> None:
    with pytest.raises(BadInput, match="nothing to rank in a"):
        board({"a": [each for each in restored if not each.measured]})
