"""``coldbench run``: prepare every row, measure, save."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from torch import Tensor

from coldbench.commands.output import States, claimed
from coldbench.commands.plan import Prepared, Settings, prepare, protocol_name
from coldbench.commands.saving import save_row
from coldbench.core.devices import device_name
from coldbench.core.errors import BadInput, Missing
from coldbench.diffusion.catalog import find_entry
from coldbench.evaluation.scores import Key, Outcome
from coldbench.metrics.features import FID_FEATURES
from coldbench.metrics.frechet import few_images
from coldbench.records import record as results
from coldbench.records.record import Cell
from coldbench.tables.tables import OURS, Published, Row, published_numbers, select_rows


@dataclass(frozen=True, kw_only=True)
class RunOptions(Settings):
    """A request to measure tables; see ``coldbench run --help``. No rows or no methods stand for all of them."""

    table: str
    rows: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    output: Path = Path("results/run")


@dataclass(frozen=True)
class Measured:
    """One row of a table, measured or missing.

    Attributes:
        row: which.
        cells: its records.
        gallery: see ``tally.Outcome``; empty where nothing was measured.
    """

    row: Row
    cells: list[Cell]
    gallery: Mapping[str, Tensor]


def measure_tables(options: RunOptions) -> list[Cell]:
    """Measure the requested rows; write records, tables and pictures as each row finishes.

    Raises:
        BadInput, Missing: see ``coldbench run --help``.
    """
    cells: list[Cell] = []
    rows = requested_rows(options)
    with claimed(options.output, fresh=options.fresh) as states:
        for measured in measure_rows(rows, options, states):
            save_row(measured.row, measured.cells, measured.gallery, options.output)
            cells += measured.cells
            for warning in dict.fromkeys(cell.warning for cell in measured.cells if cell.warning and not options.quiet):
                click.echo(f"warning: {warning}", err=True)
    return cells


def requested_rows(options: RunOptions) -> list[Row]:
    """The rows that a request names.

    Raises:
        BadInput: unknown names, or ``--data`` for rows that do not take it.
    """
    rows = select_rows(options.table, options.rows, options.methods)
    if options.data and all(row.generates for row in rows):
        raise BadInput("--data gives images to restore, but these rows generate")
    if options.data and len({row.dataset for row in rows}) != 1:
        raise BadInput("--data replaces the images of one row: say which, e.g. --rows mnist")
    return rows


def measure_rows(rows: Sequence[Row], options: RunOptions, states: States) -> Iterator[Measured]:
    """Measure these rows.

    Everything is prepared before anything is measured, so that what does not fit costs no time.

    Raises:
        BadInput, Missing: see ``coldbench run --help``.
    """
    store = options.store()
    prepared = [(row, prepare(find_entry(row.checkpoint), row.methods, options, store)) for row in rows]
    for row, item in prepared:
        yield _measure_row(row, item, options, states)


def check_measured(cells: Sequence[Cell]) -> None:
    """Whether anything was measured at all.

    Raises:
        Missing: nothing was, and something was asked for; says what the first cell lacked.
    """
    if cells and all(cell.status == "missing" for cell in cells):
        raise Missing(f"nothing could be measured: {cells[0].reason}")


def _measure_row(row: Row, item: Prepared, options: RunOptions, states: States) -> Measured:
    facts = _facts(row, item, options)
    published = published_numbers(row)
    cells = [
        _missing(facts, published, method, metric, reason)
        for method, reason in item.missing.items()
        for metric in row.metrics
    ]
    if item.measure is None:
        return Measured(row, cells, {})
    outcome = item.run(f"Table {row.table} {row.title}", states.keeper(row.stem, item.identity(options)), options)
    if not options.quiet:
        click.echo(_profile(outcome, item.images), err=True)
    facts |= _measured_facts(item, outcome)
    cells += [_measured(facts, published, key, item, outcome) for key in outcome.estimates]
    if FID_FEATURES not in outcome.dimensions:
        asked = options.features != ("auto",)
        reason = f"not asked for: --features {','.join(options.features)}" if asked else item.no_fid
        cells += [_missing(facts, published, method, "FID", reason) for method in item.methods]
    cells.sort(key=lambda cell: (row.methods.index(cell.method), results.METRICS.index(cell.metric)))
    return Measured(row, cells, outcome.gallery)


def _profile(outcome: Outcome, images: int) -> str:
    share = outcome.network_seconds / outcome.seconds
    return f"{images} images in {outcome.seconds:.1f} s, {share:.1%} of it inside the network's forward"


def _facts(row: Row, item: Prepared, options: RunOptions) -> dict[str, Any]:
    """What all cells of a row have in common before anything is measured."""
    return {
        "table": row.table,
        "dataset": row.title,
        "degradation": item.entry.degradation["name"],
        "images": None,
        "seed": options.seed,
        "protocol": protocol_name(item.entry, options),
        "checkpoint": item.entry.name,
        "data": "",
        "data_sha256": None,
        "device": options.device,
        "dtype": options.dtype,
        "batch_size": options.batch_size,
        "seconds": None,
        "network_seconds": None,
        "images_per_second": None,
        "versions": results.versions(),
        "revision": results.revision(),
    }


def _measured_facts(item: Prepared, outcome: Outcome) -> dict[str, Any]:
    """What a measurement adds to ``_facts``."""
    return {
        "images": item.images,
        "data": item.data,
        "data_sha256": item.data_sha256,
        "device": device_name(item.device),
        "seconds": outcome.seconds,
        "network_seconds": outcome.network_seconds,
        "images_per_second": item.images / outcome.seconds,
    }


def _missing(
    facts: Mapping[str, Any], published: Mapping[tuple[str, str], Published], method: str, metric: str, reason: str
) -> Cell:
    return Cell(
        **facts,
        **_printed(published, method, metric),
        method=method,
        metric=metric,
        features=FID_FEATURES if metric == "FID" else "",
        features_sha256=None,
        checkpoint_sha256=None,
        value=None,
        low=None,
        high=None,
        deviation=None,
        warning="",
        status="missing",
        reason=reason,
    )


def _measured(
    facts: Mapping[str, Any],
    published: Mapping[tuple[str, str], Published],
    key: Key,
    item: Prepared,
    outcome: Outcome,
) -> Cell:
    method, metric, features = key
    hashes = {space.name: space.sha256 for space in item.features}
    low, high = outcome.estimates[key].interval() or (None, None)
    return Cell(
        **facts,
        **_printed(published, method, metric),
        method=method,
        metric=metric,
        features=features,
        features_sha256=hashes.get(features),
        checkpoint_sha256=item.entry.sha256 if method in item.networked else None,
        value=outcome.estimates[key].value,
        low=low,
        high=high,
        deviation=outcome.deviations[key],
        warning=few_images(item.images, features, outcome.dimensions),
        status="measured",
        reason="",
    )


def _printed(published: Mapping[tuple[str, str], Published], method: str, metric: str) -> dict[str, Any]:
    """What the paper says."""
    printed = published.get((method, metric))
    return {
        "published": printed.value if printed else None,
        "note": printed.note if printed else "" if published else OURS,
    }
