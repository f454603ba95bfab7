"""The plot of quality against the number of steps: what stands in it."""

from __future__ import annotations

import numpy as np

from coldbench.records.plots import draw
from coldbench.records.record import Record
from tests.helpers import edited


def swept(records: list[Record]) -> list[Record]:
    """Stored records as those of a sweep."""
    names = {"degraded": "sampled@4", "sampled": "sampled@1", "direct": "naive@2"}
    return [edited(each, where={"method": names[each.where.method]}) for each in records]


def test_a_panel_a_metric_and_a_curve_a_method(records: list[Record]) -> None:
    known = swept(records)
    figure = draw(known)
    panels = {panel.get_ylabel(): panel for panel in figure.axes if panel.axison}
    assert list(panels) == [
        f"{label} ({better} is better)"
        for label, better in dict.fromkeys((r.metric.label, r.metric.better) for r in known if r.measured)
    ]
    panel = panels["SSIM (higher is better)"]
    by_method = {each.where.method: each for each in known if each.metric.label == "SSIM"}
    bars = {str(each.get_label()): each for each in panel.containers}
    assert list(bars) == ["MNIST, Sampled", "MNIST, Naive"]
    line, _, (reach,) = bars["MNIST, Sampled"]
    assert list(line.get_xdata()) == [1, 4]
    assert list(line.get_ydata()) == [by_method["sampled@1"].value, by_method["sampled@4"].value]
    ends = [sorted(segment[:, 1]) for segment in reach.get_segments()]
    expected = [by_method[name].interval for name in ("sampled@1", "sampled@4")]
    np.testing.assert_allclose(ends, expected)
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["1", "2", "4"]
    assert panel.get_xlabel() == "steps (evaluations of the network)"
    assert figure.get_suptitle() == "mnist-superres: 100 MNIST images, with 95 % intervals"


def test_a_curve_has_one_colour_in_all_panels(records: list[Record]) -> None:
    known = [each for each in swept(records) if (each.where.method, each.metric.label) != ("sampled@1", "SSIM")]
    known = [each for each in known if (each.where.method, each.metric.label) != ("sampled@4", "SSIM")]
    colours = {
        (str(bars.get_label()), bars.lines[0].get_color()) for panel in draw(known).axes for bars in panel.containers
    }
    assert len(colours) == 2


def test_numbers_without_intervals_are_points_without_bars(records: list[Record]) -> None:
    known = [edited(each, interval=None) for each in swept(records)]
    assert draw(known).axes


def test_what_says_no_steps_or_is_missing_is_passed_over(records: list[Record]) -> None:
    assert [panel.has_data() for panel in draw(records).axes] == [False]
