"""The command that measures coldbench itself: bench."""

from __future__ import annotations

from pathlib import Path

import click

from coldbench.cli import options
from coldbench.cli.parameters import Names, SectionCommand
from coldbench.cli.printing import print_text


@click.command(cls=SectionCommand)
@options.what(
    "--only",
    type=Names(),
    default=(),
    metavar="NAMES",
    help="Run only these of table-1-mnist, blur-128, generate-128, blur-128-gpu, generate-128-gpu, processes and "
    "memory.  [default: all that this machine can run]",
)
@options.how("--quick", is_flag=True, help="Use tiny networks and few images, to try out the command in half a minute.")
@options.quiet
@options.output(Path("results/performance"), "performance.json, .md and .svg")
def bench(only: tuple[str, ...], quick: bool, quiet: bool, output: Path) -> None:
    """Measure what coldbench itself costs in time and memory.

    \b
    Examples:
      coldbench bench --quick
      coldbench bench --quick --only processes,memory --output my_performance
      coldbench bench --quick --only table-1-mnist

    Three programs take turns in one process: the floor, which is the number of network evaluations times the time of
    one bare forward pass; coldbench; and a plain implementation of what the paper describes, which must give the same
    images. Then the same work is done by one process and by two, and the peak memory is measured with 1,000, 10,000 and
    50,000 images. Without --quick, all of this takes about a quarter of an hour on two cores that do nothing else.

    The cases are merged into the report in the output folder one by one, so they may be measured one at a time. With
    --quick, the files are called performance-quick.json and so on.
    """
    from coldbench.commands.bench.command import bench as measure

    print_text(measure(output, only=only, quick=quick, quiet=quiet))
