"""Ctrl-C, and the SIGTERM of batch systems, that wait for the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from coldbench.core.errors import Interrupted
from coldbench.core.progress import tell


@contextmanager
def interrupts_deferred(step: str) -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C or SIGTERM wait until somebody asks for it, so that nothing is saved half done.

    A second Ctrl-C stops at once. A second SIGTERM does not: ``timeout`` and batch systems send it twice to those who
    are in a group of processes.

    Args:
        step: what is finished first, for the message.

    Yields:
        Whether one of them came. Outside of the main thread, which alone gets signals, none does, nor one that the
        process was told to ignore.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        if came and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not came:
            tell("")  # a progress bar may stand in the line
            tell(f"stopping after this {step}; Ctrl-C again stops at once")
        came.append(number)

    heeded = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, take) for number in heeded}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def resumable() -> Iterator[None]:
    """Let Ctrl-C tell that nothing is lost.

    Raises:
        Interrupted: in the place of KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted; the same command resumes from here") from error
