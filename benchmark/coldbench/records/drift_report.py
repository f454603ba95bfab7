"""What has become of stored numbers, for people (in any of ``records.FORMATS``) and for CI systems (JUnit XML)."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

import pandas as pd

from coldbench.records.drift import Drift, summary
from coldbench.records.formats import ABSENT, RECORDS, print_frame, print_records


def render(drifts: Sequence[Drift], title: str, style: str) -> str:
    """A line a number, in one of ``records.FORMATS``; CSV and JSON in full precision."""
    if style in RECORDS:
        return print_records([_record(drift) for drift in drifts], style)
    return print_frame(pd.DataFrame([_line(drift) for drift in drifts]), title, [summary(drifts)], style)


def _line(drift: Drift) -> dict[str, str]:
    record = drift.record
    decimals = record.metric.decimals + 2
    then, now = (ABSENT if each is None else f"{each.value:.{decimals}f}" for each in (drift.then, drift.now))
    return {
        "Row": f"{record.where.table} {record.where.row}",
        "Number": f"{record.where.method} {record.metric.label}",
        "Reference": then,
        "Now": now,
        "Moved by": ABSENT if drift.distance is None else f"{drift.distance:.1e}",
        "Tolerance": ABSENT if drift.tolerance is None else f"{drift.tolerance:.0e}",
        "Verdict": f"{drift.status}: {drift.reason}" if drift.reason else str(drift.status),
    }


def _record(drift: Drift) -> dict[str, object]:
    record = drift.record
    return {
        "table": record.where.table,
        "row": record.where.row,
        "checkpoint": record.identity.checkpoint,
        "method": record.where.method,
        "metric": record.metric.name,
        "features": record.metric.features,
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
