"""What is told on stderr: progress and messages; a stderr that cannot be written harms no result."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

from tqdm import tqdm

#: (images done, their total)
Watch = Callable[[int, int], object]
#: A label -> what is told of the progress of the work that it names.
Progress = Callable[[str], Watch]


def tell(message: str) -> None:
    """Write one line to stderr."""
    with suppress(OSError, ValueError, AttributeError):  # full, broken, closed, or not there at all
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()


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
