"""Boards: the records of many models and many people, ranked task by task.

What must be equal for two numbers to be ranked together is their task: the images by their hash, N, seed, protocol,
transform, and the degradation with all of its settings. Where images are generated, what they start from and the
degradation that is inverted belong to the method: there, the task is the images to be like, and the size.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from coldbench.core.errors import BadInput
from coldbench.core.provenance import RANDOM_WEIGHTS
from coldbench.records.drift import Status, compare_records
from coldbench.records.ranking import Column, Entry, Kind, Number, ranked, with_standings
from coldbench.records.record import DEGRADED, Identity, Published, Record


@dataclass(frozen=True)
class Task:
    """What is ranked together, in order.

    Attributes:
        identity: of one of its records.
        columns: the metrics.
        sort: the one that it is sorted by.
        entries: best first; those without that metric last.
    """

    identity: Identity
    columns: list[Column]
    sort: Column
    entries: list[Entry]


@dataclass
class Board:
    """All tasks, and what is to be told of the records.

    Attributes:
        tasks: in the order of the records.
        remarks: what was left out, and what disagrees.
    """

    tasks: list[Task] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


#: A line in the making: its folders, and its records by column.
_Line = tuple[list[str], dict[Column, Record]]


def board(folders: Mapping[str, Sequence[Record]], metric: str | None = None) -> Board:
    """Rank what was measured.

    Args:
        folders: where they come from -> records.
        metric: to sort by, by its label or plain name; a task that lacks it is sorted by its first metric, as all are
            unless it is given.

    Raises:
        BadInput: nothing can be ranked, or no task has that metric.
    """
    made = Board()
    tasks: dict[str, list[tuple[str, Record]]] = {}
    for source, records in folders.items():
        for record in _usable(records, source, made.remarks):
            tasks.setdefault(task_key(record.identity), []).append((source, record))
    if not tasks:
        raise BadInput(f"nothing to rank in {', '.join(folders)}: no record there was measured with known settings")
    _check_metric(metric, [record for found in tasks.values() for _, record in found])
    made.tasks = [_task(found, metric, made.remarks) for found in tasks.values()]
    return made


def task_key(identity: Identity) -> str:
    """What two numbers must have in common to be ranked together, but for the metric."""
    degradation = {"image_size": identity.degradation.get("image_size")} if identity.start else identity.degradation
    return _keyed(
        [
            identity.data_sha256 or identity.data,
            identity.images,
            identity.seed,
            identity.protocol,
            identity.transform,
            bool(identity.start),
            degradation,
        ]
    )


def _keyed(parts: Any) -> str:
    return json.dumps(parts, sort_keys=True)


def _usable(records: Sequence[Record], source: str, remarks: list[str]) -> list[Record]:
    """The measured records that can be ranked; how many cannot, and why, is remarked."""
    usable, left_out = [], Counter[str]()
    for record in records:
        if record.measured and (reason := _unusable(record)):
            left_out[reason] += 1
        elif record.measured:
            usable.append(record)
    remarks += [f"{source}: {count} numbers are left out: {reason}" for reason, count in left_out.items()]
    return usable


def _unusable(record: Record) -> str:
    """Why a number cannot be ranked; empty where it can."""
    if record.schema_version < 3:
        return "records of schema 2 do not say all settings; coldbench run measures them anew"
    return "random weights mean nothing" if record.identity.checkpoint_sha256 == RANDOM_WEIGHTS else ""


def _check_metric(metric: str | None, records: Iterable[Record]) -> None:
    columns = {Column.of(record): None for record in records}
    if metric is not None and not any(column.is_called(metric) for column in columns):
        labels = ", ".join(dict.fromkeys(column.label for column in columns))
        raise BadInput(f"no number of metric '{metric}' in these records; they have {labels}")


def _task(found: Sequence[tuple[str, Record]], metric: str | None, remarks: list[str]) -> Task:
    columns = list(dict.fromkeys(Column.of(record) for _, record in found))
    sort = next((column for column in columns if metric and column.is_called(metric)), columns[0])
    entries = with_standings([*_measured(found, remarks), *_reported(found)], columns)
    return Task(found[0][1].identity, columns, sort, ranked(entries, sort))


def _measured(found: Sequence[tuple[str, Record]], remarks: list[str]) -> list[Entry]:
    """A line a model and method; what several folders hold alike is one line."""
    rows: dict[str, dict[tuple[str, ...], dict[Column, Record]]] = {}
    for source, record in found:
        place = (source, record.where.table, record.where.row)
        rows.setdefault(_entry_key(record), {}).setdefault(place, {})[Column.of(record)] = record
    lines = []
    for findings in rows.values():
        lines += _merged([(place[0], numbers) for place, numbers in findings.items()], remarks)
    return [_entry(sources, numbers) for sources, numbers in lines]


def _entry_key(record: Record) -> str:
    """What makes it the same model, used in the same way and in the same arithmetic."""
    identity = record.identity
    how = [identity.degradation, identity.start] if identity.start else []
    return _keyed([_model(record), identity.checkpoint_sha256, record.where.method, record.conditions.dtype, how])


def _model(record: Record) -> str:
    """The checkpoint, unless no network takes part."""
    identity = record.identity
    no_network = identity.checkpoint_sha256 is None and record.where.method == DEGRADED
    return "" if no_network else identity.checkpoint


def _merged(findings: Sequence[tuple[str, dict[Column, Record]]], remarks: list[str]) -> list[_Line]:
    """Findings of one model and method; those that disagree stay lines of their own, and that is told."""
    lines: list[_Line] = []
    for source, numbers in findings:
        agreeing = [line for line in lines if not _disagreements(line[1], numbers)]
        if not agreeing:
            against, known = lines[0] if lines else ([source], numbers)
            remarks += [f"{told} in {against[0]} and {source}" for told in _disagreements(known, numbers)]
            lines.append(([source], dict(numbers)))
            continue
        sources, known = agreeing[0]
        sources += [] if source in sources else [source]
        known |= {column: record for column, record in numbers.items() if column not in known}
    return lines


def _disagreements(known: Mapping[Column, Record], numbers: Mapping[Column, Record]) -> list[str]:
    """The numbers of both that differ by more than their tolerance, in words."""
    told = []
    for column in known.keys() & numbers.keys():
        then, now = known[column], numbers[column]
        (drift,) = compare_records([then], [replace(now, where=then.where)])
        if drift.status == Status.MOVED:
            what = f"{then.where.method} {column.label} of {then.identity.checkpoint}"
            told.append(f"{what} is {then.value:.6g} and {now.value:.6g}")
    return sorted(told)


def _entry(sources: Sequence[str], numbers: Mapping[Column, Record]) -> Entry:
    first = next(iter(numbers.values()))
    dtype = first.conditions.dtype
    return Entry(
        model=_model(first) + ("" if dtype == "float32" else f" in {dtype}"),
        sha256=first.identity.checkpoint_sha256,
        method=first.where.method,
        kind=Kind.MEASURED,
        sources=tuple(sources),
        numbers={column: _number(record) for column, record in numbers.items()},
    )


def _number(record: Record) -> Number:
    assert record.value is not None
    return Number(record.value, record.interval, note=record.warning)


def _reported(found: Sequence[tuple[str, Record]]) -> list[Entry]:
    """A line a source and method; what stands beside a row measured otherwise is another task's."""
    lines: dict[tuple[str, str], dict[Column, Number]] = {}
    for _, record in found:
        printed: Published | None = record.published
        if printed is not None and not record.changes:
            number = Number(printed.value, printed=printed.printed, note=printed.note)
            lines.setdefault((printed.source, record.where.method), {}).setdefault(Column.of(record), number)
    return [
        Entry(model="as printed", sha256=None, method=method, kind=Kind.REPORTED, sources=(source,), numbers=numbers)
        for (source, method), numbers in lines.items()
    ]
