"""Rows of numbers in a file that grows: appended as they come, read back without being held in memory."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from coldbench.core.errors import BadInput

_BLOCK = 1 << 22


class RowFile:
    """float32 rows of one length, one after the other in a file, little-endian, without a header.

    What the file holds beyond ``state`` was written after it, by a command that was stopped; ``restore`` cuts it off.

    Args:
        path: of the file; emptied, unless ``restore`` is called before the first row is appended.

    Attributes:
        count: rows.
        columns: their length; 0 before the first.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.count, self.columns = path, 0, 0
        self._digest = hashlib.sha256()
        self._began = False

    def append(self, rows: np.ndarray) -> None:
        """Add rows (B, d).

        Raises:
            BadInput: they are of another length than those before, or the file cannot be written.
        """
        if self.columns not in (0, rows.shape[1]):
            raise BadInput(f"rows of {rows.shape[1]} numbers follow rows of {self.columns}")
        content = np.ascontiguousarray(rows, dtype="<f4").tobytes()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab" if self._began else "wb") as stream:
                stream.write(content)
        except OSError as error:
            raise BadInput(f"cannot write {self.path}: {error.strerror or error}") from error
        self._began = True
        self._digest.update(content)
        self.count += len(rows)
        self.columns = rows.shape[1]

    def extend(self, other: RowFile) -> None:
        """Add the rows of another file.

        Raises:
            BadInput: see ``append``; or the other file is gone.
        """
        rows = other.array()
        step = max(1, _BLOCK // max(1, other.columns))
        for start in range(0, len(rows), step):
            self.append(block(rows, start, start + step))

    def array(self) -> np.ndarray:
        """All rows (N, d), read from the file where they are needed.

        Raises:
            BadInput: the file is gone or shorter.
        """
        if not self.count:
            return np.zeros((0, self.columns), dtype="<f4")
        try:
            return np.memmap(self.path, dtype="<f4", mode="r", shape=(self.count, self.columns))
        except (OSError, ValueError) as error:
            raise BadInput(f"cannot read {self.path}: {error}") from error

    def state(self) -> dict[str, Any]:
        """What ``restore`` takes up."""
        return {"count": self.count, "columns": self.columns, "sha256": self._digest.hexdigest()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on behind the rows that ``state`` tells of.

        Raises:
            OSError, ValueError: the file is gone, or holds other rows.
        """
        size = 4 * state["count"] * state["columns"]
        digest = hashlib.sha256()
        if size:
            with self.path.open("r+b") as stream:
                for start in range(0, size, _BLOCK):
                    digest.update(stream.read(min(_BLOCK, size - start)))
                stream.truncate(size)
        if digest.hexdigest() != state["sha256"]:
            raise ValueError(f"{self.path} holds other rows than those that were saved")
        self.count, self.columns = state["count"], state["columns"]
        self._digest, self._began = digest, size > 0


def block(rows: np.ndarray, start: int, stop: int) -> np.ndarray:
    """A copy of some rows (stop - start, d).

    Of rows that are mapped from a file, the memory that looking at them takes is given back at once: else it would
    grow with their number.

    Args:
        rows: float32 (n, d).
        start, stop: of the rows.
    """
    copy = np.array(rows[start:stop])
    mapped = rows.base
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
    return copy
