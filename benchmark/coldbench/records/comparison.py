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
#: What a verdict says behind the name of a method.
_BETTER = " is better"
#: What ends a verdict on few images.
_INDICATION = ": indicative)"
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
    few = f" ({images} images{_INDICATION}" if images < FEW else ""
    return f"{b.where.method if b_wins else a}{_BETTER}{few}"


def render_comparison(records: Sequence[Record], style: str) -> str:
    """Records with differences in one of ``records.FORMATS``; JSON and CSV are those of all records."""
    if style in RECORDS:
        return render(records, style)
    frame, notes = comparison_frame(records, short=style == "latex"), comparison_notes(records)
    if style == "latex" and any(_is_indication(each) for _, each in _pairs(records)):
        notes.append(f"with fewer than {FEW} images, it is an indication that one method is better")
    return print_frame(frame, comparison_title(records), notes, style)


def comparison_title(records: Sequence[Record]) -> str:
    """What was compared."""
    return f"Comparison of {', '.join(dict.fromkeys(record.where.method for record in records))}"


def comparison_frame(records: Sequence[Record], *, short: bool = False) -> pd.DataFrame:
    """A line a metric and pair of methods.

    Args:
        records: of the comparison.
        short: as it fits on a page of a paper; a single pair is then named in the headings.
    """
    by_name = {(record.where.method, record.metric.label): record for record in records}
    pairs = _pairs(records)
    line = _short_line if short else _line
    frame = pd.DataFrame([line(by_name[each.against, record.metric.label], record, each) for record, each in pairs])
    if not any(_tested(each) for _, each in pairs):
        frame = frame.drop(columns=list(TESTS), errors="ignore")
    compared = {(each.against, record.where.method) for record, each in pairs}
    if short and len(compared) == 1:
        headings = {each: f"{each}: {method}" for each, method in zip("AB", *compared, strict=True)}
        frame = frame.drop(columns="A, B").rename(columns=headings)
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


def _short_line(a: Record, b: Record, difference: Difference) -> dict[str, str]:
    """A line that fits on a page of a paper: the difference with half of its interval, and the better of the two."""
    decimals = b.metric.decimals
    sign = "+" if f"{difference.value:+.{decimals}f}".startswith("+") else ""
    named = {name: cell for name, cell in _line(a, b, difference).items() if name not in ("95 % interval", "Verdict")}
    return {
        **named,
        "B - A": f"{sign}{print_number(difference.value, difference.interval, decimals)}",
        "Better": difference.verdict.partition(_BETTER)[0],
    }


def _p_value(p: float | None) -> str:
    """A p-value as tables print it."""
    if p is None:
        return ABSENT
    return f"{p:.2g}" if p >= SMALLEST_P else f"< {SMALLEST_P:g}"


def _tested(difference: Difference) -> bool:
    return difference.sign_test is not None


def _is_indication(difference: Difference) -> bool:
    return difference.verdict.endswith(_INDICATION)


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
    notes += _trained_apart(shown)
    notes += dict.fromkeys(record.warning for record in shown if record.warning)
    if any(each.interval is None for _, each in pairs):
        notes.append("too few images for an interval")
    elif any(not each.verdict for _, each in pairs):
        notes.append("no verdict where the interval includes zero: these images do not tell which is better")
    return notes


def _trained_apart(records: Sequence[Record]) -> list[str]:
    """A caution, where methods were measured with different networks; of restorers, nobody would think otherwise."""
    methods: dict[str, list[str]] = {}
    for method, network in {record.where.method: record.identity.checkpoint for record in records}.items():
        if method != network:
            methods.setdefault(network, []).append(method)
    if len(methods) < 2:
        return []
    used = "; ".join(f"{', '.join(names)} with {network}" for network, names in methods.items())
    return [
        f"The methods were measured with different networks ({used}). A difference between them compares the training "
        "of these networks as much as the methods, and better training of either could reverse it."
    ]
