"""What is ranked: lines of numbers, which is the best of each metric, and which cannot be told from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from coldbench.records.record import Record


class Kind(StrEnum):
    """Where a line of a board comes from."""

    MEASURED = "measured here"
    REPORTED = "reported"


class Standing(StrEnum):
    """How a number stands to the best of its metric."""

    BEST = "best"
    CLOSE = "not distinguishable from the best"
    WORSE = "worse than the best"
    UNKNOWN = "no interval"
    UNRANKED = ""


@dataclass(frozen=True)
class Column:
    """A metric of a task; features of other weights are another column."""

    name: str
    features: str
    features_sha256: str | None
    label: str
    better: str
    decimals: int

    @classmethod
    def of(cls, record: Record) -> Column:
        """That of a record."""
        metric = record.metric
        hashed = record.identity.features_sha256
        return cls(metric.name, metric.features, hashed, metric.label, metric.better, metric.decimals)

    def is_called(self, name: str) -> bool:
        """Whether somebody means this metric, by its label or by its plain name."""
        return name.casefold() in (self.label.casefold(), self.name.casefold())


@dataclass(frozen=True)
class Number:
    """One number of a line: the record that holds it, or what is printed elsewhere.

    Attributes:
        value, interval: the number, and its 95 % interval; None where there is none, as of all that is reported.
        printed: a reported number, as it is printed.
        note: what speaks against it.
        standing: among the numbers of its metric that were measured here.
    """

    value: float
    interval: tuple[float, float] | None = None
    printed: str = ""
    note: str = ""
    standing: Standing = Standing.UNRANKED


@dataclass(frozen=True)
class Entry:
    """A line of a board: one method on one model.

    Attributes:
        model, sha256: the checkpoint; empty where no network takes part.
        method: how the model is used.
        kind: measured here, or reported.
        sources: the folders that hold these numbers, or where they are printed.
        numbers: column -> the number there.
        rank: by the metric that the board is sorted by; None where that was not measured.
    """

    model: str
    sha256: str | None
    method: str
    kind: Kind
    sources: tuple[str, ...]
    numbers: dict[Column, Number]
    rank: int | None = None


def with_standings(entries: Sequence[Entry], columns: Sequence[Column]) -> list[Entry]:
    """The entries, each number that was measured here with its standing."""
    best = {column: _best(entries, column) for column in columns}
    return [
        replace(
            entry,
            numbers={
                column: replace(number, standing=standing(number, best[column]))
                for column, number in entry.numbers.items()
            },
        )
        if entry.kind == Kind.MEASURED
        else entry
        for entry in entries
    ]


def _best(entries: Sequence[Entry], column: Column) -> Number:
    measured = [entry.numbers[column] for entry in entries if entry.kind == Kind.MEASURED and column in entry.numbers]
    return min(measured, key=lambda number: _order(number, column))


def _order(number: Number, column: Column) -> float:
    return -number.value if column.better == "higher" else number.value


def standing(number: Number, best: Number) -> Standing:
    """How a number stands to the best.

    The two are told apart where the 95 % interval of their difference, as of independent measurements, excludes zero:
    its half width is the root of the sum of the squares of theirs, as in ``metrics.intervals.difference``.
    """
    if number.value == best.value:
        return Standing.BEST
    if number.interval is None or best.interval is None:
        return Standing.UNKNOWN
    half = math.hypot(*((high - low) / 2 for low, high in (number.interval, best.interval)))
    return Standing.CLOSE if abs(number.value - best.value) <= half else Standing.WORSE


def ranked(entries: Sequence[Entry], sort: Column) -> list[Entry]:
    """Best first by one metric; reported numbers stand where they belong, and have no rank."""
    with_it = sorted((e for e in entries if sort in e.numbers), key=lambda entry: _order(entry.numbers[sort], sort))
    values = [_order(entry.numbers[sort], sort) for entry in with_it if entry.kind == Kind.MEASURED]
    lines = [
        replace(entry, rank=1 + values.index(_order(entry.numbers[sort], sort)))
        if entry.kind == Kind.MEASURED
        else entry
        for entry in with_it
    ]
    return lines + [entry for entry in entries if sort not in entry.numbers]
