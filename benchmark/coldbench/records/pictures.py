"""Pictures: labelled grids of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from coldbench.core.files import write_atomically

if TYPE_CHECKING:  # nothing in this package waits for torch
    from torch import Tensor

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
