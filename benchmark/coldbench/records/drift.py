"""Whether numbers have moved: two sets of records, cell by cell, against a stated tolerance.

It compares all of their identities first: a number of other images is another number, however near.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from coldbench.core.errors import BadInput, CheckFailed
from coldbench.records.record import IDENTITY, Cell, Key


class Status(StrEnum):
    """What became of one number."""

    SAME = "same"
    MOVED = "moved"
    REFUSED = "refused"
    GONE = "gone"
    EXEMPT = "exempt"
    NEW = "new"


#: How far a number may be from its reference: metric -> (dtype, device class) -> tolerance; absolute for SSIM and RMSE,
#: for Frechet distances relative to the reference or to half of its interval, whichever is larger. float32 on a CPU
#: leaves room for another library's or processor's rounding, which the steps of Algorithm 2 amplify. Elsewhere: see
#: README, Regression checks.
TOLERANCES: dict[str, dict[tuple[str, str], float]] = {
    "SSIM": {("float32", "cpu"): 1e-4, ("float32", "gpu"): 1e-3, ("bfloat16", "cpu"): 1e-2, ("bfloat16", "gpu"): 1e-2},
    "RMSE": {("float32", "cpu"): 5e-5, ("float32", "gpu"): 5e-4, ("bfloat16", "cpu"): 3e-3, ("bfloat16", "gpu"): 3e-3},
    "FD": {("float32", "cpu"): 1e-3, ("float32", "gpu"): 1e-2, ("bfloat16", "cpu"): 3e-2, ("bfloat16", "gpu"): 3e-2},
    "FID": {("float32", "cpu"): 1e-3, ("float32", "gpu"): 1e-2, ("bfloat16", "cpu"): 3e-2, ("bfloat16", "gpu"): 3e-2},
}
_RELATIVE = frozenset({"FD", "FID"})
_NO_BLUR = "a blurred image lives in its last decimals, and bfloat16 has none: blur is measured in float32"


@dataclass(frozen=True)
class Drift:
    """One number, then and now.

    Attributes:
        then, now: the cells; None where there is none.
        status: what became of it.
        distance: between the two, in the tolerance's unit; None where they cannot be compared.
        tolerance: that it was held against.
        reason: why it was refused, or is gone.
    """

    then: Cell | None
    now: Cell | None
    status: Status
    distance: float | None = None
    tolerance: float | None = None
    reason: str = ""

    @property
    def cell(self) -> Cell:
        """Either of the two, for its names."""
        cell = self.then or self.now
        assert cell is not None
        return cell

    @property
    def same_arithmetic(self) -> bool:
        """Whether both are there, and were computed in one dtype on devices of one class."""
        return self.then is not None and self.now is not None and arithmetic(self.then) == arithmetic(self.now)

    @property
    def passed(self) -> bool:
        """Whether nobody need look at it."""
        return self.status in (Status.SAME, Status.NEW, Status.EXEMPT)


def compare_records(then: Sequence[Cell], now: Sequence[Cell]) -> list[Drift]:
    """Every measured cell of either, in the order of ``then``.

    Raises:
        BadInput: one of them has a cell twice.
    """
    before, after = _measured(then), _measured(now)
    reasons = {(cell.table, cell.checkpoint, cell.method): cell.reason for cell in now if cell.status == "missing"}
    found = [
        _drift(cell, after.get(key), reasons.get(key[:3]) or "it was not measured") for key, cell in before.items()
    ]
    return found + [Drift(None, cell, Status.NEW) for key, cell in after.items() if key not in before]


def _measured(cells: Sequence[Cell]) -> dict[Key, Cell]:
    measured: dict[Key, Cell] = {}
    for cell in cells:
        if cell.key in measured:
            raise BadInput(f"two records of {cell.method} {cell.metric} of {cell.checkpoint} in table {cell.table}")
        if cell.status == "measured":
            measured[cell.key] = cell
    return measured


def fail_if_moved(drifts: Sequence[Drift]) -> None:
    """Let the command fail.

    Raises:
        CheckFailed: a number has moved, is gone, or is refused; or there was none at all.
    """
    failed = [drift for drift in drifts if not drift.passed]
    if failed or not drifts:
        raise CheckFailed(f"{summary(drifts)}: {len(failed)} of {len(drifts)} numbers did not pass")


def _drift(then: Cell, now: Cell | None, why_gone: str) -> Drift:
    if now is None:
        return Drift(then, None, Status.GONE, reason=why_gone)
    differing = [name for name in IDENTITY if getattr(then, name) != getattr(now, name)]
    if differing:
        reasons = [f"{name} was {_shown(then, name)}, is {_shown(now, name)}" for name in differing]
        return Drift(then, now, Status.REFUSED, reason="; ".join(reasons))
    if then.degradation == "blur" and then.dtype != now.dtype and now.checkpoint_sha256:
        return Drift(then, now, Status.EXEMPT, reason=_NO_BLUR)
    assert then.value is not None
    assert now.value is not None
    distance = abs(now.value - then.value)
    if then.metric in _RELATIVE:
        low, high = then.interval or (then.value, then.value)
        distance /= max(abs(then.value), (high - low) / 2) or 1.0
    tolerance = tolerance_of(then, now)
    return Drift(then, now, Status.SAME if distance <= tolerance else Status.MOVED, distance, tolerance)


def tolerance_of(then: Cell, now: Cell) -> float:
    """The wider of the tolerances of the two cells' arithmetic."""
    return max(TOLERANCES[cell.metric][arithmetic(cell)] for cell in (then, now))


def arithmetic(cell: Cell) -> tuple[str, str]:
    """dtype and device class."""
    return cell.dtype, "cpu" if cell.device == "cpu" else "gpu"


def _shown(cell: Cell, name: str) -> str:
    return str(getattr(cell, name))[: 12 if name.endswith("sha256") else None]


def summary(drifts: Sequence[Drift]) -> str:
    """How many numbers there are of each status."""
    counts = {status: sum(drift.status == status for drift in drifts) for status in Status}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "nothing to compare"
