"""``coldbench check`` and ``coldbench diff``: have the numbers moved?"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from coldbench import results
from coldbench.commands.run import RunOptions, measure_tables
from coldbench.drift import Drift, compare_records, junit, render, summary
from coldbench.errors import BadInput, CheckFailed, Missing
from coldbench.files import write_text
from coldbench.paths import shipped
from coldbench.registry import find_entry
from coldbench.results import Cell


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """A request to check; see ``coldbench check --help``."""

    full: bool = False
    tables: tuple[str, ...] = ()
    reference: Path | None = None
    update: bool = False
    junit: Path | None = None
    batch_size: int = 64
    dtype: str = "float32"
    device: str = "auto"
    data_root: Path = Path("data")
    style: str = "markdown"
    quiet: bool = False


def check(options: CheckOptions) -> tuple[str, list[Drift]]:
    """Measure again what the references measured, and compare.

    Returns:
        The table to print, and what it is made of.

    Raises:
        Missing: no references there.
        BadInput: damaged references, or options that do not fit.
    """
    folder = options.reference or shipped("results", "reference", "full" if options.full else "quick")
    drifts: list[Drift] = []
    for path in _references(folder, options.tables):
        then = results.load(path)
        now = _measure_again(then, options)
        found = compare_records(then, now)
        drifts += found
        if not options.quiet:
            click.echo(f"{path.name}: {summary(found)}", err=True)
        if options.update:
            results.save(now, path)
    if options.junit:
        write_text(options.junit, junit(drifts, "coldbench"))
    return render(drifts, f"Against the records in {folder}", options.style), drifts


def diff(then: Path, now: Path, style: str) -> tuple[str, list[Drift]]:
    """Compare two files of records.

    Raises:
        BadInput: one of them is missing or damaged.
    """
    drifts = compare_records(results.load(then), results.load(now))
    return render(drifts, f"{then} against {now}", style), drifts


def fail_if_moved(drifts: Sequence[Drift]) -> None:
    """Let the command fail.

    Raises:
        CheckFailed: a number has moved, is gone, or is refused; or there was none at all.
    """
    failed = [drift for drift in drifts if not drift.passed]
    if failed or not drifts:
        raise CheckFailed(f"{summary(drifts)}: {len(failed)} of {len(drifts)} numbers did not pass")


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


def _measure_again(then: Sequence[Cell], options: CheckOptions) -> list[Cell]:
    """What these records measured, measured by the code as it is."""
    measured = [cell for cell in then if cell.status == "measured"]
    images = {cell.images for cell in measured}
    seeds, protocols = {cell.seed for cell in measured}, {cell.protocol for cell in measured}
    if len(images) != 1 or len(seeds) != 1 or len(protocols) != 1:
        raise BadInput("a reference must hold numbers of one N, one seed and one protocol")
    with tempfile.TemporaryDirectory() as scratch:
        return measure_tables(
            RunOptions(
                table=str(measured[0].table),
                rows=tuple(dict.fromkeys(find_entry(cell.checkpoint).dataset for cell in measured)),
                methods=tuple(dict.fromkeys(cell.method for cell in measured)),
                images=images.pop(),
                seed=seeds.pop(),
                protocol=protocols.pop(),
                batch_size=options.batch_size,
                dtype=options.dtype,
                device=options.device,
                data_root=options.data_root,
                quiet=options.quiet,
                output=Path(scratch),
            )
        )
