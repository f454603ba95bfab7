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
    help="The feature space, or module:attribute of yours.",
)
@options.what("--train", is_flag=True, help="The training images of the data set.")
@options.images("all of the data set")
@options.transform
@options.what(
    "--image-size",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="The side of the images.  [default: the feature space's, that of the data set's models, or the images']",
)
@options.channels("the images'")
@options.device
@options.batch_size
@options.data_root
@options.workers
@options.quiet
@options.told("--output", type=options.FILE, required=True, metavar="FILE.npz", help="The file to write.")
def statistics(
    data: str, features: tuple[str, ...], train: bool, image_size: int | None, output: Path, **asked: Any
) -> None:
    """Write mean and covariance of the features of some images, as pytorch-fid, clean-fid and EDM read them.

    DATA is a data set, folder:PATH, npz:PATH, or module:attribute of yours. The file holds mu (d,) and sigma (d, d),
    the unbiased covariance, in float64. run, evaluate and compare take such a file, whichever program wrote it, in the
    place of a data set's training images: --reference-statistics.

    \b
    Examples:
      coldbench statistics mnist --features mnist-cnn --output mnist_test.npz
      coldbench statistics mnist --features mnist-cnn --images 1000 --transform zoom --output zoomed.npz
      coldbench statistics folder:my_digits --features mnist-cnn --output my_digits.npz

    Prints the path; how many images they were, and a warning if these are too few, go to stderr. Features are kept in
    the cache (coldbench list cache), where Table 5 finds those of training images.
    """
    from coldbench.commands.statistics import ImageSet, save_statistics

    if len(features) != 1:
        raise click.BadParameter("one file holds the statistics of one feature space", param_hint="--features")
    images = ImageSet(images=data, train=train, image_size=image_size)
    save_statistics(images, features[0], Request.of(**asked), output)
    print_text(str(output))
