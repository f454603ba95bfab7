"""A cache of arrays, found by what they were computed from: ``$COLDBENCH_HOME/cache``.

An entry is one file, written whole or not at all. It holds what it was computed from, and a hash of its numbers: one
that was damaged, or is of something else, is removed and computed anew. Entries that were used least recently make room
for new ones. Nothing ever depends on the cache: where it cannot be read or written, there is none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from coldbench.core.errors import BadInput
from coldbench.core.files import TEMPORARY, write_atomically
from coldbench.core.paths import exists, home
from coldbench.core.progress import tell
from coldbench.core.rows import block

#: The environment variable that limits the cache, in GiB; 0 for no cache at all.
LIMIT = "COLDBENCH_CACHE_GIB"
_DEFAULT_GIB = 4.0
_NAME = "rows"
#: Rows written at a time.
_BLOCK = 4096


@dataclass(frozen=True)
class Cached:
    """An entry of the cache.

    Attributes:
        path: of its file.
        facts: what it was computed from; empty if the file cannot be read.
        size: in bytes.
        used: when last, in seconds since 1970.
    """

    path: Path
    facts: Mapping[str, Any]
    size: int
    used: float


def folder() -> Path:
    """Where the entries are.

    Raises:
        BadInput: the user's folder cannot be used.
    """
    return home() / "cache"


def limit() -> int:
    """How many bytes the cache may hold.

    Raises:
        BadInput: the variable holds no number of GiB.
    """
    given = os.environ.get(LIMIT, "").strip()
    try:
        gib = float(given) if given else _DEFAULT_GIB
    except ValueError:
        gib = -1.0
    if not 0 <= gib < 1e9:
        raise BadInput(f"{LIMIT} must be a number of GiB, 0 or more, not '{given}'")
    return int(gib * (1 << 30))


@contextmanager
def unused() -> Iterator[None]:
    """Neither find nor keep anything meanwhile, in this process and in those that it starts."""
    given = os.environ.get(LIMIT)
    os.environ[LIMIT] = "0"
    try:
        yield
    finally:
        del os.environ[LIMIT]
        if given is not None:
            os.environ[LIMIT] = given


def find(facts: Mapping[str, Any]) -> np.ndarray | None:
    """The array that was computed from these facts, mapped into memory; None where there is none.

    Args:
        facts: everything that it depends on, fit for JSON.
    """
    path = _present(facts) if limit() else None
    if path is None:
        return None
    try:
        found = _read(path, facts)
        os.utime(path)
    except OSError:  # it cannot be reached, or another command has just removed it
        return None
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        tell(f"{path} is damaged ({error}): it is removed, and its contents are computed anew")
        _remove(path)
        return None
    return found


def _present(facts: Mapping[str, Any]) -> Path | None:
    """The file of an entry, if it is there and can be reached."""
    with suppress(BadInput):
        path = _path(facts)
        return path if exists(path) else None
    return None


def _read(path: Path, facts: Mapping[str, Any]) -> np.ndarray:
    # Mapped by torch's own reader: the numbers stay in the file until they are used.
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        rows: np.ndarray = file.get_tensor(_NAME).numpy()
    if json.loads(metadata["facts"]) != json.loads(json.dumps(facts)):
        raise ValueError("it was computed from something else")
    if hashlib.sha256(rows.data).hexdigest() != metadata["sha256"]:
        raise ValueError("its numbers do not have its hash")
    return rows


def keep(facts: Mapping[str, Any], rows: np.ndarray) -> None:
    """Keep an array, if the cache has room for it; a cache that cannot be written is passed over.

    Args:
        facts: everything that it depends on, fit for JSON.
        rows: float32 (N, d), in C order.
    """
    room = limit() - rows.nbytes
    if room < 0 or _present(facts) is not None:
        return
    try:
        _make_room(room)
        write_atomically(_path(facts), partial(_write, facts, rows))
    except (BadInput, OSError) as error:
        tell(f"nothing is kept in the cache: {error}")


def _write(facts: Mapping[str, Any], rows: np.ndarray, path: Path) -> None:
    """Write the .safetensors format block by block: its own writer would hold all of it in memory, twice."""
    blocks = [(start, min(start + _BLOCK, len(rows))) for start in range(0, len(rows), _BLOCK)]
    digest = hashlib.sha256()
    for part in blocks:
        digest.update(block(rows, *part).data)
    metadata = {"facts": json.dumps(facts), "sha256": digest.hexdigest()}
    tensor = {"dtype": "F32", "shape": rows.shape, "data_offsets": [0, rows.nbytes]}
    header = json.dumps({"__metadata__": metadata, _NAME: tensor}).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for part in blocks:
            stream.write(block(rows, *part).data)


def entries() -> list[Cached]:
    """What the cache holds, the most recently used first."""
    found = []
    with suppress(OSError, BadInput):
        for path in folder().glob("*.safetensors"):
            if path.name.startswith(TEMPORARY):
                continue  # another command is writing it
            with suppress(OSError):
                status = path.stat()
                found.append(Cached(path, _facts(path), status.st_size, status.st_mtime))
    return sorted(found, key=lambda each: -each.used)


def _facts(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="np") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["facts"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return {}
    return facts


def _make_room(room: int) -> None:
    """Remove what was used least recently until no more than ``room`` bytes are held."""
    held = entries()
    total = sum(each.size for each in held)
    for each in reversed(held):
        if total <= room:
            return
        _remove(each.path)
        total -= each.size


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _path(facts: Mapping[str, Any]) -> Path:
    content = json.dumps(facts, sort_keys=True).encode()
    return folder() / f"{hashlib.sha256(content).hexdigest()[:32]}.safetensors"
