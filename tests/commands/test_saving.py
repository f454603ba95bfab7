"""Output folders: what a command measured is not lost to what another one measures, or fails to."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from coldbench.commands.saving import renewed, save_row
from coldbench.records import record as results
from coldbench.records.record import Cell
from coldbench.tables.tables import TABLES
from tests.helpers import coldbench

RUN = ("run", "--table", "3", "--features", "none", "--quiet")


def measured(folder: Path) -> dict[tuple[str, str, str], int | None]:
    cells = results.load(folder / "table-3.json")
    return {(cell.dataset, cell.method, cell.metric): cell.images for cell in cells if cell.status == "measured"}


def test_other_rows_and_methods_stay(tmp_path: Path) -> None:
    run = (*RUN, "--images", "20", "--output", tmp_path)
    assert coldbench(*run, "--rows", "mnist", "--methods", "degraded").returncode == 0
    assert coldbench(*run, "--rows", "celeba").returncode == 3
    done = coldbench(*run, "--rows", "mnist", "--methods", "direct")
    assert done.stderr == "", "nothing was lost, and nothing need be said"
    assert set(measured(tmp_path)) == {
        ("MNIST", method, metric) for method in ("degraded", "direct") for metric in ("SSIM", "RMSE")
    }
    assert {cell.dataset for cell in results.load(tmp_path / "table-3.json")} == {"MNIST", "CelebA"}
    table = (tmp_path / "table-3.md").read_text()
    assert table.index("| MNIST") < table.index("| CelebA"), "in the order of the paper's table"
    assert not (tmp_path / "earlier").exists()


def test_numbers_that_others_take_the_place_of_are_set_aside(tmp_path: Path) -> None:
    run = (*RUN, "--rows", "mnist", "--methods", "degraded", "--output", tmp_path)
    assert coldbench(*run, "--images", "30").returncode == 0
    before = (tmp_path / "table-3.json").read_bytes()
    done = coldbench(*run, "--images", "20")
    (kept,) = (tmp_path / "earlier").iterdir()
    assert kept.read_bytes() == before
    assert str(kept) in done.stderr
    assert set(measured(tmp_path).values()) == {20}
    (tmp_path / "table-3.json").write_text("not ours")
    assert coldbench(*run, "--images", "20").returncode == 0
    assert "not ours" in {path.read_text() for path in (tmp_path / "earlier").iterdir()}


def test_a_comparison_is_set_aside_for_another_one(tmp_path: Path) -> None:
    compare = ("compare", "degraded", "direct", "--features", "none", "--quiet", "--output", tmp_path)
    for images in ("30", "30", "20"):
        done = coldbench(*compare, "--images", images)
        assert done.returncode == 0, done.stderr
        assert ("is kept in" in done.stderr) == (images == "20")


def test_numbers_that_moved_are_set_aside_and_others_are_not(tmp_path: Path, cells: list[Cell]) -> None:
    """Measured again by another version: what it was is wanted by whoever looks for what moved it."""
    (row,) = [row for row in TABLES[3].rows if row.dataset == "mnist"]
    save_row(row, cells, {}, tmp_path)
    newer = [dataclasses.replace(cell, revision="newer") for cell in cells]
    save_row(row, newer, {}, tmp_path)
    assert not (tmp_path / "earlier").exists()
    assert {cell.revision for cell in results.load(tmp_path / "table-3.json")} == {"newer"}
    save_row(row, [dataclasses.replace(c, value=c.value and c.value + 0.2) for c in newer], {}, tmp_path)
    (kept,) = (tmp_path / "earlier").iterdir()
    assert results.load(kept) == newer


def test_a_bad_request_costs_nothing(tmp_path: Path) -> None:
    state = tmp_path / ".resume" / "row.pt"
    state.parent.mkdir()
    state.touch()
    for bad in (("--table", "9"), ("--table", "3", "--data", "npz:x.npz")):
        assert coldbench("run", *bad, "--fresh", "--output", tmp_path).returncode == 2
        assert state.exists()


def test_a_missing_number_does_not_take_the_place_of_a_measured_one(cells: list[Cell]) -> None:
    gone = [dataclasses.replace(cell, value=None, status="missing", images=None) for cell in cells]
    kept = [cell for cell in renewed(cells, gone) if cell.status == "measured"]
    assert len(kept) == 9
    assert kept == [cell for cell in cells if cell.status == "measured"]
    assert renewed(gone, cells) == cells


@pytest.mark.parametrize(
    "change",
    [{"images": 99}, {"seed": 1}, {"protocol": "released"}, {"data_sha256": "0"}, {"dtype": "bfloat16"},
     {"checkpoint_sha256": "0"}, {"features_sha256": "0"}],
)  # fmt: skip
def test_a_row_is_one_measurement(change: dict[str, object], cells: list[Cell]) -> None:
    """Of numbers that were measured differently, only the new ones stay."""
    direct = [dataclasses.replace(cell, **change) for cell in cells if cell.method == "direct" and cell.metric == "FD"]
    assert renewed(cells, direct) == direct
    alike = [cell for cell in cells if cell.method == "direct"]
    assert len(renewed(cells, alike)) == len(cells)
