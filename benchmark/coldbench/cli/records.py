"""The commands on stored records: check, diff, show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from coldbench.cli import completion, options
from coldbench.cli.parameters import Names, SectionCommand
from coldbench.cli.printing import print_text
from coldbench.commands.request import Request
from coldbench.core.interrupts import resumable


@click.command(cls=SectionCommand)
@options.what(
    "--full",
    is_flag=True,
    help="Check the tables at full size, which takes an hour and a half on two cores.  [default: 100 images for each "
    "row]",
)
@options.what(
    "--table",
    "tables",
    type=Names(),
    default=(),
    metavar="NAMES",
    shell_complete=completion.offer(completion.tables, listed=True),
    help="Check only these tables, such as 1,3.",
)
@options.what("--reference", type=options.FILE, help="Check the records in this folder.  [default: those that ship]")
@options.told("--update", is_flag=True, help="Show the numbers that have moved, and then make them the new references.")
@options.told("--junit", "junit_path", type=options.FILE, metavar="FILE", help="Write JUnit XML to this file, too.")
@options.metrics
@options.data
@options.reference_statistics
@options.device
@options.dtype
@options.batch_size
@options.data_root
@options.workers
@options.fresh
@options.quiet
@options.style
def check(
    *,
    full: bool,
    tables: tuple[str, ...],
    reference: Path | None,
    update: bool,
    junit_path: Path | None,
    style: str,
    **asked: Any,
) -> None:
    """Measure the stored numbers again, and say which have moved.

    \b
    Examples:
      coldbench check
      coldbench check --table 3 --junit coldbench.xml
      coldbench check --full --update
      coldbench check --reference my_records     # an output folder of run
      coldbench check --reference cifar_records --data npz:cifar10_test.npz

    With --dtype auto, each number is measured in the arithmetic of its reference.

    The exit code is 0 if every number is within its tolerance of its reference. It is 1 if a number has moved or is
    gone, or if it was measured with other images, weights, data or settings, which cannot be compared. It is 3 if
    nothing could be measured.
    """
    from coldbench.commands import check as command
    from coldbench.records.drift import fail_if_moved

    request = Request.of(**asked)
    checking = command.check(request, full=full, tables=tables, reference=reference, junit_path=junit_path, style=style)
    # The saved state is removed only after printing, so that a full disk loses nothing.
    with resumable(), checking as checked:
        print_text(checked.text)
        if update:
            command.update(checked)
    if not update:
        fail_if_moved(checked.drifts)


@click.command(cls=SectionCommand)
@click.argument("then", metavar="A.json", type=options.FILE)
@click.argument("now", metavar="B.json", type=options.FILE)
@options.style
def diff(then: Path, now: Path, style: str) -> None:
    """Compare two files of records, number by number.

    The files are compared as check compares a measurement with its references; the exit code is 1 if a number has
    moved.

    \b
    Example:
      coldbench diff results/reference/quick/table-3.json \\
          results/run/table-3.json
    """
    from coldbench.records.drift import compare_records, fail_if_moved
    from coldbench.records.drift_report import render
    from coldbench.records.record import load

    drifts = compare_records(load(then), load(now))
    print_text(render(drifts, f"{then} against {now}", style))
    fail_if_moved(drifts)


@click.command(cls=SectionCommand)
@click.argument("paths", nargs=-1, required=True, metavar="RECORDS.json...", type=options.FILE)
@options.style
@options.intervals
def show(paths: tuple[Path, ...], style: str, intervals: bool) -> None:
    """Print stored records as a table or a comparison.

    \b
    Examples:
      coldbench show results/reference/full/table-1.json
      coldbench show results/reference/full/table-1.json --format latex

    A table in LaTeX is complete and can be included in a document that uses the packages booktabs and adjustbox.
    """
    from coldbench.core.errors import BadInput
    from coldbench.records.comparison import render_stored
    from coldbench.records.formats import RECORDS
    from coldbench.records.record import load

    files = [load(path) for path in paths]
    for path, records in zip(paths, files, strict=True):
        if not records:
            raise BadInput(f"{path} holds no record")
    if style in RECORDS:
        files = [[record for records in files for record in records]]
    print_text("\n".join(render_stored(records, style, intervals=intervals) for records in files))
