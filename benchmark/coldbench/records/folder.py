"""The output folder of a command: its lock, leftover states of stopped commands, and records that were replaced."""

from __future__ import annotations

import fcntl
import glob
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import TEMPORARY, short_digest, write_atomically
from coldbench.core.paths import exists, is_file, is_folder
from coldbench.core.progress import tell
from coldbench.records.drift import Drift, Status, compare_records
from coldbench.records.record import Identity, Record, load

#: Of a folder, where states are.
STATES = ".resume"
#: The folder for records that have been replaced.
EARLIER = "earlier"
#: What states are called: the state itself, and the features that go with it.
_STATE, _FEATURES = "*.pt", "*.f32"
#: Of taking a lock that its last owner is just removing.
_ATTEMPTS = 1000


class Claim:
    """A folder that one command has to itself.

    Attributes:
        folder: which.
        states: of that, the folder where the command keeps what it needs to go on after it was stopped.
        lock: the file that is there as long as the command has the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.states = folder, folder / STATES
        self.lock = self.states / "lock"
        self._kept: list[Path] = []

    def state(self, name: str) -> Path:
        """Where a state of this name belongs; it is removed when the command ends well."""
        self._kept.append(self.states / name)
        return self._kept[-1]

    def forget(self) -> None:
        """Remove the states that the command asked for, with those of their parts."""
        for path in self._kept:
            for part in (path, *path.parent.glob(f"{glob.escape(path.stem)}.*{path.suffix}")):
                part.unlink(missing_ok=True)


@contextmanager
def claimed(folder: Path, *, fresh: bool = False, alone: bool = True) -> Iterator[Claim]:
    """Have an output folder to oneself.

    Whatever ends the command, the system frees the folder. What a killed one was writing is cleared away; a state stays
    until the command that it is of ends well.

    Args:
        folder: made if need be.
        fresh: forget what stopped commands left.
        alone: whether no other process of this command writes there, and might still say which features belong to
            its state.

    Raises:
        BadInput: another command is writing there, or nobody can.
    """
    claim = Claim(folder)
    descriptor = _lock(claim.lock, folder)
    try:
        for part in (folder, folder / "pictures", folder / EARLIER, claim.states):
            _clear(part, f"{TEMPORARY}*")
        if fresh:
            _clear(claim.states, _STATE)
        _clear_orphans(claim.states)
        yield claim
        claim.forget()
        _clear_orphans(claim.states)
    finally:
        if alone:
            _clear_orphans(claim.states)
        if not any(claim.states.glob(_STATE)):
            claim.lock.unlink(missing_ok=True)
            with suppress(OSError):
                claim.states.rmdir()
        os.close(descriptor)


def _clear(folder: Path, pattern: str) -> None:
    """Remove files that nobody else writes, since the folder is ours."""
    for leftover in folder.glob(pattern):
        if is_file(leftover):
            leftover.unlink()


def _clear_orphans(states: Path) -> None:
    """Remove the features of states that are gone."""
    kept = {path.stem for path in states.glob(_STATE)}
    for path in states.glob(_FEATURES):
        if path.name.removesuffix(path.suffix).rpartition(".")[0] not in kept:
            path.unlink()


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
    raise _in_use(folder) if is_folder(path.parent) else BadInput(f"cannot write {path}: {path.parent} is no folder")


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


def record_files(folder: Path) -> list[Path]:
    """The files of records in a folder; those in folders inside of it, as in ``earlier``, are not among them.

    Raises:
        BadInput: the folder cannot be read.
        Missing: there are none.
    """
    try:
        names = os.listdir(folder) if is_folder(folder) else []
    except OSError as error:
        raise BadInput(f"cannot read {folder}: {error.strerror}") from error
    # A pipe of that name would be waited for.
    paths = sorted(folder / name for name in names if name.endswith(".json") and is_file(folder / name))
    if not paths:
        raise Missing(f"no records *.json in {folder}: coldbench run, evaluate and compare write such files")
    return paths


def read_records(path: Path) -> list[Record]:
    """All records of a folder, or of one file.

    Raises:
        BadInput: a damaged file.
        Missing: a folder without records, or nothing at all.
    """
    files = [path] if is_file(path) else record_files(path)
    return [record for each in files for record in load(each)]


def stored_records(path: Path) -> list[Record]:
    """The records of an output file; a file that holds none is set aside.

    Raises:
        BadInput: it cannot be set aside.
    """
    if not exists(path):
        return []
    try:
        records = load(path)
        compare_records(records, records)
    except BadInput:
        set_aside([path])
        return []
    return records


def renewed(
    stored: Sequence[Record], row: Sequence[Record], place: Callable[[Record], tuple[Any, ...]]
) -> list[Record]:
    """The records of one table with those of one row renewed.

    A missing record does not take the place of a measured one. Records of the row that are not among the new ones stay,
    unless new ones were measured differently: a row is one measurement.

    Args:
        stored: of the table.
        row: of the row.
        place: of a record in the table; records are sorted by it.
    """
    name = row[0].where.row
    others = [record for record in stored if record.where.row != name]
    before = [record for record in stored if record.where.row == name]
    kept = before if _alike(before, row) else []
    found = {record.key: record for record in (*kept, *row)}
    found |= {record.key: record for record in (*kept, *row) if record.measured}
    return sorted([*others, *found.values()], key=place)


def _alike(before: Sequence[Record], now: Sequence[Record]) -> bool:
    """Whether what was measured then and now can stand in one row."""
    records = [record for record in (*before, *now) if record.measured]
    settings = [(*_settings(record.identity), record.conditions.dtype, record.conditions.device) for record in records]
    hashes = {record.identity.checkpoint_sha256 for record in records} - {None}
    spaces = {(record.metric.features, record.identity.features_sha256) for record in records}
    return (
        all(each == settings[0] for each in settings)
        and len(hashes) <= 1
        and len(spaces) == len({features for features, _ in spaces})
    )


def _settings(identity: Identity) -> tuple[object, ...]:
    return (
        identity.images,
        identity.seed,
        identity.protocol,
        identity.transform,
        identity.degradation,
        identity.start,
        identity.data_sha256,
    )


def holds(stored: Sequence[Record], now: Sequence[Record]) -> bool:
    """Whether every stored number is still there, or one that is as good."""
    return all(map(_holds, compare_records(stored, now)))


def _holds(drift: Drift) -> bool:
    return drift.status == Status.NEW or (drift.status == Status.SAME and drift.same_arithmetic)


def set_aside(paths: Sequence[Path]) -> None:
    """Keep copies of files that others are about to take the place of, and say where; absent ones are passed over.

    Raises:
        BadInput: one cannot be read or written.
    """
    for path in filter(exists, paths):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BadInput(f"cannot read {path}: {error.strerror}") from error
        kept = path.parent / EARLIER / f"{path.stem}-{short_digest(content)}{path.suffix}"
        write_atomically(kept, partial(Path.write_bytes, data=content))
        tell(f"{path} is replaced; what it held is kept in {kept}")
