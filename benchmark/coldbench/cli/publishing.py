"""The commands that publish stored records: board, export, report."""

from __future__ import annotations

from pathlib import Path

import click

from coldbench.cli import options
from coldbench.cli.parameters import SectionCommand
from coldbench.cli.printing import print_text
from coldbench.commands.export import EXPORTERS
from coldbench.records import BOARD_FORMATS


@click.command(cls=SectionCommand)
@click.argument("paths", nargs=-1, required=True, metavar="RECORDS...", type=options.FILE)
@options.told(
    "--metric", metavar="NAME", help="Sort by this metric where a task has it, e.g. SSIM.  [default: each task's first]"
)
@options.told(
    "--format",
    "style",
    type=click.Choice(BOARD_FORMATS),
    default="markdown",
    show_default=True,
    help="The format of the output.",
)
@options.told("--output", type=options.FILE, metavar="FILE", help="Write to this file.  [default: to stdout]")
def board(paths: tuple[Path, ...], metric: str | None, style: str, output: Path | None) -> None:
    """Rank the records of many models and many people, in one table a task.

    RECORDS are folders that run, evaluate and compare have written, or single files of records. Numbers are ranked
    together where images, N, seed, protocol, transform and the degradation with all of its settings are the same. The
    best is marked, and so is every number that is not distinguishable from it by the 95 % intervals. What is printed
    elsewhere is listed as reported, and has no rank.

    \b
    Examples:
      coldbench board results/reference/full
      coldbench board results/reference/full results/reference/quick --metric SSIM --format html --output board.html

    Numbers of one model that differ between folders by more than their tolerance are told on stderr.
    """
    from coldbench.commands.board import rank_folders
    from coldbench.core.files import write_text

    text = rank_folders(paths, metric=metric, style=style)
    if output is None:
        print_text(text)
        return
    write_text(output, text)
    print_text(str(output))


@click.command(cls=SectionCommand)
@click.argument("paths", nargs=-1, required=True, metavar="RECORDS...", type=options.FILE)
@options.told("--to", required=True, type=click.Choice(list(EXPORTERS)), help="What is to read the files.")
@options.told("--output", required=True, type=options.FILE, metavar="DIR", help="The folder that receives the files.")
@options.told(
    "--hub-dataset",
    metavar="OWNER/NAME",
    help="The images' data set on the Hugging Face Hub, for a model card.  [default: that of MNIST or CIFAR-10]",
)
def export(paths: tuple[Path, ...], to: str, output: Path, hub_dataset: str | None) -> None:
    """Write measured records for other programs, as files; nothing is sent anywhere.

    RECORDS are folders that run, evaluate and compare have written, or single files of records. model-card writes
    CHECKPOINT/.eval_results/*.yaml, as the Hugging Face Hub reads them in a model's repository; mlflow adds to the
    store mlflow.db, and tensorboard writes event files. The last two need the extra tracking.

    \b
    Examples:
      coldbench export results/reference/full --to model-card --output cards
      coldbench export results/reference/full/table-5.json --to tensorboard --output logs

    Prints the paths of the files.
    """
    from coldbench.commands import export as command

    print_text("\n".join(map(str, command.export(paths, to, output, hub_dataset=hub_dataset))))


@click.command(cls=SectionCommand)
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...", type=options.FILE)
@options.told(
    "-o", "--output", type=options.FILE, metavar="FILE", help="Write to this file.  [default: report.html in FOLDER]"
)
def report(folders: tuple[Path, ...], output: Path | None) -> None:
    """Write one HTML page of all that was measured in a folder, or in several.

    FOLDER is one that run, evaluate, compare or sweep has written. The page holds every number with its interval beside
    the published one, plots, pictures that can be enlarged, the identity and conditions of each number, and what is
    missing, with the command that supplies it. It loads nothing and runs no script, so that it can be sent by mail and
    opened from the file system. The extra report makes it: pip install 'coldbench[report]'.

    \b
    Examples:
      coldbench report results/reference/full --output report.html
      coldbench report results/reference/full results/reference/quick -o both.html

    Prints the path of the page.
    """
    from coldbench.commands.report import report as write_page

    print_text(str(write_page(folders, output)))
