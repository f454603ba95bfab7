"""All that records hold, said once: what the numbers of a row share, what those of a metric share, and the rest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coldbench.records.record import Record

#: Path of a field in a record, with dots, as in its JSON -> what it holds, in words.
Fields = dict[str, str]


@dataclass(frozen=True)
class Facts:
    """The fields of the records of one row, without those that are empty.

    Attributes:
        shared: part of a record, such as ``identity`` -> its fields that all records have alike.
        of_metrics: the label of a metric -> the other fields that all of its records have alike.
        own: the remaining fields of each record, in the order of the records.
    """

    shared: dict[str, Fields]
    of_metrics: dict[str, Fields]
    own: list[Fields]


def facts_of(records: Sequence[Record]) -> Facts:
    """All that the records of a row hold; each field of each record is in one of the three parts."""
    fields = [fields_of(record) for record in records]
    shared = _alike(fields)
    rest = [_without(each, shared) for each in fields]
    of_metrics = {}
    for label in dict.fromkeys(record.metric.label for record in records):
        same = [each for each, record in zip(rest, records, strict=True) if record.metric.label == label]
        of_metrics[label] = _alike(same) if len(same) > 1 else {}
    own = [_without(each, of_metrics[record.metric.label]) for each, record in zip(rest, records, strict=True)]
    return Facts(_by_part(shared), {label: each for label, each in of_metrics.items() if each}, own)


def fields_of(record: Record) -> Fields:
    """The fields of one record that hold something, flat."""
    return dict(_flat(dataclasses.asdict(record), ""))


def _flat(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [each for name, inner in value.items() for each in _flat(inner, f"{path}.{name}" if path else str(name))]
    if isinstance(value, list | tuple) and any(isinstance(inner, Mapping) for inner in value):
        return [each for number, inner in enumerate(value, 1) for each in _flat(inner, f"{path}.{number}")]
    return [] if value is None or value in ("", (), []) else [(path, _words(value))]


def _words(value: Any) -> str:
    """A value as JSON has it, but for the quotes of plain text."""
    return value if isinstance(value, str) else json.dumps(value)


def _alike(several: Sequence[Fields]) -> Fields:
    """The fields that all have, with one value."""
    return {name: value for name, value in several[0].items() if all(each.get(name) == value for each in several)}


def _without(fields: Fields, others: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name not in others}


def _by_part(fields: Fields) -> dict[str, Fields]:
    """The fields by the part of the record that they are in; those of the record itself are in ``record``."""
    parts: dict[str, Fields] = {}
    for name, value in fields.items():
        part, dot, inner = name.partition(".")
        parts.setdefault(part if dot else "record", {})[inner or part] = value
    return parts
