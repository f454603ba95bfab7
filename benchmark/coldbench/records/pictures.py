"""Pictures: labelled grids of images, and trajectories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from coldbench.records.sheet import LETTERS, Label, Sheet, width_of

if TYPE_CHECKING:  # nothing in this package waits for torch
    from torch import Tensor

#: Images of each kind in a picture, unless others are asked for.
GALLERY = 8
#: The least side of an image on a grid, and on a trajectory, in pixels of the screen; and the white between images.
_SIDE, _SMALL_SIDE, _GAP = 96, 64, 4
#: The height of a line of words, and the white beside them, in pixels.
_LINE, _MARGIN = LETTERS + 8, 8


def save_picture(gallery: Mapping[str, Tensor], path: Path) -> None:
    """A labelled grid, one row a kind of image, one column an image.

    Args:
        gallery: label -> images (n, C, S, S) in [0, 1], clamped here, for the eye only.
        path: see ``Sheet.save``.
    """
    rows = [_cells(images, _SIDE) for images in gallery.values()]
    height, width = (side + _GAP for side in rows[0][0].shape[:2])
    margin = _margin(gallery)
    sheet = Sheet(margin + len(rows[0]) * width, len(rows) * height)
    for y, (label, row) in enumerate(zip(gallery, rows, strict=True)):
        sheet.labels.append(Label(_MARGIN, y * height + (height - _GAP) / 2, label))
        for x, cell in enumerate(row):
            sheet.place(cell, margin + x * width, y * height)
    sheet.save(path)


@dataclass(frozen=True)
class Way:
    """The way of one image from x_T to x_0, and what it is called.

    Attributes:
        title: of the method.
        steps: t, from T down.
        states: x_t at each of them, and behind these the result: (C, S, S) each, in [0, 1], unclamped.
        estimates: R(x_t, t) at each of them, likewise.
        original: the image that was degraded; None of a generated one.
    """

    title: str
    steps: Sequence[int]
    states: Sequence[Tensor]
    estimates: Sequence[Tensor]
    original: Tensor | None


def save_ways(ways: Sequence[Way], path: Path) -> None:
    """Trajectories one above the other: x_t in a row, and R(x_t, t) in the row below it.

    Args:
        ways: of several images and methods; those of one title stand together.
        path: see ``Sheet.save``.
    """
    titles = list(dict.fromkeys(way.title for way in ways))
    side = _cells([ways[0].states[0]], _SMALL_SIDE)[0].shape[0] + _GAP
    margin, columns = _margin(_ROWS), max(len(way.states) + (way.original is not None) for way in ways)
    heading = 2 * _LINE
    height = len(titles) * heading + len(ways) * (2 * side + _GAP)
    sheet = Sheet(margin + columns * side + _MARGIN, height)
    y = 0
    for title in titles:
        block = [way for way in ways if way.title == title]
        sheet.labels.append(Label(_MARGIN, y + _LINE / 2 + 2, title))
        _head(sheet, block[0], margin, side, y + heading - _LINE / 2)
        y += heading
        for way in block:
            _draw_way(sheet, way, margin, side, y)
            y += 2 * side + _GAP
    sheet.save(path)


#: What the two rows of a trajectory show.
_ROWS = ("x_t", "R(x_t, t)")


def _head(sheet: Sheet, way: Way, margin: int, side: int, y: float) -> None:
    """The t of each column; the original, which has none, has a column of its own at the end."""
    words = [f"t = {way.steps[0]}", *map(str, way.steps[1:]), "0", *(["original"] if way.original is not None else [])]
    for column, word in enumerate(words):
        sheet.labels.append(Label(_column(margin, side, column, way) + (side - _GAP) / 2, y, word, "center"))


def _draw_way(sheet: Sheet, way: Way, margin: int, side: int, top: int) -> None:
    originals = [] if way.original is None else [way.original]
    for row, (label, images) in enumerate(zip(_ROWS, ([*way.states, *originals], way.estimates), strict=True)):
        y = top + row * side
        sheet.labels.append(Label(_MARGIN, y + (side - _GAP) / 2, label, symbols=True))
        for column, cell in enumerate(_cells(images, _SMALL_SIDE)):
            sheet.place(cell, _column(margin, side, column, way), y)


def _column(margin: int, side: int, column: int, way: Way) -> int:
    """Where a column begins; that of the original stands apart."""
    return margin + column * side + (_MARGIN if column == len(way.states) else 0)


def _margin(labels: Sequence[str] | Mapping[str, object]) -> int:
    return round(max(map(width_of, labels))) + 2 * _MARGIN


def _cells(images: Sequence[Tensor] | Tensor, least: int) -> list[np.ndarray]:
    """Images as uint8 (H, W, 3), each pixel so many times that a side has ``least`` of them."""
    return [_cell(image, -(-least // max(image.shape[-2:]))) for image in images]


def _cell(image: Tensor, scale: int) -> np.ndarray:
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)
