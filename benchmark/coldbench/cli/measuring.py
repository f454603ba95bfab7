"""The commands that measure: run, evaluate, compare."""

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
    help="A table of the paper, or your own.",
    shell_complete=completion.offer(completion.tables_or_file),
)
@options.what(
    "--rows",
    type=Names(),
    default=(),
    metavar="NAMES",
    shell_complete=completion.offer(completion.rows, listed=True),
    help="Only these rows or data sets, e.g. mnist,cifar10.",
)
@options.methods("all of the table")
@options.images("all of the data set; in Table 5, 6400")
@options.identity
@options.conditions
@keeping.kept
@figures.drawn
@options.style
@options.intervals
@options.output(Path("results/run"), "records, tables and pictures")
@options.told("--dry-run", is_flag=True, help="Say what would be measured, what is missing, and what it would take.")
def run(
    table: str, rows: tuple[str, ...], style: str, intervals: bool, output: Path, dry_run: bool, **asked: Any
) -> None:
    """Measure a table of the paper, or of your own, with the published numbers beside yours.

    \b
    Examples:
      coldbench run --table 2
      coldbench run --table all --images 1000 --format json
      coldbench run --table 1 --rows mnist --dry-run
      coldbench run --table 3 --rows mnist --metrics SSIM,PSNR,KID
      coldbench run --table 1 --rows cifar10 --methods degraded --data npz:cifar10_test.npz
      coldbench run --table 3 --rows mnist --data folder:my_digits
      coldbench run --table 5 --rows mnist --images 1000
      coldbench run --table 5 --rows mnist --reference-statistics mnist_test.npz
      coldbench run --table 3 --rows celeba --methods degraded --set timesteps=4
      coldbench run --table my_table.toml

    Rows whose data or weights are absent are shown as missing, with the command that supplies them; where that leaves
    nothing, the exit code is 3. Every finished row is written to the output folder at once: table-N.json (records),
    table-N.md, pictures/. Rows that are there already stay; records of the same row with other images, seed or
    settings, and their picture, go to earlier/.
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
@options.output(Path("results/evaluate"), "records, table and picture")
def evaluate(restorer: str, degradation: str | None, style: str, intervals: bool, output: Path, **asked: Any) -> None:
    """Measure any restoration model on any images.

    RESTORER is a model of the registry, module:attribute of yours, a UNet in a folder of diffusers' (diffusers:PATH),
    or a fetched model of the Hugging Face hub (hub:OWNER/NAME, or hub:OWNER/NAME:FILE for a file of weights).

    A restorer of yours is a callable R(x, s): images (B, C, S, S) in [-1, 1] after s = 1..T degradations in, estimates
    of the clean images out. A degradation of yours is a class or function whose arguments --set gives. Modules are
    found in the working directory, or installed; installed ones may also register names as entry points.

    \b
    Examples:
      coldbench evaluate mnist-blur --images 500
      coldbench evaluate mnist-superres --metrics PSNR,SSIM --data folder:my_digits
      coldbench evaluate my_module:restore --degradation cifar10-blur --data npz:cifar10_test.npz
      coldbench evaluate my_module:restore --degradation superres --set image_size=64 --set timesteps=3 --data folder:f
      coldbench evaluate my_module:restore --degradation my_module:Fade --set timesteps=5 --data my_module:my_images
      coldbench evaluate diffusers:my_unet --degradation mnist-noise --data mnist --prediction eps

    The record in the output folder names the restorer and a hash of its parameters: coldbench check --reference guards
    it.
    """
    from coldbench.commands.evaluate import evaluate as measure
    from coldbench.commands.recording import check_measured
    from coldbench.records.formats import render

    with resumable():
        records = measure(restorer, Request.of(**asked), degradation=degradation, output=output)
    print_text(render(records, style, intervals=intervals))
    check_measured(records)


@click.command(cls=SectionCommand)
@click.argument(
    "names",
    nargs=-1,
    required=True,
    metavar="A B [C ...]",
    shell_complete=completion.offer(completion.samplers, completion.models, completion.restorers),
)
@options.what(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.offer(completion.models, completion.restorers),
    help="The checkpoint of the methods, or one hot and one cold.  [default: an embedded one of their kind]",
)
@options.degradation
@options.prediction
@options.methods("sampled, for restorers")
@options.images("1000, or all there are")
@options.identity
@options.conditions
@keeping.kept
@figures.drawn
@options.style
@options.output(Path("results/compare"), "record, table and picture")
def compare(
    names: tuple[str, ...], models: tuple[str, ...], degradation: str | None, style: str, output: Path, **asked: Any
) -> None:
    """Compare methods A, B, ... on the same images, seeds and starting noise; or restorers, with --degradation.

    \b
    Hot generation:   fixed-noise, estimated-noise, ddpm
    Cold generation:  perfect-symmetry, broken-symmetry
    From a blend:     fixed-noise (Algorithm 2), indi
    Restoration:      naive (Algorithm 1), improved (Algorithm 2), direct, degraded, ihdm
    Your own:         module:attribute of a sampler

    \b
    Examples:
      coldbench compare fixed-noise estimated-noise
      coldbench compare perfect-symmetry broken-symmetry --images 500
      coldbench compare estimated-noise broken-symmetry
      coldbench compare fixed-noise indi --model mnist-blend
      coldbench compare naive improved direct --model mnist-superres
      coldbench compare my_module:a my_module:b --degradation mnist-blur --data mnist
      coldbench compare diffusers:my_unet mnist-blur --degradation mnist-blur --data mnist --prediction x0

    Prints each difference with its 95 % interval, and which is better where that interval excludes zero. The record,
    the table and a picture with one row a method go to the output folder; another record of that name goes to earlier/.
    """
    from coldbench.commands.compare import compare as measure
    from coldbench.records.comparison import render_comparison

    with resumable():
        records = measure(names, Request.of(**asked), models=models, degradation=degradation, output=output)
    print_text(render_comparison(records, style))
