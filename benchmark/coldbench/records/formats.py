"""Cells to tables (Markdown, LaTeX, HTML, CSV) and images to pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from coldbench.core.files import write_atomically
from coldbench.records.record import RANDOM, Cell, as_row, metric_name, to_json
from coldbench.tables.tables import OURS, TABLES

if TYPE_CHECKING:  # stored tables are shown without waiting for torch
    from torch import Tensor

ABSENT = "-"
#: The formats that hold records instead of a table.
RECORDS = ("json", "csv")
#: What stands behind a number's sign of plus or minus.
INTERVALS = (
    "± half of the 95 % interval, by a delete-a-group jackknife; it is that of the number as defined, of so many "
    "images: a Frechet distance is biased upwards, the more the fewer they are"
)
DECIMALS = {"FID": 2, "FD": 2, "SSIM": 4, "RMSE": 4}


def render(cells: Sequence[Cell], style: str, *, intervals: bool = False) -> str:
    """All cells in one of ``tables.FORMATS``.

    Args:
        cells: of any tables.
        style: CSV and JSON hold one line or object a cell, in full precision.
        intervals: print half the width of the 95 % interval behind each number of ours.
    """
    if style == "json":
        return to_json(cells)
    if style == "csv":
        return print_records([as_row(cell) for cell in cells], style)
    numbers = sorted({cell.table for cell in cells})
    return "\n".join(_render_table([c for c in cells if c.table == number], style, intervals) for number in numbers)


def to_frame(cells: Sequence[Cell], *, intervals: bool = False) -> pd.DataFrame:
    """The cells of one table: a line a data set and method, ours and the paper's number side by side."""
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for metric, features in _columns(cells):
        for cell in cells:
            if (cell.metric, cell.features if cell.metric == "FD" else "") != (metric, features):
                continue
            line = lines.setdefault((_title(cell), cell.method.capitalize()), {})
            line[metric_name(metric, features)] = _ours(cell, intervals)
            if metric != "FD":
                line[f"{metric} (paper)"] = _published(cell)
    frame = pd.DataFrame(lines.values(), index=pd.MultiIndex.from_tuples(lines, names=["Dataset", "Method"]))
    return frame.fillna(ABSENT).reset_index()


def _ours(cell: Cell, intervals: bool) -> str:
    if cell.value is None:
        return ABSENT
    return print_number(cell.value, cell.interval if intervals else None, cell.metric)


def print_number(value: float, interval: tuple[float, float] | None, metric: str) -> str:
    """A value, with half the width of its interval if that is given."""
    decimals = DECIMALS[metric]
    half = "" if interval is None else f" ± {(interval[1] - interval[0]) / 2:.{decimals}f}"
    return f"{value:.{decimals}f}{half}"


def _title(cell: Cell) -> str:
    return f"{cell.dataset} (ours)" if cell.note == OURS else cell.dataset


def _columns(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    spaces = sorted({cell.features for cell in cells if cell.metric == "FD"})
    measured = {cell.metric for cell in cells}
    columns = [("FID", ""), *(("FD", space) for space in spaces), ("SSIM", ""), ("RMSE", "")]
    return [column for column in columns if column[0] in measured]


def _published(cell: Cell) -> str:
    if cell.published is None:
        return ABSENT
    decimals = 2 if cell.metric == "FID" else 3
    return f"{cell.published:.{decimals}f}" + ("*" if cell.note else "")


def _render_table(cells: Sequence[Cell], style: str, intervals: bool) -> str:
    title = f"Table {cells[0].table}: {TABLES[cells[0].table].caption}"
    notes = _notes(cells) + ([INTERVALS] if intervals else [])
    return print_frame(to_frame(cells, intervals=intervals), title, notes, style)


def print_records(records: Sequence[Mapping[str, object]], style: str) -> str:
    """Records as ``json`` or ``csv``, in full precision."""
    if style == "json":
        return json.dumps(records, indent=1, allow_nan=False) + "\n"
    return str(pd.DataFrame(records).to_csv(index=False))


def print_frame(frame: pd.DataFrame, title: str, notes: Sequence[str], style: str) -> str:
    """A frame whose first two columns are names, as ``markdown``, ``latex`` or ``html``, with its title and notes."""
    if style == "html":
        items = "".join(f"<li>{note}</li>" for note in map(_escape, notes))
        return f"<h2>{title}</h2>\n{frame.to_html(index=False, border=0)}\n<ul>{items}</ul>\n"
    if style == "latex":
        body = frame.to_markdown(index=False, tablefmt="latex_booktabs", disable_numparse=True)
        return f"% {title}\n{body}\n" + "".join(f"\n{{\\footnotesize {_latex(note)}}}\n" for note in notes)
    body = frame.to_markdown(index=False, tablefmt="github", disable_numparse=True, colalign=_alignment(frame))
    return f"## {title}\n\n{body}\n\n" + "".join(f"- {note}\n" for note in notes)


def _alignment(frame: pd.DataFrame) -> tuple[str, ...]:
    return ("left", "left", *("right" for _ in frame.columns[2:]))


def _notes(cells: Sequence[Cell]) -> list[str]:
    """What the numbers are, what is wrong with the paper's, and why some of ours are missing; each said once."""
    notes = {
        f"{_title(cell)}: {cell.images} {_images(cell)}, seed {cell.seed}, protocol {cell.protocol}, "
        f"{cell.checkpoint}{_short_hash(cell, cells)}, {cell.dtype} on {cell.device}": None
        for cell in cells
        if cell.status == "measured"
    }
    notes |= {f"{_title(cell)}: {cell.warning}": None for cell in cells if cell.warning}
    notes |= {random_weights(cell.checkpoint): None for cell in cells if cell.checkpoint_sha256 == RANDOM}
    notes |= {f"{_title(cell)}: {OURS}": None for cell in cells if cell.note == OURS}
    notes |= {
        f"* {cell.dataset}, {cell.method} {cell.metric} as printed in the paper: {cell.note}": None
        for cell in cells
        if cell.note and cell.published is not None
    }
    reasons: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        if cell.status == "missing":
            what = f"{cell.method} {cell.metric}" if cell.images is not None and cell.metric == "FID" else cell.method
            reasons.setdefault((cell.dataset, cell.reason), []).append(what)
    notes |= {
        f"{dataset}, {', '.join(dict.fromkeys(absent))}: missing: {reason}": None
        for (dataset, reason), absent in reasons.items()
    }
    return list(notes)


def random_weights(checkpoint: str) -> str:
    """The note on numbers of a network that nobody trained."""
    return f"{checkpoint} has random weights: its numbers mean nothing"


def _images(cell: Cell) -> str:
    generated = TABLES[cell.table].rows[0].generates
    return f"generated images against the {cell.data}" if generated else f"images of {cell.data}"


def _short_hash(cell: Cell, cells: Sequence[Cell]) -> str:
    """Of the row's network: its degraded cells have none, but the row is one measurement."""
    hashes = [c.checkpoint_sha256 for c in cells if c.checkpoint == cell.checkpoint and c.checkpoint_sha256]
    return f" ({hashes[0][:12]})" if hashes else ""


def _latex(text: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", text)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


#: Images of each kind in a picture.
GALLERY = 8


def save_picture(gallery: Mapping[str, Tensor], path: Path, *, scale: int = 3) -> None:
    """A labelled grid, one row a kind of image, one column an image.

    Args:
        gallery: label -> images (n, C, S, S) in [0, 1], clamped here, for the eye only; the first ``GALLERY`` are
            shown.
        path: the .png file, written atomically.
        scale: screen pixels an image pixel.
    """
    rows = [[_picture(image, scale) for image in images[:GALLERY]] for images in gallery.values()]
    width, height = rows[0][0].size
    margin, gap = max(80, 12 + 6 * max(map(len, gallery))), 4
    canvas = Image.new("RGB", (margin + len(rows[0]) * (width + gap), len(rows) * (height + gap)), "white")
    draw = ImageDraw.Draw(canvas)
    for y, (label, row) in enumerate(zip(gallery, rows, strict=True)):
        draw.text((6, y * (height + gap) + height // 2 - 6), label, fill="black")
        for x, picture in enumerate(row):
            canvas.paste(picture, (margin + x * (width + gap), y * (height + gap)))
    write_atomically(path, lambda temporary: canvas.save(temporary, format="PNG"))


def _picture(image: Tensor, scale: int) -> Image.Image:
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
