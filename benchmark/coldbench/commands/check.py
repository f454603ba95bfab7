"""``coldbench check``: have the numbers moved?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from coldbench import results
from coldbench.commands.run import RunOptions, measure_tables
from coldbench.drift import Drift, Status, arithmetic, compare_records, junit, render, summary
from coldbench.errors import BadInput, CheckFailed, ColdbenchError, Missing
from coldbench.files import short_digest, write_text
from coldbench.paths import home, shipped
from coldbench.protocols import parse_name
from coldbench.registry import find_entry
from coldbench.results import Cell


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """A request to check; see ``coldbench check --help``."""

    full: bool = False
    tables: tuple[str, ...] = ()
    reference: Path | None = None
    junit: Path | None = None
    batch_size: int = 64
    dtype: str = "float32"
    device: str = "auto"
    data_root: Path = Path("data")
    style: str = "markdown"
    quiet: bool = False


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        text: to print.
        drifts: what it is made of.
        measured: file of references -> the new records.
    """

    text: str
    drifts: list[Drift]
    measured: dict[Path, list[Cell]]


def check(options: CheckOptions) -> Checked:
    """Measure again what the references measured, and compare.

    Raises:
        Missing: no references there.
        BadInput: damaged references, or options that do not fit.
    """
    folder = options.reference or shipped("results", "reference", "full" if options.full else "quick")
    drifts: list[Drift] = []
    measured: dict[Path, list[Cell]] = {}
    references = {path: results.load(path) for path in _references(folder, options.tables)}
    try:
        for path, then in references.items():
            measured[path] = _measure_again(then, options, home() / "check" / short_digest(f"{path.resolve()}"))
            found = compare_records(then, measured[path])
            drifts += found
            if not options.quiet:
                click.echo(f"{path.name}: {summary(found)}", err=True)
    except ColdbenchError as error:
        _write_junit(drifts, options, str(error))
        raise
    _write_junit(drifts, options)
    return Checked(render(drifts, f"Against the records in {folder}", options.style), drifts, measured)


def update(checked: Checked) -> None:
    """Let the new numbers be the references.

    Raises:
        CheckFailed: a number is gone, or has another identity or arithmetic than its reference; nothing is changed.
    """
    held = [drift for drift in checked.drifts if drift.status not in (Status.SAME, Status.MOVED, Status.NEW)]
    held += [
        drift
        for drift in checked.drifts
        if drift.then and drift.now and arithmetic(drift.then) != arithmetic(drift.now)
    ]
    if held or not checked.drifts:
        raise CheckFailed(
            f"{summary(checked.drifts)}: {len(held)} cannot be updated; measure new references with coldbench run"
        )
    for path, cells in checked.measured.items():
        results.save(cells, path)


def _write_junit(drifts: Sequence[Drift], options: CheckOptions, error: str = "") -> None:
    if options.junit:
        write_text(options.junit, junit(drifts, "coldbench", error))


def _references(folder: Path, tables: Sequence[str]) -> list[Path]:
    paths = sorted(folder.glob("table-*.json"))
    if tables:
        known = {path.stem.removeprefix("table-"): path for path in paths}
        unknown = [table for table in tables if table not in known]
        if unknown:
            raise BadInput(f"no reference of table {', '.join(unknown)} in {folder}; known: {', '.join(known)}")
        paths = [known[table] for table in tables]
    if not paths:
        raise Missing(f"no references table-*.json in {folder}: coldbench run writes such files")
    return paths


def _measure_again(then: Sequence[Cell], options: CheckOptions, output: Path) -> list[Cell]:
    """What these records measured, measured by the code as it is, row by row."""
    rows: dict[str, list[Cell]] = {}
    for cell in then:
        if cell.status == "measured":
            rows.setdefault(cell.checkpoint, []).append(cell)
    return [cell for row in rows.values() for cell in _measure_row(row, options, output)]


def _measure_row(then: Sequence[Cell], options: CheckOptions, output: Path) -> list[Cell]:
    first = then[0]
    if len({(cell.images, cell.seed, cell.protocol) for cell in then}) != 1:
        raise BadInput(f"the reference of {first.checkpoint} mixes numbers of several N, seeds or protocols")
    protocol, transform, settings = parse_name(first.protocol)
    return measure_tables(
        RunOptions(
            table=str(first.table),
            rows=(find_entry(first.checkpoint).dataset,),
            methods=tuple(dict.fromkeys(cell.method for cell in then)),
            images=first.images,
            seed=first.seed,
            protocol=protocol,
            transform=transform,
            settings=settings,
            features=tuple(dict.fromkeys(cell.features for cell in then if cell.features)) or ("none",),
            batch_size=options.batch_size,
            dtype=options.dtype,
            device=options.device,
            data_root=options.data_root,
            quiet=options.quiet,
            output=output / first.checkpoint,
        )
    )
