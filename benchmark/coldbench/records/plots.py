"""Quality against the number of steps as a plot, drawn by matplotlib: a panel a metric, a curve a row and method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coldbench.core.extras import installed
from coldbench.core.steps import split_steps
from coldbench.records.formats import method_title, row_titles
from coldbench.records.record import Record
from coldbench.records.sheet import save_figure, style

if TYPE_CHECKING:  # matplotlib is an extra
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What plots are written as, whatever else is asked for.
FORMATS = ("svg", "png")
#: Width and height of a panel, in inches, and panels side by side.
_PANEL, _ACROSS = (4.4, 3.4), 3
#: The number of steps -> its record, in order.
Curve = Mapping[int, Record]


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return installed("matplotlib")


def save_plot(records: Sequence[Record], path: Path) -> None:
    """Draw records of methods that say their number of steps, and write the plot atomically.

    Args:
        records: of one model; those that are missing, or say no number of steps, are passed over.
        path: see ``coldbench.records.sheet.save_figure``.

    Raises:
        BadInput: the folder cannot be written.
    """
    with style():
        save_figure(draw(records), path)


def draw(records: Sequence[Record]) -> Figure:
    """The plot; see ``save_plot``."""
    from matplotlib.figure import Figure

    curves = _curves(records)
    across = min(_ACROSS, max(1, len(curves)))
    down = -(-len(curves) // across) or 1
    figure = Figure(figsize=(_PANEL[0] * across, _PANEL[1] * down + 0.4), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flat
    colours = _colours(curves)
    for panel, (label, named) in zip(panels, curves.items(), strict=False):
        _fill(panel, label, named, colours)
    for panel in list(panels)[len(curves) :]:
        panel.set_axis_off()
    figure.suptitle(_title(records))
    return figure


def draw_panels(records: Sequence[Record]) -> dict[str, Figure]:
    """The label of each metric -> its panel as a plot of its own; empty where no method says a number of steps."""
    from matplotlib.figure import Figure

    curves = _curves(records)
    panels = {label: Figure(figsize=_PANEL, layout="constrained") for label in curves}
    for label, named in curves.items():
        _fill(panels[label].subplots(), label, named, _colours(curves))
    return panels


def _colours(curves: Mapping[str, Mapping[str, Curve]]) -> dict[str, str]:
    """The colour of each curve: one in all panels, also where some metrics lack others."""
    names = dict.fromkeys(name for named in curves.values() for name in named)
    return {name: f"C{number}" for number, name in enumerate(names)}


def _curves(records: Sequence[Record]) -> dict[str, dict[str, Curve]]:
    """The label of each metric -> the name of each curve -> the curve."""
    titles = row_titles(records)
    points: dict[str, dict[str, dict[int, Record]]] = {}
    for record in records:
        method, steps = split_steps(record.where.method)
        if record.measured and steps:
            name = f"{titles[record.where.row]}, {method_title(method)}"
            points.setdefault(record.metric.label, {}).setdefault(name, {})[steps] = record
    return {
        label: {name: dict(sorted(curve.items())) for name, curve in named.items()} for label, named in points.items()
    }


def _fill(panel: Axes, label: str, curves: Mapping[str, Curve], colours: Mapping[str, str]) -> None:
    """One metric: steps on a scale of ratios, 95 % intervals as bars."""
    for name, curve in curves.items():
        values = [record.value or 0.0 for record in curve.values()]
        look: Any = {"color": colours[name], "marker": "o", "markersize": 4, "capsize": 3}
        panel.errorbar(list(curve), values, yerr=_bars(curve), label=name, **look)
    (better,) = {record.metric.better for curve in curves.values() for record in curve.values()}
    ticks = sorted({steps for curve in curves.values() for steps in curve})
    panel.set_xscale("log", base=2)
    panel.set_xticks(ticks, [str(steps) for steps in ticks])
    panel.minorticks_off()
    panel.set_xlabel("steps (evaluations of the network)")
    panel.set_ylabel(f"{label} ({better} is better)")
    panel.grid(alpha=0.3)
    # A name that is wider than the panel is cut off: made room for, it would leave none for the curves.
    panel.legend(fontsize="small").set_in_layout(False)


def _bars(curve: Curve) -> Any:
    """How far each interval reaches below and above its number; nothing where there is none."""
    reach = [
        (record.value - record.interval[0], record.interval[1] - record.value)
        if record.interval and record.value is not None
        else (float("nan"), float("nan"))
        for record in curve.values()
    ]
    return list(zip(*reach, strict=True))


def _title(records: Sequence[Record]) -> str:
    """The models, and how many images there are."""
    measured = [record.identity for record in records if record.measured]
    models = dict.fromkeys(identity.checkpoint for identity in measured)
    images = dict.fromkeys(f"{each.images:,} {'generated' if each.start else each.data} images" for each in measured)
    return f"{', '.join(models)}: {', '.join(images)}, with 95 % intervals"
