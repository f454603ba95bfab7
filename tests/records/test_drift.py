"""Whether numbers have moved: the comparison itself, and what it looks like."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from coldbench.core.errors import BadInput, CheckFailed
from coldbench.records.drift import Drift, Status, compare_records, differing, fail_if_moved
from coldbench.records.drift_report import junit, render
from coldbench.records.record import Identity, Record, save
from tests.helpers import assert_one_clear_line, changed, coldbench

#: The metrics of the records as they are labelled: the Frechet distance is one of digit features.
FD = "FD[mnist-cnn]"


def measured(records: list[Record], method: str, label: str) -> Record:
    return next(
        each for each in records if (each.where.method, each.metric.label, each.measured) == (method, label, True)
    )


def refused(then: list[Record], now: list[Record]) -> list[str]:
    return [drift.reason for drift in compare_records(then, now) if drift.status == Status.REFUSED]


def test_the_same_records_have_not_moved(records: list[Record]) -> None:
    drifts = compare_records(records, records)
    assert len(drifts) == 9
    assert all(drift.status == Status.SAME and drift.distance == 0 for drift in drifts)


@pytest.mark.parametrize(("label", "relative"), [("SSIM", False), ("RMSE", False), (FD, True)])
@pytest.mark.parametrize(
    "conditions", [{}, {"device": "NVIDIA H100"}, {"dtype": "bfloat16"}, {"device": "NVIDIA H100", "dtype": "bfloat16"}]
)
def test_numbers_move_beyond_the_tolerance_of_their_arithmetic(
    conditions: dict[str, str], label: str, relative: bool, records: list[Record]
) -> None:
    record = measured(records, "sampled", label)
    assert record.value is not None
    assert record.metric.relative == relative
    device = "gpu" if "device" in conditions else "cpu"
    unit = record.metric.tolerances[f"{conditions.get('dtype', 'float32')} {device}"]
    unit *= record.value if relative else 1
    for factor, status in ((0.9, Status.SAME), (-0.9, Status.SAME), (1.1, Status.MOVED), (-1.1, Status.MOVED)):
        now = changed(records, "sampled", label, value=record.value + factor * unit, conditions=conditions)
        drifts = compare_records(records, now)
        assert [drift.status for drift in drifts if drift.status != Status.SAME] == (
            [status] if status == Status.MOVED else []
        )


def test_the_wider_tolerance_of_two_arithmetics_counts(records: list[Record]) -> None:
    then = changed(records, "sampled", "RMSE", conditions={"dtype": "bfloat16"})
    (drift,) = [each for each in compare_records(then, records) if each.tolerance == 3e-3]
    assert drift.status == Status.SAME
    assert not drift.same_arithmetic


#: Each field of an identity, and a value that no stored record has.
OTHERS: dict[str, Any] = {
    "images": 99,
    "seed": 1,
    "protocol": "released",
    "transform": "zoom",
    "degradation": {"name": "superres", "image_size": 32, "timesteps": 3, "mode": "bicubic"},
    "start": {"name": "noise"},
    "checkpoint": "other",
    "checkpoint_sha256": "0" * 64,
    "data_sha256": "0" * 64,
    "features_sha256": "0" * 64,
}


def test_every_field_of_an_identity_is_looked_at_but_what_images_are_called() -> None:
    assert {*OTHERS, "data"} == {each.name for each in dataclasses.fields(Identity)}


@pytest.mark.parametrize("name", OTHERS)
def test_other_identities_are_refused_even_if_the_value_is_the_same(name: str, records: list[Record]) -> None:
    (reason,) = refused(records, changed(records, "direct", FD, identity={name: OTHERS[name]}))
    assert reason.startswith(name), "it names what differs"
    assert "; " not in reason, "and nothing else"
    with pytest.raises(CheckFailed, match="8 same, 1 refused: 1 of 9 numbers did not pass"):
        fail_if_moved(compare_records(records, changed(records, "direct", FD, identity={name: OTHERS[name]})))


def test_what_images_are_called_makes_no_difference(records: list[Record]) -> None:
    assert not refused(records, changed(records, "direct", FD, identity={"data": "my digits"}))


def test_a_refusal_names_each_setting_that_differs(records: list[Record]) -> None:
    now = changed(
        records,
        "direct",
        "SSIM",
        identity={"degradation": {"name": "superres", "image_size": 32, "timesteps": 60, "level": 2}, "seed": 7},
    )
    (reason,) = refused(records, now)
    assert reason == (
        "seed was 0, is 7; degradation timesteps was 3, is 60; degradation mode was area, is None; "
        "degradation level was None, is 2"
    )


def test_a_refusal_shortens_hashes_and_nothing_else(records: list[Record]) -> None:
    record = measured(records, "direct", "SSIM")
    other = dataclasses.replace(
        record,
        identity=dataclasses.replace(record.identity, checkpoint_sha256="0" * 64, checkpoint="a-name-that-is-long"),
    )
    assert differing(record, other) == [
        "checkpoint was mnist-superres, is a-name-that-is-long",
        f"checkpoint_sha256 was {str(record.identity.checkpoint_sha256)[:12]}, is {'0' * 12}",
    ]


@pytest.mark.parametrize(("interval", "status"), [(0.01, Status.MOVED), (10.0, Status.SAME)])
def test_small_distances_are_held_against_themselves_or_their_interval(
    interval: float, status: Status, records: list[Record]
) -> None:
    then = changed(records, "direct", FD, value=0.05, interval=(0.05 - interval / 2, 0.05 + interval / 2))
    drifts = compare_records(then, changed(records, "direct", FD, value=0.0509))
    assert [drift.status for drift in drifts if drift.record.metric.label == FD][-1] == status


def test_a_number_that_was_zero_has_no_scale_of_its_own(records: list[Record]) -> None:
    then = changed(records, "direct", FD, value=0.0, interval=None)
    assert all(drift.passed for drift in compare_records(then, then))
    (moved,) = [each for each in compare_records(then, records) if not each.passed]
    assert moved.status == Status.MOVED


def test_what_is_gone_fails_and_what_is_new_does_not(records: list[Record]) -> None:
    fewer = [each for each in records if (each.where.method, each.metric.label) != ("direct", "SSIM")]
    (gone,) = [drift for drift in compare_records(records, fewer) if drift.status != Status.SAME]
    assert (gone.status, gone.passed) == (Status.GONE, False)
    (new,) = [drift for drift in compare_records(fewer, records) if drift.status != Status.SAME]
    assert (new.status, new.passed) == (Status.NEW, True)


def test_what_is_gone_says_why(records: list[Record]) -> None:
    gone = [
        dataclasses.replace(each, value=None, status="missing", reason="no weights: coldbench train x")
        if each.where.method == "direct"
        else each
        for each in records
    ]
    reasons = {drift.reason for drift in compare_records(records, gone) if drift.status == Status.GONE}
    assert reasons == {"no weights: coldbench train x"}


def test_a_number_that_is_there_twice_is_refused(records: list[Record]) -> None:
    with pytest.raises(BadInput, match="two records of direct RMSE of mnist in table 3"):
        compare_records(records, [*records, measured(records, "direct", "RMSE")])


def test_numbers_that_need_float32_are_exempt_in_another_arithmetic(records: list[Record]) -> None:
    """Where the degradation says so, and only where a network took part."""
    exempted = [
        dataclasses.replace(each, conditions=dataclasses.replace(each.conditions, float32_only="no digits"))
        for each in records
    ]
    fast = changed(exempted, "sampled", "SSIM", value=0.1, conditions={"dtype": "bfloat16"})
    (exempt,) = [drift for drift in compare_records(exempted, fast) if drift.status != Status.SAME]
    assert (exempt.status, exempt.reason, exempt.passed) == (Status.EXEMPT, "no digits", True)
    same_arithmetic = changed(exempted, "sampled", "SSIM", value=0.1)
    assert [each.status for each in compare_records(exempted, same_arithmetic)].count(Status.MOVED) == 1
    without = changed(exempted, "degraded", "SSIM", value=0.1, conditions={"dtype": "bfloat16"})
    assert [each.status for each in compare_records(exempted, without)].count(Status.MOVED) == 1


def test_nothing_to_compare_is_a_failure() -> None:
    with pytest.raises(CheckFailed, match="nothing to compare"):
        fail_if_moved([])


def moved(records: list[Record]) -> list[Drift]:
    return compare_records(records, changed(records, "sampled", "RMSE", value=0.5))


def test_junit_is_what_ci_systems_read(records: list[Record]) -> None:
    suite = ElementTree.fromstring(junit(moved(records), "coldbench"))
    assert (suite.get("tests"), suite.get("failures")) == ("9", "1")
    (failed,) = [case for case in suite if len(case)]
    assert failed.get("name") == "sampled RMSE"
    assert failed[0].get("message") == "moved"


def test_junit_tells_what_stopped_the_measuring() -> None:
    suite = ElementTree.fromstring(junit([], "coldbench", "audit failed"))
    assert suite[0][0].get("message") == "audit failed"


@pytest.mark.parametrize("style", ["markdown", "latex", "html", "csv", "json"])
def test_formats(style: str, records: list[Record]) -> None:
    text = render(moved(records), "t", style)
    assert "moved" in text
    assert "0.5" in text


def test_a_line_in_full_precision(records: list[Record]) -> None:
    (line,) = [each for each in json.loads(render(moved(records), "t", "json")) if each["status"] == "moved"]
    assert (line["table"], line["row"], line["method"], line["metric"], line["now"]) == (
        "3", "mnist", "sampled", "RMSE", 0.5,
    )  # fmt: skip
    assert line["then"] == measured(records, "sampled", "RMSE").value


def test_diff_of_two_files(tmp_path: Path, records: list[Record]) -> None:
    same, other = tmp_path / "a.json", tmp_path / "b.json"
    save(records, same)
    save(changed(records, "sampled", "RMSE", value=0.5), other)
    done = coldbench("diff", same, same)
    assert done.returncode == 0
    assert "9 same" in done.stdout
    done = coldbench("diff", same, other)
    assert done.returncode == 1
    assert " moved |" in done.stdout
    assert done.stderr == "coldbench: 8 same, 1 moved: 1 of 9 numbers did not pass\n"
    other.write_text("[]")
    assert coldbench("diff", other, other).returncode == 1
    other.write_text('[{"value": 1}]')
    assert_one_clear_line(coldbench("diff", same, other), 2, "does not hold records of schema 5")
    assert_one_clear_line(coldbench("diff", same, tmp_path / "c.json"), 2, "No such file")
