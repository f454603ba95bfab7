"""Whether numbers have moved: two sets of records, cell by cell, against a stated tolerance.

It compares all of their identities first: a number of other images is another number, however near.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from coldbench.core.errors import BadInput, CheckFailed
from coldbench.records.record import Identity, Key, Record
from coldbench.records.tolerances import arithmetic, tolerance


class Status(StrEnum):
    """What became of one number."""

    SAME = "same"
    MOVED = "moved"
    REFUSED = "refused"
    GONE = "gone"
    EXEMPT = "exempt"
    NEW = "new"


#: Not compared: what images are called. Their hash is.
_NAMES = frozenset({"data"})


@dataclass(frozen=True)
class Drift:
    """One number, then and now.

    Attributes:
        then, now: the records; None where there is none.
        status: what became of it.
        distance: between the two, in the tolerance's unit; None where they cannot be compared.
        tolerance: that it was held against.
        reason: why it was refused, or is gone.
    """

    then: Record | None
    now: Record | None
    status: Status
    distance: float | None = None
    tolerance: float | None = None
    reason: str = ""

    @property
    def record(self) -> Record:
        """Either of the two, for its names."""
        record = self.then or self.now
        assert record is not None
        return record

    @property
    def same_arithmetic(self) -> bool:
        """Whether both are there, and were computed in one dtype on devices of one class."""
        return self.then is not None and self.now is not None and arithmetic(self.then) == arithmetic(self.now)

    @property
    def passed(self) -> bool:
        """Whether the number passed."""
        return self.status in (Status.SAME, Status.NEW, Status.EXEMPT)


def compare_records(then: Sequence[Record], now: Sequence[Record]) -> list[Drift]:
    """Every measured record of either, in the order of ``then``.

    Raises:
        BadInput: one of them has a record twice.
    """
    before, after = _measured(then), _measured(now)
    reasons = {record.key[:3]: record.reason for record in now if not record.measured}
    found = [
        _drift(record, after.get(key), reasons.get(key[:3]) or "it was not measured") for key, record in before.items()
    ]
    return found + [Drift(None, record, Status.NEW) for key, record in after.items() if key not in before]


def _measured(records: Sequence[Record]) -> dict[Key, Record]:
    measured: dict[Key, Record] = {}
    for record in records:
        if record.key in measured:
            where = record.where
            raise BadInput(f"two records of {where.method} {record.metric.label} of {where.row} in table {where.table}")
        if record.measured:
            measured[record.key] = record
    return measured


def fail_if_moved(drifts: Sequence[Drift]) -> None:
    """Let the command fail.

    Raises:
        CheckFailed: a number has moved, is gone, or is refused; or there was none at all.
    """
    failed = [drift for drift in drifts if not drift.passed]
    if failed or not drifts:
        raise CheckFailed(f"{summary(drifts)}: {len(failed)} of {len(drifts)} numbers did not pass")


def _drift(then: Record, now: Record | None, why_gone: str) -> Drift:
    if now is None:
        return Drift(then, None, Status.GONE, reason=why_gone)
    reasons = differing(then, now)
    if reasons:
        return Drift(then, now, Status.REFUSED, reason="; ".join(reasons))
    exempt = now.conditions.float32_only
    if exempt and then.conditions.dtype != now.conditions.dtype and now.identity.checkpoint_sha256:
        return Drift(then, now, Status.EXEMPT, reason=exempt)
    assert then.value is not None
    assert now.value is not None
    moved = distance(now.value, then.value, then.interval, relative=now.metric.relative)
    # The wider of the tolerances of the two arithmetics, as the metric has them now.
    allowed = max(tolerance(replace(each, metric=now.metric)) for each in (then, now))
    return Drift(then, now, Status.SAME if moved <= allowed else Status.MOVED, moved, allowed)


def distance(now: float, then: float, interval: tuple[float, float] | None, *, relative: bool) -> float:
    """How far a number is from an earlier one, in the unit of its metric's tolerance.

    Args:
        now: the number.
        then: the earlier one.
        interval: of the earlier one.
        relative: whether the unit is max(abs(then), h), where h is half the width of the interval.
    """
    if not relative:
        return abs(now - then)
    low, high = interval or (then, then)
    return abs(now - then) / (max(abs(then), (high - low) / 2) or 1.0)


def differing(then: Record, now: Record) -> list[str]:
    """What makes them numbers of two things, in words; nothing where they are of one."""
    reasons = []
    for name in (each.name for each in fields(Identity) if each.name not in _NAMES):
        before, after = (getattr(record.identity, name) for record in (then, now))
        if name == "start" and then.schema_version < 3:
            continue  # was not stored
        if isinstance(before, dict):
            keys = before.keys() if then.schema_version < 3 else dict.fromkeys((*before, *after))
            parts = [(f"{name} {key}", before.get(key), after.get(key)) for key in keys]
        else:
            parts = [(name, before, after)]
        reasons += [f"{part} was {_shown(part, a)}, is {_shown(part, b)}" for part, a, b in parts if a != b]
    return reasons


def _shown(name: str, value: Any) -> str:
    return str(value)[: 12 if name.endswith("sha256") else None]


def summary(drifts: Sequence[Drift]) -> str:
    """How many numbers there are of each status."""
    counts = {status: sum(drift.status == status for drift in drifts) for status in Status}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "nothing to compare"
