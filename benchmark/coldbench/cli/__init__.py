"""The command line: click, and nothing else. torch is imported by the commands that need it: --help is instant."""

from __future__ import annotations

import os

import click

from coldbench import __version__
from coldbench.cli.bench import bench
from coldbench.cli.comparing import compare
from coldbench.cli.completion import ASKED
from coldbench.cli.measuring import evaluate, run
from coldbench.cli.models import fetch, import_, list_, train
from coldbench.cli.printing import run_program
from coldbench.cli.publishing import board, export, report
from coldbench.cli.records import check, diff, show
from coldbench.cli.restoring import restore, score
from coldbench.cli.sections import SectionGroup
from coldbench.cli.statistics import statistics
from coldbench.cli.sweeping import sweep
from coldbench.core.processes import check_alone

#: The commands that several processes can share.
SHARED = ("run", "compare", "evaluate", "sweep", "check", "train")


@click.group(cls=SectionGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="coldbench")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Regenerate the tables of "Cold Diffusion: Inverting Arbitrary Image Transforms Without Noise".

    \b
    Examples:
      coldbench run --table 1 --images 1000         measure Table 1
      coldbench compare naive improved              tell two methods apart
      coldbench evaluate mnist-blur --metrics PSNR  measure a model
      coldbench check                               find numbers that moved
      coldbench list                                see what is at hand
      coldbench train mnist-blur                    train a model anew

    Results go to stdout, and everything else goes to stderr. The exit code is 0 when all is done, 1 when a check has
    failed, 2 when the command or its input is wrong, 3 when something that is needed is missing, 70 when coldbench or a
    plug-in has a defect, and 130 when the command was interrupted.
    """
    if ctx.invoked_subcommand not in SHARED:
        check_alone(f"coldbench {ctx.invoked_subcommand}")


for command in (
    run,
    compare,
    evaluate,
    sweep,
    restore,
    score,
    check,
    diff,
    show,
    board,
    export,
    report,
    statistics,
    list_,
    train,
    import_,
    fetch,
):
    main.add_command(command)
main.add_command(bench)


def entry_point() -> None:
    """The program ``coldbench``; where a shell asks what can be typed, it is told that, and nothing is run."""
    if os.environ.get(ASKED):
        main(prog_name="coldbench", complete_var=ASKED)
    run_program(lambda: main(standalone_mode=False))
