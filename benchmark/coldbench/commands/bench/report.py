"""What the cases gave, as Markdown and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from coldbench.commands.bench.cases import CASES
from coldbench.commands.bench.clocks import PARTS
from coldbench.commands.bench.sides import plain_over_ours
from coldbench.records.formats import print_frame

#: Case -> its entry in ``performance.json``.
Cases = Mapping[str, Mapping[str, Any]]
_REST = "everything else"
_COLOURS = {"floor": "#999", "ours": "#369", "plain": "#c63"}


def markdown(cases: Cases) -> str:
    """All tables, and the conditions of each case."""
    parts = [print_frame(_ratio_frame(cases), "Ratios", _RATIO_NOTES, "markdown")]
    sides = _of_kind(cases, "sides")
    if sides:
        parts.append(print_frame(_sides_frame(sides), "Seconds", _sides_notes(sides), "markdown"))
    if "processes" in cases:
        found = cases["processes"]["found"]
        note = f"Table 1, MNIST, {found['images']} images, medians of {found['rounds']} rounds in turns"
        parts.append(print_frame(_pairs(found["seconds"], "Processes", "Seconds"), "Processes", [note], "markdown"))
    if "memory" in cases:
        found = cases["memory"]["found"]
        frame = _pairs({f"{int(count):,}": peak for count, peak in found["peak_mib"].items()}, "Images", "Peak, MiB")
        parts.append(
            print_frame(frame, "Memory", ["Table 3, MNIST, degraded and direct, one process each"], "markdown")
        )
    conditions = _conditions(cases)
    return "\n".join(["# Performance\n", *parts, "## Conditions\n", *conditions, ""])


_RATIO_NOTES = [
    "the floor is the number of network evaluations times the time of one bare forward",
    "ratios over the floor and to the plain implementation are of all T steps: what happens once an image is counted "
    "once, and what happens at every step is scaled from the steps that were taken",
]


def _of_kind(cases: Cases, kind: str) -> dict[str, Mapping[str, Any]]:
    return {name: case for name, case in cases.items() if CASES[name].kind == kind}


def _ratio_frame(cases: Cases) -> pd.DataFrame:
    rows = [
        {"Case": name, "Ratio": ratio.name, "Found": f"{ratio.value:.3f}", "Asked": ratio.said()}
        for name, case in cases.items()
        for ratio in CASES[name].ratios(case["found"])
    ]
    return pd.DataFrame(rows)


def _sides_frame(sides: Cases) -> pd.DataFrame:
    rows = []
    for name, case in sides.items():
        found = case["found"]
        rows.append({"Case": name, "Side": "floor", "Total": _seconds(found["ours"]["floor_seconds"])})
        for side in ("ours", "plain"):
            parts = found[side]["parts"]
            columns = {part.capitalize(): _seconds(parts[part]) for part in (*PARTS, _REST)}
            rows.append({"Case": name, "Side": side, "Total": _seconds(found[side]["seconds"]), **columns})
    return pd.DataFrame(rows).fillna("")


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _sides_notes(sides: Cases) -> list[str]:
    return [_sides_note(name, case["found"]) for name, case in sides.items()]


def _sides_note(name: str, found: Mapping[str, Any]) -> str:
    return (
        f"{name}: {found['title']}, {found['images']} images of {found['image_size']} pixels, {found['steps']} of "
        f"T = {found['T']} steps, {found['images_at_a_time']} images at a time in the network, "
        f"{found['rounds']} round(s); as run, ours is {found['over_floor']['as_run']:.3f} of the floor and the plain "
        f"implementation {plain_over_ours(found, 'as_run'):.3f} of ours; their images are "
        f"{found['apart']:.0e} apart"
    )


def _pairs(values: Mapping[str, float], name: str, what: str) -> pd.DataFrame:
    return pd.DataFrame([{name: key, "": "", what: f"{value:.2f}"} for key, value in values.items()])


def _conditions(cases: Cases) -> list[str]:
    """Cases of the same conditions share a line."""
    by_text: dict[str, list[str]] = {}
    for name, case in cases.items():
        by_text.setdefault(_described(case["conditions"]), []).append(name)
    return [f"- {', '.join(names)}: {text}" for text, names in by_text.items()]


def _described(conditions: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())
    gpu = f"{conditions['gpu']}; " if conditions.get("gpu") else ""
    size = "a quick trial, whose numbers mean nothing; " if conditions["quick"] else ""
    return (
        f"{size}{gpu}{conditions['cpu']}, {conditions['cores']} cores, {conditions['system']}; {conditions['threads']} "
        f"threads unless the case says otherwise; float32, seed {conditions['seed']}; revision "
        f"{conditions['revision'] or 'unknown'}; {versions}"
    )


def picture(cases: Cases) -> str:
    """An SVG of bars: each side over the floor at all T steps, then seconds of processes, then memory."""
    groups: list[tuple[str, list[tuple[str, float, str]]]] = []
    for name, case in _of_kind(cases, "sides").items():
        found = case["found"]
        over = {
            "floor": 1.0,
            "ours": found["over_floor"]["all_steps"],
            "plain": found["over_floor_plain"]["all_steps"],
        }
        groups.append((f"{name}, floor = 1", [(side, value, f"{value:.3f}") for side, value in over.items()]))
    for name, key, unit in (("processes", "seconds", "s"), ("memory", "peak_mib", "MiB")):
        if name in cases:
            values = cases[name]["found"][key]
            groups.append((f"{name}, {unit}", [(label, value, f"{value:.1f}") for label, value in values.items()]))
    return _svg(groups)


def _svg(groups: Sequence[tuple[str, Sequence[tuple[str, float, str]]]]) -> str:
    lines, y = [], 8
    for title, bars in groups:
        y += 18
        lines.append(f'<text x="8" y="{y}" font-weight="bold">{escape(title)}</text>')
        longest = max(value for _, value, _ in bars)
        for label, value, text in bars:
            y += 16
            width = 300 * value / longest
            lines.append(f'<text x="140" y="{y}" text-anchor="end">{escape(label)}</text>')
            colour = _COLOURS.get(label, _COLOURS["ours"])
            lines.append(f'<rect x="148" y="{y - 10}" width="{width:.1f}" height="12" fill="{colour}"/>')
            lines.append(f'<text x="{152 + width:.1f}" y="{y}">{escape(text)}</text>')
        y += 6
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 520 {y + 8}" font-family="sans-serif" font-size="11">'
    return "\n".join([head, f'<rect width="520" height="{y + 8}" fill="#fff"/>', *lines, "</svg>", ""])
