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
    help="Only these of table-1-mnist, blur-128, generate-128, blur-128-gpu, generate-128-gpu, processes "
    "and memory.  [default: all that this machine can run]",
)
@options.how("--quick", is_flag=True, help="Tiny networks and few images: a trial of the command, in half a minute.")
@options.quiet
@options.output(Path("results/performance"), "performance.json, .md and .svg")
def bench(only: tuple[str, ...], quick: bool, quiet: bool, output: Path) -> None:
    """Measure what a measurement costs beyond its network, and what it costs without coldbench's shortcuts.

    \b
    Examples:
      coldbench bench --quick
      coldbench bench --quick --only processes,memory --output my_performance
      coldbench bench --quick --only table-1-mnist

    Three sides run in turns in one process: the floor, which is the number of network evaluations times one bare
    forward; our run; and a plain implementation of what the paper describes, which must give the same images. Then the
    same work by one process and by two, and the peak memory of 1,000, 10,000 and 50,000 images. Without --quick, all of
    it takes about a quarter of an hour on two cores that do nothing else.

    Cases are merged into the report in the output folder one by one, so they may be measured one at a time. --quick
    writes files of other names, performance-quick.json and so on.
    """
    from coldbench.commands.bench.command import bench as measure

    print_text(measure(output, only=only, quick=quick, quiet=quiet))
