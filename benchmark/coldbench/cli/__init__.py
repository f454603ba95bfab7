"""The command line: click, and nothing else. torch is imported by the commands that need it: --help is instant."""

from __future__ import annotations

import os

import click

from coldbench import __version__
from coldbench.cli.bench import bench
from coldbench.cli.completion import ASKED
from coldbench.cli.measuring import compare, evaluate, run
from coldbench.cli.models import fetch, import_, list_, train
from coldbench.cli.printing import run_program
from coldbench.cli.publishing import board, export, report
from coldbench.cli.records import check, diff, show
from coldbench.cli.restoring import restore, score
from coldbench.cli.statistics import statistics
from coldbench.cli.sweeping import sweep
from coldbench.core.processes import check_alone

#: The commands that several processes can share.
SHARED = ("run", "compare", "evaluate", "sweep", "check", "train")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="coldbench")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Regenerate the tables of "Cold Diffusion: Inverting Arbitrary Image Transforms Without Noise".

    \b
    coldbench run --table 1 --images 1000              Table 1 on 1,000 MNIST digits, beside the paper's numbers
    coldbench compare fixed-noise estimated-noise      two methods, their difference and its interval
    coldbench evaluate mnist-blur --metrics PSNR       a model of coldbench's, or a restorer of your own
    coldbench check                                    whether the stored numbers have moved, for CI
    coldbench list                                     what can be measured, and what is missing
    coldbench train mnist-blur                         make a checkpoint as the shipped one was made

    Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 a check failed, 2 bad usage or bad
    input, 3 something needed is missing, 70 a defect, 130 interrupted.
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
