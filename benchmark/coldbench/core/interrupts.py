"""Ctrl-C that waits for the end of a step."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from coldbench.core.errors import Interrupted


@contextmanager
def interrupts_deferred(step: str) -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C wait until somebody asks for it, so that nothing is saved half done.

    The second stops at once.

    Args:
        step: what is finished first, for the message.

    Yields:
        Whether Ctrl-C was pressed. Outside of the main thread, which alone gets signals, it never is, nor where the
        process was told to ignore it.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield lambda: False
        return
    pressed: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)
        sys.stderr.write(f"\nstopping after this {step}; Ctrl-C again stops at once\n")

    previous = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def resumable() -> Iterator[None]:
    """Let Ctrl-C tell that nothing is lost.

    Raises:
        Interrupted: in the place of KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted; the same command goes on from here") from error
