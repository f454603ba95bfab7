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
    help="Restore with this model, or with anything else that evaluate takes.",
)
@options.degradation
@options.prediction
@options.methods("sampled")
@options.what(
    "--severity",
    type=click.IntRange(min=1),
    help="Say after how many of the T steps of the degradation the images are.  [default: T]",
)
@options.what(
    "--context",
    type=options.FILE,
    metavar="PATH",
    help="Read what was random about each image, such as a mask, from files of the same names or one file for all.",
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
@options.told("--trajectory", is_flag=True, help="Save every x_s and every estimate R(x_s, s) on the way, too.")
@keeping.save_format("png")
@options.told("--output", type=options.FILE, required=True, metavar="DIR", help="Write the images to this folder.")
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
    """Restore images that are already degraded.

    INPUT is a folder of image files or .npy files, a single such file, or an .npz archive with an array called images.
    Files of 8 or 16 bits and floats in [0, 1] are read with all of their digits. Their size must be that of the model.

    \b
    Examples:
      coldbench restore my_degraded --model mnist-superres --output restored
      coldbench restore my_degraded --model mnist-superres \\
          --methods sampled,direct --trajectory --output steps
      coldbench restore my_holes --model mnist-inpaint --context my_masks \\
          --save-format npy --output filled

    Each restored image has the name of its input and lies in the folder of its method; contact-sheet.png shows the
    first of them. If the command is stopped and given again, it restores what is still missing. Where a degradation has
    something random about it, such as the place of a hole, all methods but direct need to be told by --context (run
    --save-images writes such files). The command prints the folder of each method.
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
    help="Compare generated images with this data set, these images or this file of statistics.",
)
@options.what(
    "--train", is_flag=True, help="Compare with the training images of the data set instead of its test images."
)
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
@options.output(Path("results/score"), "the record, the table and the picture")
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
    """Score images that are already restored or generated.

    No model is needed. IMAGES and ORIGINALS are folders of image files or .npy files, or .npz archives with an array
    called images; an image and its original have the same name. ORIGINALS may also be a data set, folder:PATH, npz:PATH
    or module:attribute. These are resized and cropped as run does it, and are called by their numbers, from 000000.

    \b
    Examples:
      coldbench score my_restored my_originals
      coldbench score my_restored my_originals --metrics PSNR,SSIM \\
          --per-image scores.csv
      coldbench score my_generated --against mnist --features mnist-cnn

    The numbers are those that run gives for the same images: they agree to 1e-6 if the images are saved as .npy, while
    a PNG clamps every pixel to [0, 1] and rounds it by up to 1/510. The table is printed, and the record goes to the
    output folder, where show, diff and board can read it.
    """
    from coldbench.commands.score import Scored
    from coldbench.commands.score import score as score_images
    from coldbench.records.formats import render

    scored = Scored(images=given, originals=originals, against=against, train=train)
    with resumable():
        records = score_images(scored, Request.of(**asked), output)
    print_text(render(records, style, intervals=intervals))
