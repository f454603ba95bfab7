"""The commands that measure: run and evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from coldbench.cli import completion, figures, keeping, options
from coldbench.cli.parameters import Names, SectionCommand
from coldbench.cli.printing import print_text
from coldbench.commands.request import Request
from coldbench.core.interrupts import resumable


@click.command(cls=SectionCommand)
@options.what(
    "--table",
    required=True,
    metavar="1|2|3|4|5|all|FILE.toml",
    help="Measure this table of the paper, or one of your own.",
    shell_complete=completion.offer(completion.tables_or_file),
)
@options.what(
    "--rows",
    type=Names(),
    default=(),
    metavar="NAMES",
    shell_complete=completion.offer(completion.rows, listed=True),
    help="Measure only these rows or data sets, such as mnist,cifar10.",
)
@options.methods("all of the table")
@options.images("all of the data set; in Table 5, 6400")
@options.identity
@options.conditions
@keeping.kept
@figures.drawn
@options.style
@options.intervals
@options.output(Path("results/run"), "the records, the tables and the pictures")
@options.told(
    "--dry-run", is_flag=True, help="Only say what would be measured, what is missing, and how long it would take."
)
def run(
    table: str, rows: tuple[str, ...], style: str, intervals: bool, output: Path, dry_run: bool, **asked: Any
) -> None:
    """Measure a table of the paper, or one of your own.

    The published numbers are printed beside yours. A row whose data or weights are absent is shown as missing, with the
    command that supplies them; if nothing at all can be measured, the exit code is 3.

    \b
    Examples:
      coldbench run --table 2
      coldbench run --table all --images 1000 --format json
      coldbench run --table 1 --rows mnist --dry-run
      coldbench run --table 1 --rows mnist --trajectory --figure-format pdf
      coldbench run --table 3 --rows mnist --metrics SSIM,PSNR,KID
      coldbench run --table 1 --rows cifar10 --methods degraded \\
          --data npz:cifar10_test.npz
      coldbench run --table 3 --rows mnist --data folder:my_digits
      coldbench run --table 5 --rows mnist --images 1000
      coldbench run --table 5 --rows mnist --reference-statistics mnist_test.npz
      coldbench run --table 3 --rows celeba --methods degraded --set timesteps=4
      coldbench run --table my_table.toml

    Every row is written to the output folder as soon as it is finished: its records go to table-N.json, the table goes
    to table-N.md, and the pictures go to pictures/. Rows that are already there stay. Records of the same row that were
    measured with other images, another seed or other settings are moved to earlier/, together with their pictures.
    """
    if dry_run:
        _forecast(table, Request.of(**asked), rows, style)
        return
    from coldbench.commands.recording import check_measured
    from coldbench.commands.run import run_table
    from coldbench.records.formats import render

    with resumable():
        records = run_table(table, Request.of(**asked), rows=rows, output=output)
    print_text(render(records, style, intervals=intervals))
    check_measured(records)


def _forecast(table: str, request: Request, rows: tuple[str, ...], style: str) -> None:
    from coldbench.commands.dry_run import check_measurable, check_style, dry_run, render_dry_run

    check_style(style)
    found = dry_run(table, request, rows=rows)
    print_text(render_dry_run(found, style))
    check_measurable(found)


@click.command(cls=SectionCommand)
@click.argument(
    "restorer",
    metavar="RESTORER",
    shell_complete=completion.offer(completion.models, completion.restorers),
)
@options.degradation
@options.prediction
@options.methods("degraded,sampled,direct; of a generator, those of its kind")
@options.images("all of the data set")
@options.channels("the network's own, or the images'")
@options.identity
@options.conditions
@keeping.kept
@figures.drawn
@options.style
@options.intervals
@options.output(Path("results/evaluate"), "the records, the table and the picture")
def evaluate(restorer: str, degradation: str | None, style: str, intervals: bool, output: Path, **asked: Any) -> None:
    """Measure any restoration model on any images.

    RESTORER is a registered model, a module:attribute of your own, a UNet in a folder of the diffusers library
    (diffusers:PATH), or a model that was fetched from the Hugging Face hub (hub:OWNER/NAME, or hub:OWNER/NAME:FILE for
    a single file of weights).

    A restorer of your own is a callable R(x, s). It takes images of shape (B, C, S, S) in [-1, 1] that have been
    degraded s times, where s is 1 to T, and returns its estimates of the clean images. A degradation of your own is a
    class or a function, and --set gives its arguments. Modules are looked for in the working directory and among the
    installed packages, which may also register names as entry points.

    \b
    Examples:
      coldbench evaluate mnist-blur --images 500
      coldbench evaluate mnist-superres --metrics PSNR,SSIM \\
          --data folder:my_digits
      coldbench evaluate my_module:restore --degradation cifar10-blur \\
          --data npz:cifar10_test.npz
      coldbench evaluate my_module:restore --degradation superres \\
          --set image_size=64 --set timesteps=3 --data folder:f
      coldbench evaluate my_module:restore --degradation my_module:Fade \\
          --set timesteps=5 --data my_module:my_images
      coldbench evaluate diffusers:my_unet --degradation mnist-noise \\
          --data mnist --prediction eps

    The record in the output folder names the restorer and a hash of its parameters, so that coldbench check --reference
    can measure it again and find out whether its numbers have moved.
    """
    from coldbench.commands.evaluate import evaluate as measure
    from coldbench.commands.recording import check_measured
    from coldbench.records.formats import render

    with resumable():
        records = measure(restorer, Request.of(**asked), degradation=degradation, output=output)
    print_text(render(records, style, intervals=intervals))
    check_measured(records)
