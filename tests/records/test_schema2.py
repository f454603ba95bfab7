"""Records of schema 2, as version 0.1 wrote them: a few of each kind, read as what they said."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from coldbench.core.errors import BadInput
from coldbench.records.drift import Status, compare_records
from coldbench.records.formats import render
from coldbench.records.record import Record, load, save
from tests.helpers import EARLIER

OLD = Path(__file__).parent / "schema2"
TABLES = ("1", "3", "4", "5")


def cells(table: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((OLD / f"table-{table}.json").read_text())
    return found


def edited(folder: Path, number: str, /, **changes: object) -> list[Record]:
    """The records of a table, with changes to the old cells."""
    path = folder / f"table-{number}.json"
    path.write_text(json.dumps([cell | changes for cell in cells(number)]))
    return load(path)


@pytest.mark.parametrize("table", TABLES)
def test_they_say_what_they_said(table: str) -> None:
    for cell, record in zip(cells(table), load(OLD / f"table-{table}.json"), strict=True):
        assert (record.value, record.status, record.reason) == (cell["value"], cell["status"], cell["reason"])
        assert record.interval == (None if cell["low"] is None else (cell["low"], cell["high"]))
        assert (record.where.table, record.where.method) == (table, cell["method"])
        identity = dataclasses.asdict(record.identity)
        for name in ("images", "seed", "checkpoint", "checkpoint_sha256", "data", "data_sha256", "features_sha256"):
            assert identity[name] == cell[name], name
        assert identity["protocol"] == "paper"
        assert identity["degradation"] == {"name": cell["degradation"]}
        assert (record.published.value if record.published else None) == cell["published"]
        assert record.conditions.versions == cell["versions"]
        assert record.schema_version == 2


@pytest.mark.parametrize("table", TABLES)
def test_they_are_held_against_later_records(table: str) -> None:
    """The references of the same networks, measured by a later release, are these, converted."""
    then = load(OLD / f"table-{table}.json")
    keys = {record.key for record in then}
    now = load(EARLIER / "quick" / f"table-{table}.json")
    drifts = compare_records(then, [record for record in now if record.key in keys])
    assert {drift.status for drift in drifts} == {Status.SAME}
    assert {drift.distance for drift in drifts} == {0}


def test_a_frechet_distance_keeps_its_name() -> None:
    found = {(record.metric.name, record.metric.label) for record in load(OLD / "table-1.json")}
    assert found == {("FID", "FID"), ("FID", "FD[mnist-cnn]"), ("SSIM", "SSIM"), ("RMSE", "RMSE")}


def test_what_a_command_had_changed_is_read_out_of_the_protocol(tmp_path: Path) -> None:
    (record, *_) = edited(tmp_path, "3", protocol="released+timesteps=6+mode=bicubic+transform=zoom")
    assert record.identity.protocol == "released"
    assert record.identity.transform == "zoom"
    assert record.identity.degradation == {"name": "superres", "timesteps": 6, "mode": "bicubic"}
    assert record.changes == {"timesteps": 6, "mode": "bicubic", "transform": "zoom"}


def test_settings_that_they_did_not_store_are_not_compared_and_those_that_they_did_are(tmp_path: Path) -> None:
    now = [record for record in load(EARLIER / "quick" / "table-3.json") if record.measured]
    now = [record for record in now if record.where.method != "degraded"]
    (refused, *_) = compare_records(edited(tmp_path, "3", protocol="paper+timesteps=6"), now)
    assert refused.reason == "degradation timesteps was 6, is 3"


def test_rows_of_ours_keep_their_title_and_their_note() -> None:
    (record,) = load(OLD / "table-4.json")
    assert (record.where.title, record.where.note) == ("MNIST (ours)", "ours, not in the paper")
    assert record.published is None


def test_blur_keeps_its_exemption_from_fewer_digits() -> None:
    assert all(record.conditions.float32_only for record in load(OLD / "table-1.json"))
    assert not any(record.conditions.float32_only for record in load(OLD / "table-3.json"))


def test_they_are_shown() -> None:
    text = render(load(OLD / "table-1.json"), "markdown")
    assert "Table 1: Deblurring" in text
    assert "0.287*" in text
    assert "misprint" in text


@pytest.mark.parametrize("table", TABLES)
def test_written_again_they_are_what_they_were(table: str, tmp_path: Path) -> None:
    """As a run of another row, or an update, writes them: in today's layout, and still knowing what they knew."""
    records = load(OLD / f"table-{table}.json")
    save(records, tmp_path / "a.json")
    assert load(tmp_path / "a.json") == records
    assert all(record.schema_version == 2 for record in records)


@pytest.mark.parametrize(
    "change",
    [{"value": None}, {"value": "abc"}, {"metric": "LPIPS"}, {"dtype": "float8"}, {"table": 9},
     {"value": float("nan")}, {"note": 3}, {"versions": "x"},
     {"method": 3}, {"protocol": None}, {"features": []}, {"value": 10**400}, {"images": {}},
     {"seed": "0"}, {"seed": True}, {"checkpoint_sha256": 7}, {"dataset": None}, {"low": "x"}, {"published": "x"}],
)  # fmt: skip
def test_what_was_edited_by_hand_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not hold records of schema 5"):
        edited(tmp_path, "4", **change)
