"""The output folder of a command: one command at a time, and what a stopped one left behind."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coldbench.errors import BadInput
from coldbench.files import TEMPORARY, write_text


@contextmanager
def claimed(folder: Path, *, fresh: bool = False) -> Iterator[Path]:
    """Have an output folder to oneself.

    Whatever ends the command, the system frees the folder. What a killed one was writing is cleared away; what it had
    saved stays until a command ends well.

    Args:
        folder: made if need be.
        fresh: forget what a stopped command left.

    Yields:
        The folder of saved states.

    Raises:
        BadInput: another command is writing there, or nobody can.
    """
    states = folder / ".resume"
    write_text(states / "README", "What a stopped coldbench command goes on from; delete it to start afresh.\n")
    lock = states / "lock"
    descriptor = _lock(lock, folder)
    try:
        for leftover in folder.rglob(f"{TEMPORARY}*"):
            leftover.unlink()
        for state in states.glob("*.pt") if fresh else ():
            state.unlink()
        yield states
        shutil.rmtree(states)
    finally:
        os.close(descriptor)


def _lock(path: Path, folder: Path) -> int:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise BadInput(
            f"another command is writing to {folder}: wait for it, or choose another folder with --output"
        ) from error
    return descriptor
