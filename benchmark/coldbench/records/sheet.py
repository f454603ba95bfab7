"""A sheet of paper with images and labels on it, written as PNG, SVG or PDF."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from coldbench.core.files import write_atomically

if TYPE_CHECKING:  # matplotlib is an extra
    from matplotlib.figure import Figure

#: Pixels that an inch of an SVG or a PDF has, and the height of letters in pixels.
_RESOLUTION, LETTERS = 96, 14
#: DejaVu Sans, which the others than PNG have, is wider than the font of PNGs by this factor.
_WIDER = 1.2
#: Letters stay letters, in fonts that a PDF holds whole, and ids the same from one time to the next.
_STYLE: Any = {"svg.hashsalt": "coldbench", "svg.fonttype": "none", "pdf.fonttype": 42, "mathtext.default": "regular"}
#: Without them, the same figure is the same file.
_DATES: Mapping[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": None}


@dataclass(frozen=True)
class Label:
    """Some words on a sheet.

    Attributes:
        x, y: in pixels, from the upper left.
        text: the words; where ``symbols`` is set, a letter behind an underscore is a subscript.
        anchor: where (x, y) is of the words: ``left``, ``center`` or ``right``, at half their height.
        symbols: whether the text is a formula.
    """

    x: float
    y: float
    text: str
    anchor: str = "left"
    symbols: bool = False


class Sheet:
    """White paper.

    Args:
        width, height: in pixels.

    Attributes:
        pixels: uint8 (height, width, 3), what the images leave of the white.
        labels: on it.
    """

    def __init__(self, width: int, height: int) -> None:
        self.pixels = np.full((height, width, 3), 255, np.uint8)
        self.labels: list[Label] = []

    def place(self, image: np.ndarray, x: int, y: int) -> None:
        """Put an image, uint8 (H, W, 3), where (x, y) is its upper left corner."""
        self.pixels[y : y + image.shape[0], x : x + image.shape[1]] = image

    def save(self, path: Path) -> None:
        """Write the sheet atomically.

        Args:
            path: its suffix is one of ``records.FIGURE_FORMATS``; matplotlib must be there for all but PNG.

        Raises:
            BadInput: the folder cannot be written.
        """
        if path.suffix == ".png":
            write_atomically(path, lambda temporary: self._drawn().save(temporary, format="PNG"))
        else:
            with style():
                save_figure(self._figure(), path)

    def _drawn(self) -> Image.Image:
        canvas = Image.fromarray(self.pixels)
        draw = ImageDraw.Draw(canvas)
        for label in self.labels:
            left = label.x - {"left": 0.0, "center": 0.5, "right": 1.0}[label.anchor] * width_of(label.text)
            for number, part in enumerate(re.split(r"_(\w)", label.text) if label.symbols else [label.text]):
                lower = number % 2  # the parts between are subscripts
                font = _font(LETTERS * (0.7 if lower else 1.0))
                draw.text((left, label.y + lower * LETTERS * 0.3), part, "black", font, anchor="lm")
                left += font.getlength(part) + lower  # a subscript is not cramped
        return canvas

    def _figure(self) -> Figure:
        from matplotlib.figure import Figure

        height, width, _ = self.pixels.shape
        figure = Figure(figsize=(width / _RESOLUTION, height / _RESOLUTION))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.imshow(self.pixels, interpolation="none", aspect="auto")
        for label in self.labels:
            # A dollar sign in the name of a method begins no formula.
            text = re.sub(r"(\w)_(\w)", r"$\1_\2$", label.text) if label.symbols else label.text.replace("$", r"\$")
            look: Any = {"ha": label.anchor, "va": "center", "fontsize": LETTERS * 72 / _RESOLUTION / _WIDER}
            figure.text(label.x / width, 1 - label.y / height, text, **look)
        return figure


def style() -> Any:
    """The settings of matplotlib in which figures are drawn and saved, as a context."""
    import matplotlib as mpl

    return mpl.rc_context(_STYLE)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure of matplotlib's atomically, and always as the same file; ``style`` holds meanwhile.

    Args:
        figure: which.
        path: its suffix is one of ``records.FIGURE_FORMATS``.

    Raises:
        BadInput: the folder cannot be written.
    """
    form = path.suffix.removeprefix(".")
    metadata = _DATES[form]
    write_atomically(path, lambda temporary: figure.savefig(temporary, format=form, dpi=150, metadata=metadata))


def width_of(text: str) -> float:
    """How many pixels wide some words are."""
    return _font(LETTERS).getlength(text)


def _font(size: float) -> Any:
    """The font that comes with Pillow; where Pillow was built without FreeType, its letters of one size."""
    return ImageFont.load_default(size)
