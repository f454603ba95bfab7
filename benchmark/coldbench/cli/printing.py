"""What leaves the program: results on stdout, everything else on stderr, and an exit code that a script can act on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, NoReturn, TextIO, cast

import click

from coldbench.core import processes, vigil
from coldbench.core.errors import BadInput, ColdbenchError, Interrupted, cause
from coldbench.core.progress import forgiving_stderr, lead_nowhere, tell

DEFECT = 70
#: Where results go while a command is at work; empty before and after.
_results: list[TextIO] = []


def print_text(text: str) -> None:
    """Results to stdout, unless it is closed, as by >&-.

    Raises:
        BadInput: stdout cannot be written, as on a full disk. A reader that has gone (head, less) is no error.
    """
    stream = _results[-1] if _results else sys.stdout
    if stream is not None:
        click.echo(text, file=stream, nl=not text.endswith("\n"))


class _Results:
    """A stdout that is led to nowhere as soon as it cannot be written; see ``print_text``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if text != "":  # click tries a stream with nothing, and would hush up that it is full
            with self._heeded():
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._heeded():
            self._stream.flush()

    @contextmanager
    def _heeded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            lead_nowhere(self._stream)
            if not isinstance(error, BrokenPipeError):
                raise BadInput(f"cannot write to stdout: {error.strerror}") from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _results_to(stream: TextIO) -> TextIO:
    return cast(TextIO, _Results(stream))


@contextmanager
def stdout_for_results() -> Iterator[None]:
    """Let only ``print_text`` write to stdout: what plug-ins, libraries and worker processes print goes to stderr."""
    if sys.stdout is None:
        yield
        return
    with _diverted(sys.stdout) as results, redirect_stdout(sys.stderr):
        _results.append(results)
        try:
            yield
        finally:
            _results.pop()


@contextmanager
def _diverted(stdout: TextIO) -> Iterator[TextIO]:
    """The stream that results go to; for the time being, the descriptor of stdout is that of stderr."""
    try:
        is_real = stdout.fileno() == 1
    except (OSError, ValueError):  # a stream in memory
        is_real = False
    if not is_real:
        yield _results_to(stdout)
        return
    with suppress(OSError):
        stdout.flush()
    with open(os.dup(1), "w", encoding=stdout.encoding, errors=stdout.errors) as results:
        os.dup2(2, 1)
        try:
            yield _results_to(results)
        finally:
            os.dup2(results.fileno(), 1)


def run_program(main: Callable[[], object]) -> None:
    """Run the command line; every known failure is one line on stderr and its own exit code."""
    with forgiving_stderr(), redirect_stdout(sys.stdout and _results_to(sys.stdout)):
        _run(main)


def _run(main: Callable[[], object]) -> None:
    try:
        with _silent_unless_first(), vigil.kept():
            main()
    except Interrupted as error:
        _leave(str(error), error.exit_code, own=False)
    except ColdbenchError as error:
        _leave(str(error), error.exit_code)
    except click.UsageError as error:
        _leave(f"{' '.join(error.format_message().split()).rstrip('.')}; see {_path(error)} --help", BadInput.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _leave("interrupted", Interrupted.exit_code, own=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except BaseException as error:
        if os.environ.get("COLDBENCH_TRACEBACK"):
            raise
        _leave_after(error)


@contextmanager
def _silent_unless_first() -> Iterator[None]:
    """Of several processes that are one command, let the first alone print."""
    if processes.launched() == 1 or os.environ["RANK"] == "0":
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _path(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx else "coldbench"


def _leave_after(error: BaseException) -> NoReturn:
    """Leave for a reason that nobody expected."""
    if isinstance(error, SystemExit):
        _leave(f"a plug-in failed: {cause(error)}", BadInput.exit_code)
    _leave(
        f"a defect, of coldbench or of a plug-in: {cause(error)}; COLDBENCH_TRACEBACK=1 shows where", DEFECT, own=False
    )


def _leave(message: str, code: int, *, own: bool = True) -> NoReturn:
    """Say why, and leave; of several processes, one says it."""
    words = vigil.last_words(message, own=own)
    if words:
        tell(f"coldbench: {words}")
    sys.exit(code)
