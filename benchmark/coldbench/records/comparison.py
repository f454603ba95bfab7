"""Comparisons: records of several methods, with the differences between them, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from coldbench.records.formats import (
    ABSENT,
    BIASED,
    RECORDS,
    print_difference,
    print_frame,
    print_interval,
    print_number,
    render,
    table_notes,
)
from coldbench.records.record import Difference, Record

#: With fewer images than this, a verdict is an indication.
FEW = 100
#: The columns of the tests of paired images, and where their p-values stand in a difference.
TESTS = {"p (sign)": "sign_test", "p (Wilcoxon)": "wilcoxon"}
#: Smaller p-values are not told apart in tables.
SMALLEST_P = 1e-4


def verdict(difference: float, interval: tuple[float, float] | None, a: str, b: Record) -> str:
    """Which of two methods is better, in words; empty where the interval of their difference includes zero.

    Args:
        difference: b - a.
        interval: of the difference.
        a: the name of the first.
        b: the record of the second.
    """
    if interval is None or interval[0] <= 0 <= interval[1]:
        return ""
    b_wins = (difference > 0) == (b.metric.better == "higher")
    images = b.identity.images or 0
    few = f" ({images} images: indicative)" if images < FEW else ""
    return f"{b.where.method if b_wins else a} is better{few}"


def render_comparison(records: Sequence[Record], style: str) -> str:
    """Records with differences in one of ``records.FORMATS``; JSON and CSV are those of all records."""
    if style in RECORDS:
        return render(records, style)
    return print_frame(comparison_frame(records), comparison_title(records), comparison_notes(records), style)


def comparison_title(records: Sequence[Record]) -> str:
    """What was compared."""
    return f"Comparison of {', '.join(dict.fromkeys(record.where.method for record in records))}"


def comparison_frame(records: Sequence[Record]) -> pd.DataFrame:
    """A line a metric and pair of methods."""
    by_name = {(record.where.method, record.metric.label): record for record in records}
    pairs = _pairs(records)
    frame = pd.DataFrame([_line(by_name[each.against, record.metric.label], record, each) for record, each in pairs])
    if not any(_tested(each) for _, each in pairs):
        frame = frame.drop(columns=list(TESTS), errors="ignore")
    return frame


def _pairs(records: Sequence[Record]) -> list[tuple[Record, Difference]]:
    """Each difference with the record that it is of, where the other one is there, too."""
    known = {(record.where.method, record.metric.label) for record in records}
    return [(b, each) for b in records for each in b.differences if (each.against, b.metric.label) in known]


def render_stored(records: Sequence[Record], style: str, *, intervals: bool = False) -> str:
    """Records as what they were measured for: a comparison, or tables; see ``formats.render``."""
    if any(record.differences for record in records):
        return render_comparison(records, style)
    return render(records, style, intervals=intervals)


def _line(a: Record, b: Record, difference: Difference) -> dict[str, str]:
    decimals, interval = b.metric.decimals, difference.interval
    low_high = ABSENT if interval is None else print_interval(interval, decimals, signed=True)
    return {
        "Metric": b.metric.label,
        "A, B": f"{a.where.method}, {b.where.method}",
        "A": _with_error(a),
        "B": _with_error(b),
        "B - A": print_difference(difference.value, decimals),
        "95 % interval": low_high,
        **{name: _p_value(getattr(difference, test)) for name, test in TESTS.items()},
        "Verdict": difference.verdict,
    }


def _p_value(p: float | None) -> str:
    """A p-value as tables print it."""
    if p is None:
        return ABSENT
    return f"{p:.2g}" if p >= SMALLEST_P else f"< {SMALLEST_P:g}"


def _tested(difference: Difference) -> bool:
    return difference.sign_test is not None


def _with_error(record: Record) -> str:
    assert record.value is not None
    return print_number(record.value, record.interval, record.metric.decimals)


def comparison_notes(records: Sequence[Record]) -> list[str]:
    """What the numbers are, what their differences are, and what speaks against either; each said once."""
    pairs = _pairs(records)
    shown = [record for record in records if record.measured]
    notes = [note for note in table_notes(shown) if note.partition(": ")[2] not in {r.warning for r in shown}]
    paired = all(each.paired for _, each in pairs)
    notes.append(
        "95 % intervals by a delete-a-group jackknife; a difference is that of B and A on the same images and noise"
        + ("" if paired else ", or, across tasks, of independent ones")
    )
    if paired:
        notes.append("a paired difference can exclude zero although the two intervals overlap: what both share cancels")
    if any(_tested(each) for _, each in pairs):
        notes.append(
            "p: two-sided, of the differences of all images; not corrected for the number of comparisons, and right "
            "where images do not depend on each other"
        )
    if any(record.metric.features for record in shown):
        notes.append(BIASED)
    notes += dict.fromkeys(record.warning for record in shown if record.warning)
    if any(each.interval is None for _, each in pairs):
        notes.append("too few images for an interval")
    elif any(not each.verdict for _, each in pairs):
        notes.append("no verdict where the interval includes zero: these images do not tell which is better")
    return notes
