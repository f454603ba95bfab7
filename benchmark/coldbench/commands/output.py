"""The output folder of a command: one command at a time, and what a stopped one left behind."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from coldbench.core.errors import BadInput
from coldbench.core.files import TEMPORARY, short_digest
from coldbench.evaluation.resume import Keeper

#: Of a folder, where states are.
STATES = ".resume"
#: Where records go that others take the place of.
EARLIER = "earlier"
#: Parts of an identity that change from one version to the next: its states take the place of the last one's.
_SOFTWARE = frozenset({"versions", "code"})
#: Of taking a lock that its last owner is just removing.
_ATTEMPTS = 1000


class States:
    """The saved states of one command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keepers: list[Keeper] = []

    def keeper(self, stem: str, identity: Mapping[str, Any]) -> Keeper:
        """Of one measurement. Another request is another file: it neither finds nor overwrites this one's."""
        request = {key: value for key, value in identity.items() if key not in _SOFTWARE}
        name = f"{stem}-{short_digest(json.dumps(request, sort_keys=True))}.pt"
        self.keepers.append(Keeper(self.folder / name, identity))
        return self.keepers[-1]


@contextmanager
def claimed(folder: Path, *, fresh: bool = False) -> Iterator[States]:
    """Have an output folder to oneself.

    Whatever ends the command, the system frees the folder. What a killed one was writing is cleared away; a state stays
    until the command that it is of ends well.

    Args:
        folder: made if need be.
        fresh: forget what stopped commands left.

    Raises:
        BadInput: another command is writing there, or nobody can.
    """
    states = States(folder / STATES)
    lock = states.folder / "lock"
    descriptor = _lock(lock, folder)
    try:
        for part in (folder, folder / "pictures", folder / EARLIER, states.folder):
            _clear(part, f"{TEMPORARY}*")
        if fresh:
            _clear(states.folder, "*.pt")
        yield states
        for keeper in states.keepers:
            keeper.path.unlink(missing_ok=True)
    finally:
        if not any(states.folder.glob("*.pt")):
            lock.unlink(missing_ok=True)
            with suppress(OSError):
                states.folder.rmdir()
        os.close(descriptor)


def _clear(folder: Path, pattern: str) -> None:
    """Remove files that nobody else writes, since the folder is ours."""
    for leftover in folder.glob(pattern):
        if leftover.is_file():
            leftover.unlink()


def _lock(path: Path, folder: Path) -> int:
    """A descriptor that holds the lock until it is closed."""
    for _ in range(_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        except (FileNotFoundError, FileExistsError):
            continue  # the command before us was just tidying up
        except OSError as error:
            raise BadInput(f"cannot write {path}: {error.strerror}") from error
        with suppress(FileNotFoundError):
            if _has(descriptor, path):
                return descriptor
        os.close(descriptor)
    raise _in_use(folder) if path.parent.is_dir() else BadInput(f"cannot write {path}: {path.parent} is no folder")


def _has(descriptor: int, path: Path) -> bool:
    """Whether the lock was free, and is still the file at ``path``: the command before us may have removed it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise _in_use(path.parent.parent) from error
    return os.path.samestat(os.fstat(descriptor), path.stat())


def _in_use(folder: Path) -> BadInput:
    return BadInput(f"another command is writing to {folder}: wait for it, or let this one write elsewhere")
