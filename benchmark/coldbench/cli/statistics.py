"""The command that exchanges feature statistics with other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from coldbench.cli import completion, options
from coldbench.cli.parameters import Names, SectionCommand
from coldbench.cli.printing import print_text
from coldbench.commands.request import Request
from coldbench.metrics.features import FEATURES


@click.command(cls=SectionCommand)
@click.argument("data", metavar="DATA", shell_complete=completion.offer(completion.data))
@options.what(
    "--features",
    type=Names(FEATURES),
    required=True,
    metavar="SPACE",
    help="Take the features in this space, or a module:attribute of your own.",
)
@options.what("--train", is_flag=True, help="Take the training images of the data set instead of its test images.")
@options.images("all of the data set")
@options.transform
@options.what(
    "--image-size",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Resize images to this side.  [default: that of the feature space, the data set's models, or the images]",
)
@options.channels("the images'")
@options.device
@options.batch_size
@options.data_root
@options.workers
@options.quiet
@options.told("--output", type=options.FILE, required=True, metavar="FILE.npz", help="Write this file.")
def statistics(
    data: str, features: tuple[str, ...], train: bool, image_size: int | None, output: Path, **asked: Any
) -> None:
    """Write the mean and covariance of the features of images.

    The file has the format that pytorch-fid, clean-fid and EDM read: mu of shape (d,), and sigma of shape (d, d), the
    unbiased covariance, both in float64. DATA is a data set, folder:PATH, npz:PATH, or a module:attribute of your own.
    The commands run, evaluate and compare take such a file, whichever program wrote it, as --reference-statistics in
    the place of a data set's training images.

    \b
    Examples:
      coldbench statistics mnist --features mnist-cnn --output mnist_test.npz
      coldbench statistics mnist --features mnist-cnn --images 1000 \\
          --transform zoom --output zoomed.npz
      coldbench statistics folder:my_digits --features mnist-cnn \\
          --output my_digits.npz

    The command prints the path of the file; how many images there were, and a warning if these are too few, go to
    stderr. Features are kept in the cache (coldbench list cache), where Table 5 finds those of the training images.
    """
    from coldbench.commands.statistics import ImageSet, save_statistics

    if len(features) != 1:
        raise click.BadParameter("one file holds the statistics of one feature space", param_hint="--features")
    images = ImageSet(images=data, train=train, image_size=image_size)
    save_statistics(images, features[0], Request.of(**asked), output)
    print_text(str(output))
