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
        help="float32, PNG of 8 or 16 bits, or float32 with many images a file.",
    )


save_images = told(
    "--save-images",
    type=FILE,
    default=DEFAULTS.save_images,
    metavar="DIR",
    help="A folder that receives every image: DIR/ROW/METHOD/000123.npy, and what it was made of.",
)
per_image = told(
    "--per-image",
    type=FILE,
    default=DEFAULTS.per_image,
    metavar="FILE.csv|.parquet",
    help="A table that receives the scores of every image, a line an image and method.",
)
#: What a measurement keeps.
kept = together(save_images, save_format(DEFAULTS.save_format), per_image)
