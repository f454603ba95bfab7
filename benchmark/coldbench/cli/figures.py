"""The options of pictures."""

from __future__ import annotations

from coldbench.cli.options import together, told
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
    help="The formats of the pictures: png, pdf, svg.",
)
figure_images = told(
    "--figure-images",
    type=Positions(),
    default=DEFAULTS.figure_images,
    metavar="POSITIONS",
    help="The images that the pictures show, counted from 0, such as 0,3,8 or 0-7.  [default: the first eight; of "
    "trajectories, the first two]",
)
trajectory = told(
    "--trajectory",
    is_flag=True,
    help="Also draw the way from x_T to x_0, as Figure 2 of the paper does: trajectory-MODEL.png.",
)
#: How pictures are drawn.
drawn = together(figure_formats, figure_images, trajectory)
