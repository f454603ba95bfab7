"""``coldbench check``: have the numbers moved?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from coldbench.commands.output import States, claimed
from coldbench.commands.run import RunOptions, check_measured, measure_rows, requested_rows
from coldbench.core.errors import BadInput, CheckFailed, ColdbenchError, Missing
from coldbench.core.files import short_digest, write_text
from coldbench.core.paths import home, shipped
from coldbench.diffusion.catalog import find_entry
from coldbench.evaluation.protocols import parse_name
from coldbench.records import record as results
from coldbench.records.drift import Drift, Status, compare_records, summary
from coldbench.records.drift_report import junit, render
from coldbench.records.formats import render as render_tables
from coldbench.records.record import RANDOM, Cell


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """A request to check; see ``coldbench check --help``."""

    full: bool = False
    tables: tuple[str, ...] = ()
    reference: Path | None = None
    junit: Path | None = None
    data: str | None = None
    batch_size: int = 64
    dtype: str = "float32"
    device: str = "auto"
    data_root: Path = Path("data")
    workers: int | None = None
    style: str = "markdown"
    quiet: bool = False
    fresh: bool = False


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        text: to print.
        drifts: what it is made of.
        references: file -> the records in it.
        measured: file -> the new ones.
    """

    text: str
    drifts: list[Drift]
    references: dict[Path, list[Cell]]
    measured: dict[Path, list[Cell]]


@contextmanager
def check(options: CheckOptions) -> Iterator[Checked]:
    """Measure again what the references measured, and compare.

    What was measured can be had again, by the same command, until the block ends well.

    Raises:
        Missing: no references there, or nothing that they need.
        BadInput: damaged references, or options that do not fit.
    """
    folder = options.reference or shipped("results", "reference", "full" if options.full else "quick")
    drifts: list[Drift] = []
    # Before anything is measured: if it cannot be written, this is the time to say so; if we are killed, it is true.
    _write_junit(drifts, options, "the check did not come to its end")
    try:
        references = {path: results.load(path) for path in _references(folder, options.tables)}
        requests = {path: _requests(then, options) for path, then in references.items()}
        if options.data and not any(request.data for each in requests.values() for request, _ in each):
            raise BadInput(f"nothing in {folder} was measured on images of --data: leave it out")
        with claimed(_workspace(folder, options), fresh=options.fresh) as states:
            measured = {}
            for path, then in references.items():
                measured[path] = [cell for each in requests[path] for cell in _measure_again(*each, states)]
                found = compare_records(then, measured[path])
                drifts += found
                if not options.quiet:
                    click.echo(f"{path.name}: {summary(found)}", err=True)
            _write_junit(drifts, options)
            check_measured([cell for cells in measured.values() for cell in cells])
            title = f"Against the records in {folder}"
            yield Checked(render(drifts, title, options.style), drifts, references, measured)
    except ColdbenchError as error:
        _write_junit(drifts, options, str(error))
        raise


def _workspace(folder: Path, options: CheckOptions) -> Path:
    """Where a check keeps its states: checks that differ do not meet."""
    request = [str(folder.resolve()), *options.tables, options.dtype, options.device, str(options.batch_size)]
    return home() / "check" / short_digest("\n".join(request))


def update(checked: Checked) -> None:
    """Let the new numbers be the references; what was not measured stays as it is.

    Raises:
        CheckFailed: a number is gone, or has another identity or arithmetic than its reference; nothing is changed.
    """
    renewable = (Status.SAME, Status.MOVED)
    held = [drift for drift in checked.drifts if drift.status not in renewable or not drift.same_arithmetic]
    if held or not checked.drifts:
        raise CheckFailed(
            f"{summary(checked.drifts)}: {len(held)} cannot be updated; measure new references with coldbench run"
        )
    for path, then in checked.references.items():
        now = {cell.key: cell for cell in checked.measured[path] if cell.status == "measured"}
        cells = [now.get(cell.key, cell) for cell in then]
        results.save(cells, path)
        if path.with_suffix(".md").exists():  # coldbench run wrote both
            write_text(path.with_suffix(".md"), render_tables(cells, "markdown"))


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


def _requests(then: Sequence[Cell], options: CheckOptions) -> list[tuple[RunOptions, list[Cell]]]:
    """What measured these records, row by row, and the records."""
    rows: dict[str, list[Cell]] = {}
    for cell in then:
        if cell.status == "measured":
            rows.setdefault(cell.checkpoint, []).append(cell)
    return [(_request(row, options), row) for row in rows.values()]


def _request(then: Sequence[Cell], options: CheckOptions) -> RunOptions:
    """The ``coldbench run`` that measured these cells of one row.

    Raises:
        BadInput: no single one did, or it had images that the options do not give.
    """
    first, entry = then[0], find_entry(then[0].checkpoint)
    if len({(cell.images, cell.seed, cell.protocol) for cell in then}) != 1:
        raise BadInput(f"the reference of {first.checkpoint} mixes numbers of several N, seeds or protocols")
    own = not entry.start and first.data != first.dataset
    if own and options.data is None:
        raise BadInput(f"{first.checkpoint} was measured on images of {first.data}: say where they are with --data")
    protocol, transform, settings = parse_name(first.protocol)
    return RunOptions(
        table=str(first.table),
        rows=(entry.dataset,),
        methods=tuple(dict.fromkeys(cell.method for cell in then)),
        images=first.images,
        seed=first.seed,
        protocol=protocol,
        transform=transform,
        settings=settings,
        data=options.data if own else None,
        features=tuple(dict.fromkeys(cell.features for cell in then if cell.features)) or ("none",),
        allow_random_weights=any(cell.checkpoint_sha256 == RANDOM for cell in then),
        batch_size=options.batch_size,
        dtype=options.dtype,
        device=options.device,
        data_root=options.data_root,
        workers=options.workers,
        quiet=options.quiet,
    )


def _measure_again(request: RunOptions, then: Sequence[Cell], states: States) -> list[Cell]:
    """What these records measured, measured by the code as it is; missing where that needs something absent."""
    try:
        rows = measure_rows(requested_rows(request), request, states)
        return [cell for measured in rows for cell in measured.cells]
    except Missing as error:
        return [replace(cell, value=None, low=None, high=None, status="missing", reason=str(error)) for cell in then]
