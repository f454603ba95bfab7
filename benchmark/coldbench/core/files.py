"""Files that are either there whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from coldbench.core.errors import BadInput
from coldbench.core.paths import exists, is_file, is_folder
from coldbench.core.progress import tell

#: How the names of unfinished files begin.
TEMPORARY = ".coldbench-"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path`` and rename it into place.

    An earlier ``path`` stays as it was until then; a link stays, and leads to the new file. What ``write`` raises is
    its own affair, unless it is the system's.

    Raises:
        BadInput: the folder cannot be written, the disk is full, or there is something else than a file at ``path``.
    """
    if exists(path) and not is_file(path):  # root would replace a device by a file
        raise BadInput(f"cannot write {path}: {'Is a directory' if is_folder(path) else 'it is no regular file'}")
    target = path.resolve()
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=TEMPORARY, suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        temporary.chmod(0o644)
        temporary.replace(target)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; see ``write_atomically``."""
    write_atomically(path, lambda temporary: temporary.write_bytes(text.encode()))


@contextmanager
def locked(path: Path, waiting: str = "") -> Iterator[None]:
    """Have to oneself what a lock file stands for; whoever comes later waits.

    Whatever ends the process, the system frees the lock; the file is removed by whoever had it and ended well.

    Args:
        path: of the lock file; its folder is made if need be.
        waiting: told on stderr before a wait.

    Raises:
        BadInput: the file cannot be written, or not be locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(path, waiting)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror or error}") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is still ours
        os.close(descriptor)


def _lock(path: Path, waiting: str) -> int:
    """A descriptor that holds the lock until it is closed."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                tell(waiting)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):  # whoever had it before us has just removed it: that lock is nobody's
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        BadInput: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error


def short_digest(content: str | bytes) -> str:
    """The first digits of its SHA-256, for the name of a file."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:12]
