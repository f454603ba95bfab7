"""The command line: click, and nothing else. torch is imported by the commands that need it: --help is instant."""

from __future__ import annotations

import click

from coldbench import __version__
from coldbench.cli.measuring import compare, evaluate, run
from coldbench.cli.models import fetch, import_, list_, train
from coldbench.cli.printing import run_program
from coldbench.cli.records import check, diff, show
from coldbench.cli.statistics import statistics


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="coldbench")
def main() -> None:
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


for command in (run, compare, evaluate, check, diff, show, statistics, list_, train, import_, fetch):
    main.add_command(command)


def entry_point() -> None:
    """The program ``coldbench``."""
    run_program(lambda: main(standalone_mode=False))
