"""The plots of a report: ours against the published numbers, hot against cold, and quality against steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from coldbench.core.errors import printable
from coldbench.core.steps import split_steps
from coldbench.records.formats import method_title, print_difference, print_number
from coldbench.records.plots import draw_panels
from coldbench.records.record import Record
from coldbench.records.report.inline_svg import draw_inline
from coldbench.records.report.judgement import Judgement, difference, judge

if TYPE_CHECKING:  # matplotlib is an extra
    from matplotlib.figure import Figure

#: Width of a plot, and what its axis and each of its lines are high, in inches.
_WIDTH, _AXIS, _LINE = 4.6, 0.75, 0.27
#: Longer labels are cut, so that the plot keeps its room.
_LONGEST = 34
#: Where the largest difference is so many times the smallest, their scale is one of ratios.
_WIDE = 100.0
#: The marks: full ones of intervals that exclude the published number, each of a shape and a colour of its own.
_LOOKS: dict[str, dict[str, Any]] = {
    Judgement.BETTER: {"marker": "^", "color": "#2f7ed8"},
    Judgement.WORSE: {"marker": "v", "color": "#d9730d"},
    Judgement.DIFFERS: {"marker": "D", "color": "#9a5fd0"},
    "hot": {"marker": "s", "color": "#d9730d"},
    "cold": {"marker": "o", "color": "#2f7ed8"},
}
#: Where the better numbers are.
_SIDES = {"higher": "right", "lower": "left"}
_PLAIN: dict[str, Any] = {"marker": "o", "color": "#000000", "markerfacecolor": "#ffffff"}


@dataclass(frozen=True)
class Plot:
    """A plot of a report.

    Attributes:
        label: of its metric.
        svg: the element.
        caption: what stands below it.
    """

    label: str
    svg: str
    caption: str


@dataclass(frozen=True)
class Point:
    """One line of a plot: a number with its interval.

    Attributes:
        label: what stands beside it.
        look: a key of ``_LOOKS``; any other is plain.
        published: a second number on the line, if there is one.
    """

    label: str
    value: float
    interval: tuple[float, float] | None
    look: str
    published: float | None = None


def plot_differences(records: Sequence[Record]) -> list[Plot]:
    """A forest plot a metric: our numbers minus the published ones; none where no measured number has one beside it."""
    plots = []
    compared = [record for record in records if difference(record) is not None]
    for number, (label, found) in enumerate(_by_label(compared).items(), 1):
        better = found[0].metric.better
        alt = f"{label}, ours minus the published number, with 95 % intervals: {_read_aloud(found)}."
        draw = partial(_draw, list(map(_from_published, found)), f"{label}: ours minus published", zero=True)
        svg = draw_inline(draw, f"forest-{number}", printable(alt))
        plots.append(
            Plot(label, svg, f"{label}: {better} is better, so the better side is {_SIDES[better]} of the line.")
        )
    return plots


def _from_published(record: Record) -> Point:
    """The number as a distance from the published one."""
    assert record.value is not None
    assert record.published is not None
    published = record.published.value
    interval = record.interval and (record.interval[0] - published, record.interval[1] - published)
    marks = f"{'*' if record.published.note else ''}{'†' if record.changes else ''}"
    table = f"Table {record.where.table} " if record.where.caption else ""
    label = f"{table}{record.where.title}, {method_title(record.where.method)}"
    return Point(_short(label) + marks, record.value - published, interval, judge(record))


def _read_aloud(records: Sequence[Record]) -> str:
    """Each difference in words, e.g. ``1 MNIST, Direct -0.0012 (agrees)``."""
    points = map(_from_published, records)
    return "; ".join(
        f"{point.label} {print_difference(point.value, record.metric.decimals)} ({point.look})"
        for record, point in zip(records, points, strict=True)
    )


def plot_hot_and_cold(records: Sequence[Record], prefix: str) -> list[Plot]:
    """A plot a metric of generated images: hot methods, which begin with noise, and cold ones, which do not.

    Args:
        records: of methods that generate images, of one data set.
        prefix: of ids.
    """
    plots = []
    for number, (label, found) in enumerate(_by_label(records).items(), 1):
        points = [_as_hot_or_cold(record) for record in found if record.value is not None]
        if points:
            metric = found[0].metric
            listed = "; ".join(f"{each.label} {print_number(each.value, None, metric.decimals)}" for each in points)
            alt = printable(f"{label} of generated images, {metric.better} is better. {listed}.")
            svg = draw_inline(partial(_draw, points, label, zero=False), f"{prefix}-{number}", alt)
            plots.append(Plot(label, svg, f"{label} ({metric.better} is better): squares are hot, circles are cold."))
    return plots


def _as_hot_or_cold(record: Record) -> Point:
    assert record.value is not None
    kind = "hot" if is_hot(record) else "cold"
    label = f"{kind.capitalize()}: {method_title(record.where.method)}"
    return Point(
        _short(label), record.value, record.interval, kind, record.published.value if record.published else None
    )


def is_hot(record: Record) -> bool:
    """Whether images are generated out of Gaussian noise."""
    return record.identity.start.get("name") == "noise"


def plot_steps(records: Sequence[Record], prefix: str) -> list[Plot]:
    """Quality against the number of steps, a plot a metric; none where methods say fewer than two numbers of steps."""
    swept = [record for record in records if record.measured and split_steps(record.where.method)[1]]
    if len({split_steps(record.where.method)[1] for record in swept}) < 2:
        return []
    plots = []
    for number, (label, found) in enumerate(_by_label(swept).items(), 1):
        metric = found[0].metric
        values = "; ".join(
            f"{each.where.method} {print_number(each.value, None, metric.decimals)}" for each in found if each.value
        )
        alt = printable(f"{label} against the number of steps, {metric.better} is better. {values}.")
        svg = draw_inline(partial(_panel, records, label), f"{prefix}-{number}", alt)
        plots.append(Plot(label, svg, f"{label} against the number of steps ({metric.better} is better)."))
    return plots


def _panel(records: Sequence[Record], label: str) -> Figure:
    return draw_panels(records)[label]


def _by_label(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.metric.label, []).append(record)
    return found


def _short(label: str) -> str:
    label = printable(label)
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"


def _draw(points: Sequence[Point], words: str, *, zero: bool) -> Figure:
    """One line a point, from the top down; with a line at zero if that means something."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _AXIS + _LINE * len(points)), layout="constrained")
    axes = figure.subplots()
    for y, point in enumerate(points):
        look = _LOOKS.get(point.look, _PLAIN)
        reach = point.interval or (point.value, point.value)
        bar = [[max(0.0, point.value - reach[0])], [max(0.0, reach[1] - point.value)]]
        axes.errorbar([point.value], [y], xerr=bar, markersize=6.5, capsize=3, linewidth=1.5, **look)
        if point.published is not None:
            axes.plot([point.published], [y], marker="D", markersize=5, color="#000000", markerfacecolor="#ffffff")
    if zero:
        axes.axvline(0, color="#000000", linewidth=1)
    if zero and _is_wide([point.value for point in points]):
        axes.set_xscale("symlog", linthresh=1)
    axes.set_yticks(range(len(points)), [point.label for point in points])
    axes.set_ylim(len(points) - 0.5, -0.5)
    axes.set_xlabel(printable(words))
    axes.grid(axis="x", alpha=0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _is_wide(values: Sequence[float]) -> bool:
    sizes = [abs(value) for value in values if value]
    return bool(sizes) and max(sizes) > _WIDE and max(sizes) > _WIDE * min(sizes)
