"""Whether numbers have moved: two sets of records, cell by cell, against a stated tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from xml.etree import ElementTree

import pandas as pd

from coldbench.errors import BadInput, CheckFailed
from coldbench.render import ABSENT, DECIMALS, print_frame
from coldbench.results import Cell


class Status(StrEnum):
    """What became of one number."""

    SAME = "same"
    MOVED = "moved"
    REFUSED = "refused"
    GONE = "gone"
    EXEMPT = "exempt"
    NEW = "new"


#: How far a number may be from its reference: metric -> (dtype, device class) -> tolerance; absolute for SSIM and RMSE,
#: relative for Frechet distances (absolute below 1). float32 on a CPU leaves room for another library's or processor's
#: rounding, which the steps of Algorithm 2 amplify. Elsewhere: see README, Regression checks.
TOLERANCES: dict[str, dict[tuple[str, str], float]] = {
    "SSIM": {("float32", "cpu"): 1e-4, ("float32", "gpu"): 1e-3, ("bfloat16", "cpu"): 1e-2, ("bfloat16", "gpu"): 1e-2},
    "RMSE": {("float32", "cpu"): 5e-5, ("float32", "gpu"): 5e-4, ("bfloat16", "cpu"): 3e-3, ("bfloat16", "gpu"): 3e-3},
    "FD": {("float32", "cpu"): 1e-3, ("float32", "gpu"): 1e-2, ("bfloat16", "cpu"): 3e-2, ("bfloat16", "gpu"): 3e-2},
    "FID": {("float32", "cpu"): 1e-3, ("float32", "gpu"): 1e-2, ("bfloat16", "cpu"): 3e-2, ("bfloat16", "gpu"): 3e-2},
}
_RELATIVE = frozenset({"FD", "FID"})
_NO_BLUR = "a blurred image lives in its last decimals, and bfloat16 has none: blur is measured in float32"

#: What must be the same for two numbers to be comparable.
_IDENTITY = ("images", "seed", "protocol", "checkpoint", "checkpoint_sha256", "data_sha256", "features_sha256")
_Key = tuple[int, str, str, str, str]


@dataclass(frozen=True)
class Drift:
    """One number, then and now.

    Attributes:
        then, now: the cells; None where there is none.
        status: what became of it.
        distance: between the two, in the tolerance's unit; NaN-free, None where they cannot be compared.
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


def _measured(cells: Sequence[Cell]) -> dict[_Key, Cell]:
    measured: dict[_Key, Cell] = {}
    for cell in cells:
        key = (cell.table, cell.checkpoint, cell.method, cell.metric, cell.features)
        if key in measured:
            raise BadInput(f"two records of {cell.method} {cell.metric} of {cell.checkpoint} in table {cell.table}")
        if cell.status == "measured":
            measured[key] = cell
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
    differing = [name for name in _IDENTITY if getattr(then, name) != getattr(now, name)]
    if differing:
        reasons = [f"{name} was {_short(getattr(then, name))}, is {_short(getattr(now, name))}" for name in differing]
        return Drift(then, now, Status.REFUSED, reason="; ".join(reasons))
    if then.degradation == "blur" and then.dtype != now.dtype and now.checkpoint_sha256:
        return Drift(then, now, Status.EXEMPT, reason=_NO_BLUR)
    assert then.value is not None
    assert now.value is not None
    distance = abs(now.value - then.value)
    if then.metric in _RELATIVE:
        distance /= max(abs(then.value), 1.0)
    tolerance = tolerance_of(then, now)
    return Drift(then, now, Status.SAME if distance <= tolerance else Status.MOVED, distance, tolerance)


def tolerance_of(then: Cell, now: Cell) -> float:
    """The wider of the tolerances of the two cells' arithmetic."""
    return max(TOLERANCES[cell.metric][arithmetic(cell)] for cell in (then, now))


def arithmetic(cell: Cell) -> tuple[str, str]:
    """dtype and device class."""
    return cell.dtype, "cpu" if cell.device == "cpu" else "gpu"


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) else str(value)


def render(drifts: Sequence[Drift], title: str, style: str) -> str:
    """A line a number, in one of ``tables.FORMATS``; CSV and JSON in full precision."""
    if style in ("json", "csv"):
        frame = pd.DataFrame([_record(drift) for drift in drifts])
        return str(
            frame.to_json(orient="records", indent=1, double_precision=15)
            if style == "json"
            else frame.to_csv(index=False)
        )
    return print_frame(pd.DataFrame([_line(drift) for drift in drifts]), title, [summary(drifts)], style)


def summary(drifts: Sequence[Drift]) -> str:
    """How many numbers there are of each status."""
    counts = {status: sum(drift.status == status for drift in drifts) for status in Status}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "nothing to compare"


def _line(drift: Drift) -> dict[str, str]:
    cell, decimals = drift.cell, DECIMALS[drift.cell.metric] + 2
    then, now = (ABSENT if each is None else f"{each.value:.{decimals}f}" for each in (drift.then, drift.now))
    return {
        "Row": f"{cell.table} {cell.checkpoint}",
        "Number": f"{cell.method} {f'FD[{cell.features}]' if cell.metric == 'FD' else cell.metric}",
        "Reference": then,
        "Now": now,
        "Moved by": ABSENT if drift.distance is None else f"{drift.distance:.1e}",
        "Tolerance": ABSENT if drift.tolerance is None else f"{drift.tolerance:.0e}",
        "Verdict": f"{drift.status}: {drift.reason}" if drift.reason else str(drift.status),
    }


def _record(drift: Drift) -> dict[str, object]:
    cell = drift.cell
    return {
        "table": cell.table,
        "checkpoint": cell.checkpoint,
        "method": cell.method,
        "metric": cell.metric,
        "features": cell.features,
        "then": drift.then.value if drift.then else None,
        "now": drift.now.value if drift.now else None,
        "distance": drift.distance,
        "tolerance": drift.tolerance,
        "status": str(drift.status),
        "reason": drift.reason,
    }


def junit(drifts: Sequence[Drift], name: str, error: str = "") -> str:
    """JUnit XML, as CI systems read it: a test case a number, a failure where it did not pass.

    Args:
        drifts: the numbers.
        name: of the suite.
        error: what stopped the measuring, if anything did; a failure of its own.
    """
    failures = [drift for drift in drifts if not drift.passed]
    suite = ElementTree.Element("testsuite", name=name, tests=str(len(drifts)), failures=str(len(failures)))
    for drift in drifts:
        line = _line(drift)
        case = ElementTree.SubElement(suite, "testcase", classname=f"{name}.{line['Row']}", name=line["Number"])
        if not drift.passed:
            details = ", ".join(f"{key} {value}" for key, value in line.items())
            ElementTree.SubElement(case, "failure", message=line["Verdict"]).text = details
    if error:
        case = ElementTree.SubElement(suite, "testcase", classname=name, name="measuring")
        ElementTree.SubElement(case, "error", message=error)
        suite.set("tests", str(len(drifts) + 1))
        suite.set("errors", "1")
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
