"""The ways coldbench gives up, each with the exit code that a script can act on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

#: More of somebody else's message is cut off.
_LONGEST = 500
#: What the libraries say when the memory of the host, or that of a device, does not hold what they were asked for.
_HOST = ("can't allocate memory", "bad_alloc", "bad allocation")
_DEVICE = ("out of memory", "_STATUS_ALLOC_FAILED")


class ColdbenchError(Exception):
    """An error with a one-line message for the user."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


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


def printable(text: str) -> str:
    """The text on one line, whatever is in the names of files: control characters as Python would write them."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def one_line(error: BaseException) -> str:
    """What an error says, without its line breaks, and not all of it if that is long."""
    try:
        said = " ".join(str(error).split())
    except Exception:  # an error of a plug-in's may fail even at this
        return ""
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."


def cause(error: BaseException) -> str:
    """What happened, in the words of whoever raised it."""
    if isinstance(error, SystemExit):
        return f"it left the program, by sys.exit({error.code!r:.40})"
    return f"{type(error).__name__}: {one_line(error) or 'no reason given'}"


def out_of_memory(error: BaseException) -> str:
    """``device`` or ``host`` where an error says that the memory of one was not enough; empty where it does not."""
    if isinstance(error, ColdbenchError):
        return ""
    said = str(error) if isinstance(error, RuntimeError) else ""
    if any(each.__name__ == "OutOfMemoryError" for each in type(error).__mro__) or any(map(said.__contains__, _DEVICE)):
        return "device"
    no_room = isinstance(error, OSError) and error.errno == errno.ENOMEM
    return "host" if no_room or isinstance(error, MemoryError) or any(map(said.__contains__, _HOST)) else ""


@contextmanager
def foreign(what: str) -> Iterator[None]:
    """Somebody else's code: whatever it raises becomes one line that names it, even if it wants to leave the program.

    Ctrl-C passes, and so does what tells that memory was not enough: whoever chose the batch knows better.

    Raises:
        BadInput: from what it raised.
    """
    try:
        yield
    except (ColdbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if out_of_memory(error):
            raise
        raise BadInput(f"{what} failed: {cause(error)}") from error
