"""What leaves the program: results on stdout, everything else on stderr, and an exit code that a script can act on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

import click

from coldbench.core.errors import BadInput, ColdbenchError, Interrupted, one_line

DEFECT = 70


def print_text(text: str) -> None:
    """Results to stdout; a reader that has gone (head, less) is no error."""
    if sys.stdout is None:  # closed, as by >&-
        return
    try:
        click.echo(text, nl=not text.endswith("\n"))
        sys.stdout.flush()
    except OSError as error:
        # Python would complain once more when it closes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise BadInput(f"cannot write to stdout: {error.strerror}") from error


def run_program(main: Callable[[], object]) -> None:
    """Run the command line; every known failure is one line on stderr and its own exit code."""
    try:
        main()
    except ColdbenchError as error:
        _leave(str(error), error.exit_code)
    except click.UsageError as error:
        error.show()
        sys.exit(BadInput.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _leave("interrupted", Interrupted.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get("COLDBENCH_TRACEBACK"):
            raise
        _leave(
            f"a defect, of coldbench or of a plug-in: {type(error).__name__}: {one_line(error)}; "
            "COLDBENCH_TRACEBACK=1 shows where",
            DEFECT,
        )


def _leave(message: str, code: int) -> NoReturn:
    click.echo(f"coldbench: {message}", err=True)
    sys.exit(code)
