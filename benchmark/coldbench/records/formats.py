"""Records as tables: Markdown, LaTeX, HTML, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd

from coldbench.core.errors import printable
from coldbench.core.provenance import RANDOM_WEIGHTS
from coldbench.core.steps import split_steps
from coldbench.records.latex import print_latex
from coldbench.records.record import Record, as_row, to_json
from coldbench.records.trials import told

#: The formats that hold records instead of a table.
RECORDS = ("json", "csv")
ABSENT = "-"
#: What a table without a caption is called, by the command that measured it.
_TITLES = {
    "evaluate": "Evaluation of {}",
    "score": "Scores of {}",
    "sweep": "Quality against the number of steps: {}",
}
#: What stands behind a number's sign of plus or minus.
INTERVALS = "± half of the 95 % interval, by a delete-a-group jackknife"
#: What an interval of a distance of distributions does not say.
BIASED = "a Frechet distance is biased upwards, and the bias grows as the number of images falls"


def render(records: Sequence[Record], style: str, *, intervals: bool = False) -> str:
    """All records in one of ``records.FORMATS``.

    Args:
        records: of any tables.
        style: CSV and JSON hold one line or object a record, in full precision.
        intervals: print half the width of the 95 % interval behind each number of ours.
    """
    if style == "json":
        return to_json(records)
    if style == "csv":
        return print_records([as_row(record) for record in records], style)
    names = sorted({record.where.table for record in records})
    return "\n".join(_render_table([r for r in records if r.where.table == name], style, intervals) for name in names)


def to_frame(records: Sequence[Record], *, intervals: bool = False) -> pd.DataFrame:
    """The records of one table: a line a row and method, ours and the published number side by side."""
    lines: dict[tuple[str, str], dict[str, str]] = {}
    titles = row_titles(records)
    for label in _columns(records):
        for record in records:
            if record.metric.label != label:
                continue
            line = lines.setdefault((titles[record.where.row], method_title(record.where.method)), {})
            line[label] = _ours(record, intervals)
            for source in _sources(records, label):
                line[f"{label} ({source})"] = _published(record, source)
    frame = pd.DataFrame(lines.values(), index=pd.MultiIndex.from_tuples(lines, names=["Dataset", "Method"]))
    return _with_steps(frame.fillna(ABSENT).reset_index())


def _with_steps(frame: pd.DataFrame) -> pd.DataFrame:
    """The numbers of steps in a column of their own, where a method says one."""
    split = [split_steps(method) for method in frame["Method"]]
    if any(steps for _, steps in split):
        frame["Method"] = [method for method, _ in split]
        frame.insert(2, "Steps", [ABSENT if steps is None else str(steps) for _, steps in split])
    return frame


def row_titles(records: Sequence[Record]) -> dict[str, str]:
    """Row -> what is printed for it; two rows of one title that have a method in common carry their names, too."""
    methods: dict[str, set[str]] = {}
    titles = {}
    for record in records:
        methods.setdefault(record.where.row, set()).add(record.where.method)
        titles[record.where.row] = record.where.title
    return {
        row: f"{title} ({row})"
        if any(other != row and titles[other] == title and methods[other] & methods[row] for other in titles)
        else title
        for row, title in titles.items()
    }


def method_title(method: str) -> str:
    """A method's name as tables print it; ``module:attribute`` stays as it is."""
    return method if ":" in method else method.capitalize()


def _columns(records: Sequence[Record]) -> list[str]:
    """The labels of all metrics, those in feature spaces behind the plain one of the same metric."""
    names = list(dict.fromkeys(record.metric.name for record in records))
    metrics = {record.metric.label: record.metric for record in records}
    return sorted(metrics, key=lambda label: (names.index(metrics[label].name), label != metrics[label].name, label))


def _sources(records: Sequence[Record], label: str) -> list[str]:
    """Where numbers of this label are printed elsewhere."""
    found = [record.published.source for record in records if record.published and record.metric.label == label]
    return list(dict.fromkeys(found))


def _ours(record: Record, intervals: bool) -> str:
    if record.value is None:
        return ABSENT
    return print_number(record.value, record.interval if intervals else None, record.metric.decimals)


def print_number(value: float, interval: tuple[float, float] | None, decimals: int) -> str:
    """A value, with half the width of its interval if that is given."""
    half = "" if interval is None else f" ± {(interval[1] - interval[0]) / 2:.{decimals}f}"
    return f"{value:.{decimals}f}{half}"


def print_difference(value: float, decimals: int) -> str:
    """A difference, with its sign."""
    return f"{value:+.{decimals}f}"


def print_interval(interval: tuple[float, float], decimals: int, *, signed: bool = False) -> str:
    """The ends of an interval; of a difference, with their signs."""
    sign = "+" if signed else ""
    return f"{interval[0]:{sign}.{decimals}f} to {interval[1]:{sign}.{decimals}f}"


def _published(record: Record, source: str) -> str:
    found = record.published is not None and record.published.source == source
    return print_published(record) if found else ABSENT


def print_published(record: Record) -> str:
    """The published number as it is printed, with the marks of the notes on it."""
    if record.published is None:
        return ABSENT
    return f"{record.published.printed}{'*' if record.published.note else ''}{'†' if record.changes else ''}"


def _render_table(records: Sequence[Record], style: str, intervals: bool) -> str:
    notes = table_notes(records)
    if intervals:
        notes += [INTERVALS, *([BIASED] if any(record.metric.features for record in records) else [])]
    return print_frame(to_frame(records, intervals=intervals), table_title(records[0]), notes, style)


def table_title(record: Record) -> str:
    """The title of the table that a number stands in."""
    if record.where.caption:
        return f"Table {record.where.table}: {record.where.caption}"
    title = _TITLES.get(str(record.request.get("command")))
    return title.format(record.identity.checkpoint) if title else record.where.table


def print_records(records: Sequence[Mapping[str, object]], style: str) -> str:
    """Records as ``json`` or ``csv``, in full precision."""
    if style == "json":
        return json.dumps(records, indent=1, allow_nan=False) + "\n"
    return str(pd.DataFrame(records).to_csv(index=False))


def print_frame(frame: pd.DataFrame, title: str, notes: Sequence[str], style: str) -> str:
    """A frame whose first two columns are names, as ``markdown``, ``latex`` or ``html``, with its title and notes."""
    title, notes = printable(title), [printable(note) for note in notes]
    frame = frame.rename(columns=printable).map(printable)
    if style == "html":
        items = "".join(f"<li>{note}</li>" for note in map(escape, notes))
        return f"<h2>{escape(title)}</h2>\n{frame.to_html(index=False, border=0)}\n<ul>{items}</ul>\n"
    if style == "latex":
        return print_latex(frame, title, notes, ABSENT)
    frame = frame.rename(columns=_cell).map(_cell)
    body = frame.to_markdown(index=False, tablefmt="github", disable_numparse=True, colalign=_alignment(frame))
    return f"## {title}\n\n{body}\n\n" + "".join(f"- {note}\n" for note in notes)


def _alignment(frame: pd.DataFrame) -> tuple[str, ...]:
    return ("left", "left", *("right" for _ in frame.columns[2:]))


def table_notes(records: Sequence[Record]) -> list[str]:
    """What the numbers are, what is wrong with the paper's, and why some of ours are missing; each said once."""
    gone = missing_cells(records)
    return [
        *number_notes(records),
        *(f"{title}, {', '.join(cells)}: missing: {reason}" for (title, reason), cells in gone.items()),
    ]


def number_notes(records: Sequence[Record]) -> list[str]:
    """``table_notes`` without the missing ones."""
    measured = [record for record in records if record.measured]
    titles = row_titles(records)
    notes = {f"{titles[record.where.row]}: {_measurement(record, records)}": None for record in measured}
    notes |= {f"{titles[record.where.row]}, {_trials(record)}": None for record in measured if record.conditions.trial}
    notes |= {f"{titles[record.where.row]}: {record.warning}": None for record in records if record.warning}
    notes |= {
        f"{record.identity.checkpoint} has random weights: its numbers mean nothing": None
        for record in measured
        if record.identity.checkpoint_sha256 == RANDOM_WEIGHTS
    }
    notes |= {f"{titles[record.where.row]}: {record.where.note}": None for record in records if record.where.note}
    notes |= {
        f"* {titles[record.where.row]}, {record.where.method} {record.metric.label} as printed in the "
        f"{record.published.source}: {record.published.note}": None
        for record in records
        if record.published and record.published.note
    }
    notes |= {
        f"† {titles[record.where.row]} was measured with {_settings(record)}, unlike the published number": None
        for record in records
        if record.published and record.changes
    }
    return list(notes)


def _measurement(record: Record, records: Sequence[Record]) -> str:
    """What was measured, with what, and how."""
    identity, conditions = record.identity, record.conditions
    images = f"generated images against the {identity.data}" if identity.start else f"images of {identity.data}"
    changes = f", {_settings(record)}" if record.changes else ""
    if record.request.get("command") != "run":  # no table says what was undone
        changes = f", {_degradation(record)}"
    return (
        f"{identity.images} {images}, seed {identity.seed}, protocol {identity.protocol}{changes}, "
        f"{identity.checkpoint}{_short_hash(record, records)}, {conditions.dtype} on {conditions.device}"
    )


def _trials(record: Record) -> str:
    """What ``--dtype auto`` took, and what it found of each arithmetic."""
    conditions = record.conditions
    found = "; ".join(map(told, conditions.trial))
    return (
        f"{record.identity.checkpoint}: --dtype auto took {conditions.dtype}, after trials of "
        f"{conditions.trial[0].images} images: {found}"
    )


def _degradation(record: Record) -> str:
    """The degradation with all of its settings, and the transform of the images if it is not the usual one."""
    settings = dict(record.identity.degradation)
    name, listed = settings.pop("name"), ", ".join(f"{key} {value}" for key, value in settings.items())
    transform = record.identity.transform
    return f"{name} ({listed})" + ("" if transform == "native" else f", transform {transform}")


def _settings(record: Record) -> str:
    return ", ".join(f"{key} {value}" for key, value in record.changes.items())


def _short_hash(record: Record, records: Sequence[Record]) -> str:
    """Of the row's network: its degraded cells have none, but the row is one measurement."""
    same = [each.identity for each in records if each.identity.checkpoint == record.identity.checkpoint]
    hashes = [identity.checkpoint_sha256 for identity in same if identity.checkpoint_sha256]
    return f" ({hashes[0][:12]})" if hashes else ""


def missing_cells(records: Sequence[Record]) -> dict[tuple[str, str], list[str]]:
    """The title of a row, and why cells of it are missing -> these cells, each by its method, or method and metric."""
    titles = row_titles(records)
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for record in records:
        if not record.measured:
            method, alone = record.where.method, record.identity.images is not None
            what = f"{method} {record.metric.label}" if alone else method
            reasons.setdefault((titles[record.where.row], record.reason), {})[what] = None
    return {key: list(cells) for key, cells in reasons.items()}


def _cell(text: str) -> str:
    """A cell of a table in Markdown, where a bar would begin the next."""
    return text.replace("|", "\\|")
