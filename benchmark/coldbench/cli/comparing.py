"""The command that measures several methods, or several models: compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from coldbench.cli import completion, figures, keeping, options
from coldbench.cli.parameters import SectionCommand
from coldbench.cli.printing import print_text
from coldbench.commands.request import Request
from coldbench.core.interrupts import resumable


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
    help="Compare methods of this model; the option is given twice for a hot and a cold one.  [default: an embedded "
    "model of their kind]",
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
@options.output(Path("results/compare"), "the record, the table and the picture")
def compare(
    names: tuple[str, ...], models: tuple[str, ...], degradation: str | None, style: str, output: Path, **asked: Any
) -> None:
    """Compare methods, or models, on the same images and noise.

    A, B and so on are methods, which share a model; or they are restorers, which undo the degradation that
    --degradation names.

    \b
    Hot generation:   fixed-noise, estimated-noise, ddpm
    Cold generation:  perfect-symmetry, broken-symmetry
    From a blend:     fixed-noise (Algorithm 2), indi
    Restoration:      naive (Algorithm 1), improved (Algorithm 2), direct,
                      degraded, ihdm
    Your own:         module:attribute of a sampler

    \b
    Examples:
      coldbench compare fixed-noise estimated-noise
      coldbench compare naive improved --trajectory
      coldbench compare perfect-symmetry broken-symmetry --images 500
      coldbench compare estimated-noise broken-symmetry
      coldbench compare fixed-noise indi --model mnist-blend
      coldbench compare naive improved direct --model mnist-superres
      coldbench compare my_module:a my_module:b --degradation mnist-blur \\
          --data mnist
      coldbench compare diffusers:my_unet mnist-blur --degradation mnist-blur \\
          --data mnist --prediction x0

    Each difference is printed with its 95 % interval, and with a verdict if that interval excludes zero. The record,
    the table and a picture with one row for each method go to the output folder; an earlier record of the same name is
    moved to earlier/.
    """
    from coldbench.commands.compare import compare as measure
    from coldbench.records.comparison import render_comparison

    with resumable():
        records = measure(names, Request.of(**asked), models=models, degradation=degradation, output=output)
    print_text(render_comparison(records, style))
