"""What is told on stderr: progress and messages; a stderr that cannot be written harms no result."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from typing import Any, TextIO, cast

from tqdm import tqdm

from coldbench.core.errors import printable

#: (images done, their total)
Watch = Callable[[int, int], object]
#: A label -> what is told of the progress of the work that it names.
Progress = Callable[[str], Watch]


def tell(message: str) -> None:
    """Write one line to stderr."""
    with suppress(OSError, ValueError, AttributeError):  # full, broken, closed, or not there at all
        sys.stderr.write(f"{printable(message)}\n")
        sys.stderr.flush()


@contextmanager
def forgiving_stderr() -> Iterator[None]:
    """Let nobody fail because stderr is closed, full or a broken pipe: neither progress bars nor warnings nor plug-ins.

    Standard streams that the program was started without lead nowhere then, so that no file that is opened later takes
    the number of one, and with it whatever libraries print.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # it has taken the place of one that was closed
    os.close(descriptor)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        talk = cast(TextIO, _Forgiving(sys.stderr or nowhere))
        with redirect_stderr(talk):
            yield


class _Forgiving:
    """A stream that is led to nowhere as soon as it cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            lead_nowhere(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            lead_nowhere(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def lead_nowhere(stream: TextIO) -> None:
    """Let a stream that cannot be written lead to nowhere, or Python complains once more when it closes it at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def no_progress(label: str) -> Watch:
    """A ``Progress`` that shows nothing."""
    return lambda done, of: None


def progress_bar(label: str, *, quiet: bool) -> Watch:
    """A progress bar for (done, total), which appears with the first call."""
    bars: list[tqdm] = []

    def progress(done: int, of: int) -> None:
        if not bars:
            bars.append(tqdm(total=of, desc=label, unit="img", disable=quiet))
        bars[0].update(done - bars[0].n)
        if done == of:
            bars.pop().close()

    return progress
