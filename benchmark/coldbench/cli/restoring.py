"""The commands for images that come from elsewhere: restore and score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from coldbench.cli import completion, keeping, options
from coldbench.cli.parameters import SectionCommand
from coldbench.cli.printing import print_text
from coldbench.commands.request import Request
from coldbench.core.interrupts import resumable


@click.command(cls=SectionCommand)
@click.argument("given", metavar="INPUT", type=options.FILE)
@options.what(
    "--model",
    required=True,
    metavar="NAME",
    shell_complete=completion.offer(completion.models, completion.restorers),
    help="What restores: anything that evaluate takes.",
)
@options.degradation
@options.prediction
@options.methods("sampled")
@options.what("--severity", type=click.IntRange(min=1), help="How degraded the images are, 1 to T.  [default: T]")
@options.what(
    "--context",
    type=options.FILE,
    metavar="PATH",
    help="What was random about each image, as a mask: files of the same names, or one file for all.",
)
@options.images("all of INPUT", least=1)
@options.settings
@options.seed
@options.device
@options.dtype
@options.batch_size
@options.random_weights
@options.fresh
@options.quiet
@options.told("--trajectory", is_flag=True, help="Save every x_s and every estimate on the way, too.")
@keeping.save_format("png")
@options.told("--output", type=options.FILE, required=True, metavar="DIR", help="The folder that receives the images.")
def restore(
    given: Path,
    model: str,
    degradation: str | None,
    severity: int | None,
    context: Path | None,
    trajectory: bool,
    output: Path,
    **asked: Any,
) -> None:
    """Restore images that are degraded already.

    INPUT is a folder of image files or .npy files, one such file, or an .npz archive with an array images. Files of 8
    or 16 bits and floats in [0, 1] are taken with all of their digits. Their size must be that of the model.

    \b
    Examples:
      coldbench restore my_degraded --model mnist-superres --output restored
      coldbench restore my_degraded --model mnist-superres --methods sampled,direct --trajectory --output steps
      coldbench restore my_holes --model mnist-inpaint --context my_masks --save-format npy --output filled

    Every output has the name of its input, in the folder of its method; contact-sheet.png shows the first of them. A
    command that was stopped and is given again restores what is missing. Where something is random about a degradation,
    as the place of a hole, all methods but direct need it: --context (run --save-images writes such files). Prints the
    folder of each method.
    """
    from coldbench.commands.restore import Given
    from coldbench.commands.restore import restore as restore_images

    asked_for = Given(
        images=given,
        model=model,
        degradation=degradation,
        severity=severity,
        context=context,
        trajectory=trajectory,
    )
    with resumable():
        folders = restore_images(asked_for, Request.of(**asked), output)
    print_text("\n".join(map(str, folders)))


@click.command(cls=SectionCommand)
@click.argument("given", metavar="IMAGES", type=options.FILE)
@click.argument("originals", metavar="[ORIGINALS]", required=False, shell_complete=completion.offer(completion.data))
@options.what(
    "--against",
    metavar="DATA|FILE.npz",
    shell_complete=completion.offer(completion.data),
    help="Compare generated images with these instead, or with a file of statistics.",
)
@options.what("--train", is_flag=True, help="Compare with the training images of the data set.")
@options.metrics
@options.features
@options.images("all of IMAGES")
@options.transform
@options.device
@options.batch_size
@options.data_root
@options.workers
@options.fresh
@options.quiet
@options.style
@options.intervals
@keeping.per_image
@options.output(Path("results/score"), "record, table and picture")
def score(
    given: Path,
    originals: str | None,
    against: str | None,
    train: bool,
    style: str,
    intervals: bool,
    output: Path,
    **asked: Any,
) -> None:
    """Score images that are restored or generated already; no model is needed.

    IMAGES and ORIGINALS are folders of image files or .npy files, or .npz archives with an array images; images pair by
    their names. ORIGINALS may also be a data set, folder:PATH, npz:PATH or module:attribute, transformed as run does
    and called by their numbers, 000000 and on.

    \b
    Examples:
      coldbench score my_restored my_originals
      coldbench score my_restored my_originals --metrics PSNR,SSIM --per-image scores.csv
      coldbench score my_generated --against mnist --features mnist-cnn

    The numbers are those that run gives of the same images: to 1e-6 if they are saved as .npy; a PNG clamps every pixel
    to [0, 1], and rounds it by up to 1/510. Prints the table; the record goes to the output folder, for show, diff and
    board.
    """
    from coldbench.commands.score import Scored
    from coldbench.commands.score import score as score_images
    from coldbench.records.formats import render

    scored = Scored(images=given, originals=originals, against=against, train=train)
    with resumable():
        records = score_images(scored, Request.of(**asked), output)
    print_text(render(records, style, intervals=intervals))
