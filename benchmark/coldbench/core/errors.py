"""The ways coldbench gives up, each with the exit code that a script can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ColdbenchError(Exception):
    """An error with a one-line message for the user."""

    exit_code = 1


class CheckFailed(ColdbenchError):
    """Numbers are not what they must be."""

    exit_code = 1


class BadInput(ColdbenchError):
    """The request or a file it names is wrong."""

    exit_code = 2


class Missing(ColdbenchError):
    """Something needed is not here; the message names the command that supplies it."""

    exit_code = 3


class Interrupted(ColdbenchError):
    """Ctrl-C, in a command that goes on when it is given again."""

    exit_code = 130


def one_line(error: BaseException) -> str:
    """What an error says, without its line breaks."""
    return " ".join(str(error).split())


@contextmanager
def foreign(what: str) -> Iterator[None]:
    """Somebody else's code: whatever it raises becomes one line that names it.

    Raises:
        BadInput: from what it raised.
    """
    try:
        yield
    except ColdbenchError:
        raise
    except Exception as error:
        raise BadInput(f"{what} failed: {type(error).__name__}: {one_line(error) or 'no reason given'}") from error
