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
    "--metric",
    metavar="NAME",
    help="Sort by this metric, such as SSIM, where a task has it.  [default: each task's first]",
)
@options.told(
    "--format",
    "style",
    type=click.Choice(BOARD_FORMATS),
    default="markdown",
    show_default=True,
    help="Print the result in this format.",
)
@options.told("--output", type=options.FILE, metavar="FILE", help="Write to this file instead of stdout.")
def board(paths: tuple[Path, ...], metric: str | None, style: str, output: Path | None) -> None:
    """Rank the records of many models in one table for each task.

    RECORDS are folders that run, evaluate and compare have written, or single files of records. Numbers are ranked
    together if their images, N, seed, protocol, transform and degradation are the same, with all of its settings. The
    best number is marked, and so is every number that its 95 % interval does not tell from the best. Numbers that are
    printed elsewhere are listed as reported and have no rank.

    \b
    Examples:
      coldbench board results/reference/full
      coldbench board results/reference/full results/reference/quick \\
          --metric SSIM --format html --output board.html

    If the numbers of one model differ between folders by more than their tolerance, stderr says so.
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
@options.told("--to", required=True, type=click.Choice(list(EXPORTERS)), help="Write files for this program.")
@options.told("--output", required=True, type=options.FILE, metavar="DIR", help="Write the files to this folder.")
@options.told(
    "--hub-dataset",
    metavar="OWNER/NAME",
    help="Name this data set of the Hugging Face hub in a model card.  [default: that of MNIST or CIFAR-10]",
)
def export(paths: tuple[Path, ...], to: str, output: Path, hub_dataset: str | None) -> None:
    """Write records as files for other programs.

    Nothing is sent anywhere. RECORDS are folders that run, evaluate and compare have written, or single files of
    records. With model-card, the command writes CHECKPOINT/.eval_results/*.yaml, which the Hugging Face Hub reads in
    the repository of a model; with mlflow, it adds to the store mlflow.db; with tensorboard, it writes event files. The
    last two need pip install 'coldbench[tracking]'.

    \b
    Examples:
      coldbench export results/reference/full --to model-card --output cards
      coldbench export results/reference/full/table-5.json --to tensorboard \\
          --output logs

    The command prints the paths of the files.
    """
    from coldbench.commands import export as command

    print_text("\n".join(map(str, command.export(paths, to, output, hub_dataset=hub_dataset))))


@click.command(cls=SectionCommand)
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...", type=options.FILE)
@options.told(
    "-o", "--output", type=options.FILE, metavar="FILE", help="Write to this file.  [default: report.html in FOLDER]"
)
def report(folders: tuple[Path, ...], output: Path | None) -> None:
    """Write one HTML page of all that was measured.

    FOLDER is one that run, evaluate, compare or sweep has written; several make one page. The page holds every number
    with its interval beside the published one, plots, pictures that can be enlarged, the identity and conditions of
    each number, and what is missing, with the command that supplies it. It loads nothing and runs no script, so that it
    can be sent by mail and opened from the file system. It needs pip install 'coldbench[report]'.

    \b
    Examples:
      coldbench report results/reference/full --output report.html
      coldbench report results/reference/full results/reference/quick -o both.html

    The command prints the path of the page.
    """
    from coldbench.commands.report import report as write_page

    print_text(str(write_page(folders, output)))
