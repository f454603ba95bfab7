"""Output folders: what a command measured is not lost to what another one measures, or fails to."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from coldbench.commands.figures import Figures
from coldbench.commands.output import save_row
from coldbench.records.folder import renewed
from coldbench.records.record import Record, load
from coldbench.tables.tables import paper_tables
from tests.helpers import coldbench

RUN = ("run", "--table", "3", "--metrics", "SSIM,RMSE", "--quiet")


def measured(folder: Path) -> dict[tuple[str, str, str], int | None]:
    """(row, method, metric) -> N of the numbers in a folder."""
    stored = [record for record in load(folder / "table-3.json") if record.measured]
    return {(each.where.row, each.where.method, each.metric.name): each.identity.images for each in stored}


def pictures(folder: Path) -> list[Path]:
    return sorted((folder / "pictures" / "earlier").glob("*.png"))


def place(record: Record) -> tuple[str, str, str]:
    return record.where.row, record.where.method, record.metric.name


def test_other_rows_and_methods_stay(tmp_path: Path) -> None:
    run = (*RUN, "--images", "4", "--output", tmp_path)
    assert coldbench(*run, "--rows", "mnist", "--methods", "degraded").returncode == 0
    assert coldbench(*run, "--rows", "celeba").returncode == 3
    done = coldbench(*run, "--rows", "mnist", "--methods", "direct")
    assert done.stderr == "", "nothing was lost, and nothing need be said"
    assert set(measured(tmp_path)) == {
        ("mnist", method, metric) for method in ("degraded", "direct") for metric in ("SSIM", "RMSE")
    }
    assert {record.where.row for record in load(tmp_path / "table-3.json")} == {"mnist", "celeba"}
    table = (tmp_path / "table-3.md").read_text()
    assert table.index("| MNIST") < table.index("| CelebA"), "in the order of the paper's table"
    assert not (tmp_path / "earlier").exists()


def test_numbers_that_others_take_the_place_of_are_set_aside(tmp_path: Path) -> None:
    run = (*RUN, "--rows", "mnist", "--methods", "degraded", "--output", tmp_path)
    assert coldbench(*run, "--images", "30").returncode == 0
    picture = tmp_path / "pictures" / "table-3-mnist.png"
    before = (tmp_path / "table-3.json").read_bytes(), picture.read_bytes()
    done = coldbench(*run, "--images", "20", "--seed", "1")
    (kept,) = (tmp_path / "earlier").iterdir()
    (kept_picture,) = pictures(tmp_path)
    assert (kept.read_bytes(), kept_picture.read_bytes()) == before
    assert str(kept) in done.stderr
    assert str(kept_picture) in done.stderr
    assert set(measured(tmp_path).values()) == {20}
    (tmp_path / "table-3.json").write_text("not ours")
    assert coldbench(*run, "--images", "20").returncode == 0
    assert "not ours" in {path.read_text() for path in (tmp_path / "earlier").iterdir()}


def test_a_comparison_is_set_aside_for_another_one(tmp_path: Path) -> None:
    compare = ("compare", "degraded", "direct", "--metrics", "SSIM", "--quiet", "--output", tmp_path)
    for images in ("6", "6", "4"):
        done = coldbench(*compare, "--images", images)
        assert done.returncode == 0, done.stderr
        assert ("is kept in" in done.stderr) == (images == "4")
    assert {path.suffix for path in (tmp_path / "earlier").iterdir()} == {".json", ".png"}


def test_numbers_that_moved_are_set_aside_and_others_are_not(tmp_path: Path, records: list[Record]) -> None:
    """Measured again by another version: what it was is wanted by whoever looks for what moved it."""
    rows = paper_tables()["3"].rows
    (row,) = [row for row in rows if row.dataset == "mnist"]
    now = [record for record in records if record.where.row == row.name]
    save_row(now, Figures(), tmp_path, row, rows)
    conditions = dataclasses.replace(now[0].conditions, revision="newer")
    newer = [dataclasses.replace(record, conditions=conditions) for record in now]
    save_row(newer, Figures(), tmp_path, row, rows)
    assert not (tmp_path / "earlier").exists()
    assert {record.conditions.revision for record in load(tmp_path / "table-3.json")} == {"newer"}
    moved = [dataclasses.replace(record, value=record.value and record.value + 0.2) for record in newer]
    save_row(moved, Figures(), tmp_path, row, rows)
    (kept,) = (tmp_path / "earlier").iterdir()
    assert {record.key: record.value for record in load(kept)} == {record.key: record.value for record in newer}


def test_a_bad_request_costs_nothing(tmp_path: Path) -> None:
    state = tmp_path / ".resume" / "row.pt"
    state.parent.mkdir()
    state.touch()
    for bad in (("--table", "9"), ("--table", "3", "--data", "npz:x.npz")):
        assert coldbench("run", *bad, "--fresh", "--output", tmp_path).returncode == 2
        assert state.exists()


def test_a_missing_number_does_not_take_the_place_of_a_measured_one(records: list[Record]) -> None:
    row = [record for record in records if record.measured]
    gone = [
        dataclasses.replace(
            each, value=None, interval=None, status="missing", identity=dataclasses.replace(each.identity, images=None)
        )
        for each in row
    ]
    assert len(row) == 9
    assert {each.key: each for each in renewed(row, gone, place)} == {each.key: each for each in row}
    assert {each.key: each for each in renewed(gone, row, place)} == {each.key: each for each in row}


@pytest.mark.parametrize(
    "change",
    [{"images": 99}, {"seed": 1}, {"protocol": "released"}, {"data_sha256": "0"}, {"transform": "zoom"},
     {"checkpoint_sha256": "0"}, {"features_sha256": "0"}, {"degradation": {"name": "blur"}}],
)  # fmt: skip
def test_a_row_is_one_measurement(change: dict[str, Any], records: list[Record]) -> None:
    """Of numbers that were measured differently, only the new ones stay."""
    row = [record for record in records if record.measured]
    direct = [each for each in row if each.where.method == "direct" and each.metric.name == "FID"]
    other = [dataclasses.replace(each, identity=dataclasses.replace(each.identity, **change)) for each in direct]
    assert renewed(row, other, place) == other
    assert len(renewed(row, direct, place)) == len(row)


def test_another_arithmetic_is_another_measurement(records: list[Record]) -> None:
    row = [record for record in records if record.measured]
    other = [dataclasses.replace(row[0], conditions=dataclasses.replace(row[0].conditions, dtype="bfloat16"))]
    assert renewed(row, other, place) == other


def test_a_changed_setting_is_marked_beside_the_published_number(tmp_path: Path) -> None:
    """It was measured unlike the paper's, and says so; without the change there is no mark."""
    run = (*RUN, "--rows", "mnist", "--methods", "degraded", "--images", "4", "--output", tmp_path)
    assert "†" not in coldbench(*run).stdout
    for change, told in ((("--set", "timesteps=2"), "timesteps 2"), (("--transform", "zoom"), "transform zoom")):
        table = coldbench(*run, *change).stdout
        assert "0.178†" in table
        assert f"† MNIST was measured with {told}, unlike the published number" in table
        assert f"protocol paper, {told}" in table
