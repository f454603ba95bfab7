"""The options that keep something of every single image."""

from __future__ import annotations

from collections.abc import Callable

import click

from coldbench.cli.options import FILE, Command, together, told
from coldbench.commands.request import DEFAULTS, SAVE_FORMATS


def save_format(default: str) -> Callable[[Command], Command]:
    """--save-format, the same everywhere but for what it is without."""
    return told(
        "--save-format",
        type=click.Choice(SAVE_FORMATS),
        default=default,
        show_default=True,
        help="Save images in this format: float32 (npy), PNG of 8 or 16 bits, or float32 with many images in a file "
        "(npz).",
    )


save_images = told(
    "--save-images",
    type=FILE,
    default=DEFAULTS.save_images,
    metavar="DIR",
    help="Save every image, and what it was made from, in this folder, as DIR/ROW/METHOD/000123.npy.",
)
per_image = told(
    "--per-image",
    type=FILE,
    default=DEFAULTS.per_image,
    metavar="FILE.csv|.parquet",
    help="Write the scores of every image to this table, with one line for each image and method.",
)
#: What a measurement keeps.
kept = together(save_images, save_format(DEFAULTS.save_format), per_image)
