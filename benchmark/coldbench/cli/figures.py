"""The options of pictures."""

from __future__ import annotations

from collections.abc import Callable

from coldbench.cli.options import Command, together, told
from coldbench.cli.parameters import Names, Positions
from coldbench.commands.request import DEFAULTS
from coldbench.records import FIGURE_FORMATS

figure_formats = told(
    "--figure-format",
    "figure_formats",
    type=Names(besides=FIGURE_FORMATS),
    default=",".join(DEFAULTS.figure_formats),
    show_default=True,
    metavar="NAMES",
    help="Write pictures in these formats: png, pdf, svg.",
)


def figure_images(default: str) -> Callable[[Command], Command]:
    """--figure-images, the same everywhere but for what it is without."""
    shown = f"Show these images in pictures, counted from 0, such as 0,3,8 or 0-7.  [default: {default}]"
    kind = Positions()
    return told("--figure-images", type=kind, default=DEFAULTS.figure_images, metavar="POSITIONS", help=shown)


trajectory = told(
    "--trajectory",
    is_flag=True,
    help="Draw x_t and R(x_t, t) over t, too, as Figure 2 of the paper does; the picture is trajectory-MODEL.png.",
)
#: How pictures are drawn.
drawn = together(figure_formats, figure_images("the first eight, and in a trajectory the first two"), trajectory)
