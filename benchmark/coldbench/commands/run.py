"""``coldbench run``: prepare every row, measure, save."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from coldbench.commands.figures import check_figures
from coldbench.commands.keeping import check_keeping, write_scores
from coldbench.commands.output import save_row, shared_claim
from coldbench.commands.plan import plan
from coldbench.commands.recording import Measurement, measure_plan
from coldbench.commands.request import Request
from coldbench.core.errors import BadInput
from coldbench.core.progress import tell
from coldbench.diffusion.catalog import load_entries
from coldbench.records.folder import Claim
from coldbench.records.record import Record
from coldbench.tables.tables import Row, find_tables, select_rows

#: Where results go unless said otherwise.
OUTPUT = Path("results/run")


def run_table(table: str, request: Request, *, rows: Sequence[str] = (), output: Path = OUTPUT) -> list[Record]:
    """Measure rows of tables; write records, tables and pictures as each row finishes.

    Args:
        table: see ``coldbench.tables.tables.select_rows``.
        request: how to measure; ``methods`` select among those of the rows.
        rows: names of rows or data sets; all unless given.
        output: the folder.

    Raises:
        BadInput, Missing: see ``coldbench run --help``.
    """
    check_keeping(request)
    check_figures(request)
    selected = requested_rows(table, rows, request)
    layout = {each.name: each.rows for each in find_tables(table)}
    records: list[Record] = []
    frames: list[pd.DataFrame] = []
    with shared_claim(output, fresh=request.fresh) as claim:
        for measured in measure_rows(selected, request, claim, table=table):
            row = measured.plan.row
            save_row(measured.records, measured.figures(), output, row, layout[row.table])
            records += measured.records
            frames.append(measured.scores_of_each())
            write_scores(frames, request)
            warnings = dict.fromkeys(record.warning for record in measured.records if record.warning)
            for warning in () if request.quiet else warnings:
                tell(f"warning: {warning}")
    return records


def requested_rows(table: str, rows: Sequence[str], request: Request) -> list[Row]:
    """The rows that a request names.

    Raises:
        BadInput: unknown names, or ``--data`` or ``--reference-statistics`` for rows that do not take it.
    """
    selected = select_rows(table, rows, request.methods)
    entries = load_entries()
    generating = [row for row in selected if row.checkpoint in entries and entries[row.checkpoint].start]
    if request.data and len(generating) == len(selected):
        raise BadInput("--data gives images to restore, but these rows generate")
    if request.data and len({row.dataset for row in selected}) != 1:
        raise BadInput("--data replaces the images of one row: say which, e.g. --rows mnist")
    if request.reference_statistics and not generating:
        raise BadInput("--reference-statistics is what generated images are compared with, and these rows restore")
    if request.reference_statistics and len({row.dataset for row in generating}) != 1:
        raise BadInput("--reference-statistics are those of one data set: say which, e.g. --rows mnist")
    return selected


def measure_rows(rows: Sequence[Row], request: Request, claim: Claim, *, table: str) -> Iterator[Measurement]:
    """Measure these rows.

    Everything is prepared before anything is measured, so that what does not fit costs no time.

    Raises:
        BadInput, Missing: see ``coldbench run --help``.
    """
    store = request.store()
    plans = [plan(row, request, store, tabled=True) for row in rows]
    for each in plans:
        command = {"command": "run", "table": table if table.endswith(".toml") else each.row.table}
        yield measure_plan(each, claim, command, f"Table {each.row.table} {each.row.title}")
