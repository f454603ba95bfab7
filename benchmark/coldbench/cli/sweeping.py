"""The command that measures one model in several ways: sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from coldbench.cli import completion, figures, options
from coldbench.cli.parameters import SectionCommand, Setting
from coldbench.cli.printing import print_text
from coldbench.commands.request import Request
from coldbench.core.interrupts import resumable


class Counts(click.ParamType[Any]):
    """A comma-separated list of whole numbers from 1."""

    name = "counts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if not isinstance(value, str):
            return tuple(value)
        return tuple(self._count(word.strip(), param, ctx) for word in value.split(","))

    def _count(self, word: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not (word.isascii() and word.isdigit() and len(word) < 10 and int(word)):
            self.fail(f"'{word}' is no whole number from 1", param, ctx)
        return int(word)


class SweptSetting(Setting):
    """``KEY=V1,V2,...``; each value is what it is in ``Setting``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        key, _, texts = value.partition("=")
        values = (super(SweptSetting, self).convert(f"{key}={text.strip()}", param, ctx) for text in texts.split(","))
        return key, tuple(dict.fromkeys(each for _, each in values))


def _by_key(ctx: click.Context, param: click.Parameter, given: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The values of each setting; one that is given twice has the values of both."""
    found: dict[str, tuple[Any, ...]] = {}
    for key, values in given:
        found[key] = tuple(dict.fromkeys((*found.get(key, ()), *values)))
    return found


@click.command(cls=SectionCommand)
@options.what(
    "--model",
    required=True,
    metavar="NAME",
    shell_complete=completion.offer(completion.models, completion.restorers),
    help="Measure this model, or a restorer of your own, named as evaluate takes it.",
)
@options.what(
    "--steps",
    type=Counts(),
    default=(),
    metavar="NUMBERS",
    help="Take these numbers of steps, such as 1,2,5.  [default: 1,2,4, and so on, and T]",
)
@options.what(
    "--set",
    "values",
    type=SweptSetting(),
    multiple=True,
    callback=_by_key,
    metavar="KEY=V1,V2,...",
    help="Give a setting of the degradation (coldbench list degradations) these values, each in a row of its own.",
)
@options.degradation
@options.prediction
@options.methods("sampled; of a generator, those of its kind")
@options.images("all of the data set; of a generator, 6400")
@options.metrics
@options.features
@options.data
@options.reference_statistics
@options.transform
@options.seed
@options.protocol
@options.conditions
@figures.figure_formats
@figures.figure_images("the first eight")
@options.style
@options.intervals
@options.output(Path("results/sweep"), "the records, the table, the plot and the pictures")
def sweep(
    model: str,
    steps: tuple[int, ...],
    values: dict[str, Any],
    degradation: str | None,
    style: str,
    intervals: bool,
    output: Path,
    **asked: Any,
) -> None:
    """Measure how quality depends on the number of steps.

    A method of n steps goes through the severities T i / n for i = n to 0, rounded: where n divides T, it takes every
    (T / n)-th step, and it always ends at 0. With all T steps, a method is what it is in every table; with a single
    step, it is Direct. All numbers of steps are measured on the same images, which are degraded once.

    \b
    Examples:
      coldbench sweep --model mnist-blur --steps 1,2,5,10,20
      coldbench sweep --model mnist-superres --methods naive,sampled \\
          --metrics SSIM,RMSE
      coldbench sweep --model mnist-inpaint --steps 1,5,25 \\
          --set kernel_std=0.05,0.1
      coldbench sweep --model mnist-noise --steps 5,40 --methods estimated-noise \\
          --images 500

    The records go to MODEL.json in the output folder, the table goes to MODEL.md, the plot goes to MODEL.svg and
    MODEL.png (it needs pip install 'coldbench[report]'), and the pictures go to pictures/. A later sweep of the model
    adds to these; records of the same row that were measured with other images, another seed or other settings are
    moved to earlier/. Other commands also take METHOD@n for a method of n steps, as in compare direct sampled@5.
    """
    from coldbench.commands.sweep import sweep as measure
    from coldbench.records.formats import render

    with resumable():
        records = measure(
            model, Request.of(**asked), steps=steps, values=values, degradation=degradation, output=output
        )
    print_text(render(records, style, intervals=intervals))
