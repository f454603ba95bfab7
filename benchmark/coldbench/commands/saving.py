"""What ``run`` and ``compare`` leave in their output folders; a number that was measured is not lost to another one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from torch import Tensor

from coldbench.commands.output import EARLIER
from coldbench.core.errors import BadInput
from coldbench.core.files import short_digest, write_atomically, write_text
from coldbench.records import record as results
from coldbench.records.comparison import Comparison
from coldbench.records.comparison import render as render_comparisons
from coldbench.records.drift import Drift, Status, compare_records
from coldbench.records.formats import render, save_picture
from coldbench.records.record import METRICS, Cell
from coldbench.tables.tables import TABLES, Row


def save_row(row: Row, cells: Sequence[Cell], gallery: Mapping[str, Tensor], output: Path) -> None:
    """Write the records of one row into those of its table, the table, and the picture.

    Other rows stay as they are. Numbers of the same row stay, too, if they were measured alike; if not, the whole file
    is set aside first.

    Raises:
        BadInput: the folder cannot be written.
    """
    path = output / f"table-{row.table}.json"
    stored = _stored(path)
    kept = renewed(stored, cells)
    if not all(map(_holds, compare_records(stored, kept))):
        set_aside(path)
    results.save(kept, path)
    write_text(path.with_suffix(".md"), render(kept, "markdown"))
    if gallery:
        save_picture(gallery, output / "pictures" / f"{row.stem}.png")


def save_comparison(comparisons: Sequence[Comparison], gallery: Mapping[str, Tensor], stem: Path) -> None:
    """Write record, table and picture of a comparison; a record of that name with other numbers is set aside.

    Raises:
        BadInput: the folder cannot be written.
    """
    path, text = stem.with_name(f"{stem.name}.json"), render_comparisons(comparisons, "json")
    if path.exists() and _numbers(_read(path)) != _numbers(text.encode()):
        set_aside(path)
    write_text(path, text)
    write_text(path.with_suffix(".md"), render_comparisons(comparisons, "markdown"))
    save_picture(gallery, path.with_suffix(".png"))


def _numbers(content: bytes) -> object:
    """The records of comparisons, without the versions of the software; None if they are none."""
    try:
        return [{key: each[key] for key in each if key not in ("versions", "revision")} for each in json.loads(content)]
    except (ValueError, TypeError, RecursionError):
        return None


def renewed(stored: Sequence[Cell], row: Sequence[Cell]) -> list[Cell]:
    """The records of one table with the cells of one row renewed, in the table's order.

    A missing cell does not take the place of a measured one. Cells of the row that are not among the new ones stay,
    unless new ones were measured differently: a row is one measurement.
    """
    others = [cell for cell in stored if cell.checkpoint != row[0].checkpoint]
    before = [cell for cell in stored if cell.checkpoint == row[0].checkpoint]
    if not _alike(before, row):
        before = []
    measured = {cell.key: cell for cell in (*before, *row) if cell.status == "measured"}
    missing = {cell.key: cell for cell in (*before, *row)}
    return sorted([*others, *(missing | measured).values()], key=_place)


def _alike(before: Sequence[Cell], now: Sequence[Cell]) -> bool:
    """Whether what was measured then and now can stand in one row."""
    cells = [cell for cell in (*before, *now) if cell.status == "measured"]
    settings = {(cell.images, cell.seed, cell.protocol, cell.data_sha256, cell.dtype, cell.device) for cell in cells}
    weights = {cell.checkpoint_sha256 for cell in cells if cell.checkpoint_sha256}
    spaces = {(cell.features, cell.features_sha256) for cell in cells}
    return len(settings) <= 1 and len(weights) <= 1 and len(spaces) == len({features for features, _ in spaces})


def _holds(drift: Drift) -> bool:
    """Whether a stored number is still there, or one that is as good."""
    return drift.status == Status.NEW or (drift.status == Status.SAME and drift.same_arithmetic)


def _place(cell: Cell) -> tuple[int, int, int, str]:
    rows = {row.checkpoint: (place, row.methods) for place, row in enumerate(TABLES[cell.table].rows)}
    place, methods = rows[cell.checkpoint]
    return place, methods.index(cell.method), METRICS.index(cell.metric), cell.features


def _stored(path: Path) -> list[Cell]:
    """The records that are there; a file that holds none is set aside."""
    if not path.exists():
        return []
    try:
        cells = results.load(path)
        compare_records(sorted(cells, key=_place), cells)
    except (BadInput, KeyError, ValueError):
        set_aside(path)
        return []
    return cells


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error


def set_aside(path: Path) -> None:
    """Keep a copy of a file that something else is about to take the place of, and say where.

    Raises:
        BadInput: it cannot be read or written.
    """
    content = _read(path)
    kept = path.parent / EARLIER / f"{path.stem}-{short_digest(content)}{path.suffix}"
    write_atomically(kept, lambda temporary: temporary.write_bytes(content))
    click.echo(f"{path} is replaced; what it held is kept in {kept}", err=True)
