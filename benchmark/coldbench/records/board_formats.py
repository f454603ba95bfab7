"""Boards as Markdown, CSV, JSON, and one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import pandas as pd

from coldbench.core.errors import printable
from coldbench.records.board import Task
from coldbench.records.formats import (
    ABSENT,
    BIASED,
    INTERVALS,
    RECORDS,
    method_title,
    print_frame,
    print_number,
    print_records,
)
from coldbench.records.ranking import Column, Entry, Kind, Standing
from coldbench.records.record import UNKNOWN

_MARKS = {Standing.BEST: " (best)", Standing.CLOSE: " (≈ best)", Standing.UNKNOWN: " (no interval)"}
#: What the marks mean.
_LEGEND = (
    "(best): the best of those measured here; (≈ best): not distinguishable from it, as the 95 % interval of their "
    "difference, taken as of independent measurements, includes zero; coldbench compare, which measures both on the "
    "same images, may yet tell them apart"
)
_REPORTED = "reported: printed elsewhere, of other networks and images than those measured here; it has no rank"
_UNKNOWN = (
    "these images were scored without a model, and no record says how they were degraded: ranks mean something only "
    "among images that were degraded alike"
)
_STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --page: #fff; --line: #d0d0d0; --best: #d9f2df; --close: #eef7d8; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --page: #161616; --line: #444; --best: #1d4a2a; --close: #37421c; }
}
body { font: 1rem/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); margin: 0 auto; padding: 1rem;
  max-width: 72rem; }
section { overflow-x: auto; margin-bottom: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .5rem 0; }
th, td { text-align: left; padding: .3rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
td.number, th.number { text-align: right; }
td.best { background: var(--best); font-weight: 600; }
td.close { background: var(--close); }
tr.reported { font-style: italic; }
ul { font-size: .875rem; padding-left: 1.2rem; }
"""
_CLASSES = {Standing.BEST: "number best", Standing.CLOSE: "number close"}


def render_board(tasks: Sequence[Task], style: str) -> str:
    """All tasks in one of ``records.BOARD_FORMATS``; CSV and JSON hold each number in full precision."""
    if style in RECORDS:
        return print_records([line for task in tasks for line in _lines(task)], style)
    if style == "html":
        return _page(tasks)
    return "\n".join(print_frame(_frame(task), title_of(task), notes_of(task), style) for task in tasks)


def title_of(task: Task) -> str:
    """What the task is, and how many images it is of."""
    identity = task.identity
    if identity.start:
        return f"Generation: {identity.images:,} images against the {identity.data}"
    task_name = "Restoration" if _unknown(task) else identity.degradation["name"].capitalize()
    return f"{task_name}: {identity.images:,} images of {identity.data}"


def _unknown(task: Task) -> bool:
    """Whether nobody has said how the restored images were degraded, as of those that ``score`` was given."""
    return not task.identity.start and task.identity.degradation["name"] == UNKNOWN


def notes_of(task: Task) -> list[str]:
    """All that the task is, what the table is sorted by, and what speaks against some of its numbers."""
    better = f"{task.sort.better} is better"
    notes = [f"{settings_of(task)}; sorted by {task.sort.label} ({better})", _LEGEND, INTERVALS]
    if _unknown(task):
        notes.append(_UNKNOWN)
    if any(column.features for column in task.columns):
        notes.append(BIASED)
    if any(entry.kind == Kind.REPORTED for entry in task.entries):
        notes.append(_REPORTED)
    found: dict[str, dict[str, None]] = {}
    for entry in task.entries:
        for column, number in entry.numbers.items():
            if number.note:
                found.setdefault(number.note, {})[f"{name_of(entry)} {entry.method} {column.label}"] = None
    return [*notes, *(f"* {', '.join(of)}: {note}" for note, of in found.items())]


def settings_of(task: Task) -> str:
    """All that two numbers of the task have in common."""
    identity = task.identity
    data = f"data {identity.data_sha256[:12]}" if identity.data_sha256 else f"data {identity.data}, of no known hash"
    settings = {"image_size": identity.degradation.get("image_size")} if identity.start else identity.degradation
    listed = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "name")
    return f"{listed}, transform {identity.transform}, seed {identity.seed}, protocol {identity.protocol}, {data}"


def name_of(entry: Entry) -> str:
    """The model with the first digits of its hash; a line of no network has none."""
    return f"{entry.model} ({entry.sha256[:12]})" if entry.sha256 else entry.model or "no network"


def _heads(task: Task) -> dict[Column, str]:
    """Column -> its heading; features of two weights carry their hashes."""
    labels = [column.label for column in task.columns]
    return {
        column: f"{column.label} {str(column.features_sha256)[:12]}" if labels.count(column.label) > 1 else column.label
        for column in task.columns
    }


def _names(entry: Entry) -> dict[str, str]:
    return {
        "Model": name_of(entry),
        "Method": method_title(entry.method),
        "Rank": ABSENT if entry.rank is None else str(entry.rank),
        "Kind": str(entry.kind),
        "From": ", ".join(entry.sources),
    }


def _cell(entry: Entry, column: Column) -> str:
    number = entry.numbers.get(column)
    if number is None:
        return ABSENT
    text = number.printed or print_number(number.value, number.interval, column.decimals)
    return f"{text}{_MARKS.get(number.standing, '')}{'*' if number.note else ''}"


def _frame(task: Task) -> pd.DataFrame:
    heads = _heads(task)
    return pd.DataFrame(
        [_names(entry) | {head: _cell(entry, column) for column, head in heads.items()} for entry in task.entries]
    )


def _lines(task: Task) -> list[dict[str, Any]]:
    """A line a number, with all that makes it that number."""
    identity = task.identity
    same = {
        "task": title_of(task),
        "settings": settings_of(task),
        "data": identity.data,
        "data_sha256": identity.data_sha256,
        "images": identity.images,
        "seed": identity.seed,
        "protocol": identity.protocol,
        "transform": identity.transform,
        "degradation": "generation" if identity.start else identity.degradation["name"],
        "sorted_by": task.sort.label,
    }
    return [same | _line(entry, column) for entry in task.entries for column in task.columns if column in entry.numbers]


def _line(entry: Entry, column: Column) -> dict[str, Any]:
    number = entry.numbers[column]
    low, high = number.interval or (None, None)
    return {
        "rank": entry.rank,
        "model": entry.model,
        "checkpoint_sha256": entry.sha256,
        "method": entry.method,
        "kind": str(entry.kind),
        "from": ", ".join(entry.sources),
        "metric": column.label,
        "features_sha256": column.features_sha256,
        "better": column.better,
        "value": number.value,
        "low": low,
        "high": high,
        "standing": str(number.standing),
        "note": number.note,
    }


def _page(tasks: Sequence[Task]) -> str:
    sections = "\n".join(map(_section, tasks))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>coldbench board</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>coldbench board</h1>\n{sections}\n</body>\n</html>\n"
    )


def _section(task: Task) -> str:
    names = list(_names(task.entries[0]))
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    heads += "".join(f'<th scope="col" class="number">{_shown(head)}</th>' for head in _heads(task).values())
    notes = "".join(f"<li>{_shown(note)}</li>" for note in notes_of(task))
    rows = "\n".join(_row(entry, task.columns) for entry in task.entries)
    return (
        f"<section>\n<table>\n<caption>{_shown(title_of(task))}</caption>\n<thead><tr>{heads}</tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody>\n</table>\n<ul>{notes}</ul>\n</section>"
    )


def _row(entry: Entry, columns: Sequence[Column]) -> str:
    cells = "".join(f"<td>{_shown(text)}</td>" for text in _names(entry).values())
    for column in columns:
        number = entry.numbers.get(column)
        kind = _CLASSES.get(number.standing, "number") if number else "number"
        cells += f'<td class="{kind}">{_shown(_cell(entry, column))}</td>'
    return f'<tr class="{entry.kind.split()[0]}">{cells}</tr>'


def _shown(text: str) -> str:
    return escape(printable(text))
