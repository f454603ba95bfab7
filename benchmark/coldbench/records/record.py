"""Records: one measured cell each, with everything needed to trust it and to have it again."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import math
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from coldbench import __version__
from coldbench.core.errors import BadInput
from coldbench.core.files import sha256_of, write_text
from coldbench.core.paths import PACKAGE

SCHEMA_VERSION = 2
METRICS = ("FID", "FD", "SSIM", "RMSE")
DTYPES = ("float32", "bfloat16")
#: Stands for the hash of weights that nobody trained.
RANDOM = "random"
#: What must be the same for two numbers to be comparable.
IDENTITY = ("images", "seed", "protocol", "checkpoint", "checkpoint_sha256", "data_sha256", "features_sha256")
#: (table, checkpoint, method, metric, features): where in the tables a number stands.
Key = tuple[int, str, str, str, str]


@dataclass(frozen=True)
class Cell:
    """One cell of a table, measured or missing.

    Attributes:
        table, dataset, degradation, method, metric: where it stands.
        features: the feature space of a Frechet distance, else empty.
        value: the number; None where missing.
        low, high: its 95 % interval; None where N is too small for one.
        deviation: of the metric from scikit-image's or torch-fidelity's on the run's first 16 images; see
            ``metrics.audit`` for its unit.
        warning: what speaks against trusting the number.
        published: the paper's number in this cell, if it has one, and ``note``, what is wrong with that.
        images, seed, protocol: what was measured.
        checkpoint, checkpoint_sha256: with which network (``RANDOM`` for one that nobody trained); no hash where none
            took part, as in every degraded cell.
        data, data_sha256, features_sha256: on which images, in which feature space.
        device, dtype, batch_size: how it was computed.
        status: ``measured`` or ``missing``; ``reason`` says why, and how to mend it.
        seconds, network_seconds, images_per_second: of the whole row.
        versions, revision: of the software.
    """

    table: int
    dataset: str
    degradation: str
    method: str
    metric: str
    features: str
    value: float | None
    low: float | None
    high: float | None
    deviation: float | None
    warning: str
    published: float | None
    note: str
    images: int | None
    seed: int
    protocol: str
    checkpoint: str
    checkpoint_sha256: str | None
    data: str
    data_sha256: str | None
    features_sha256: str | None
    device: str
    dtype: str
    batch_size: int
    status: str
    reason: str
    seconds: float | None
    network_seconds: float | None
    images_per_second: float | None
    versions: dict[str, str]
    revision: str
    schema_version: int = SCHEMA_VERSION

    @property
    def key(self) -> Key:
        """Where it stands."""
        return self.table, self.checkpoint, self.method, self.metric, self.features

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval, if there is one."""
        return None if self.low is None or self.high is None else (self.low, self.high)


#: What each field may hold.
_TYPES = get_type_hints(Cell)


def metric_name(metric: str, features: str) -> str:
    """As tables print it: a Frechet distance in any space but Inception's carries the name of the space."""
    return f"FD[{features}]" if metric == "FD" else metric


def to_json(cells: Sequence[Cell]) -> str:
    """One array, one object a cell."""
    return json.dumps([dataclasses.asdict(cell) for cell in cells], indent=1, allow_nan=False) + "\n"


def save(cells: Sequence[Cell], path: Path) -> None:
    """Write the cells of one table atomically."""
    write_text(path, to_json(cells))


def load(path: Path) -> list[Cell]:
    """The cells that ``save`` wrote.

    Raises:
        BadInput: no such file, or not of this schema.
    """
    try:
        return [_valid(Cell(**cell)) for cell in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadInput(f"{path} does not hold records of schema {SCHEMA_VERSION}: {error}") from error


def _valid(cell: Cell) -> Cell:
    """The cell; raises ValueError or TypeError if it cannot be one that ``save`` wrote."""
    if cell.schema_version != SCHEMA_VERSION:
        raise ValueError(f"one is of schema {cell.schema_version}")
    for name, hint in _TYPES.items():
        if not _fits(getattr(cell, name), hint):
            raise TypeError(f"{name} is {getattr(cell, name)!r:.40}")
    known = cell.metric in METRICS and cell.dtype in DTYPES and cell.status in ("measured", "missing")
    numbers = [cell.value, cell.low, cell.high, cell.deviation, cell.published]
    if not known or cell.table not in range(1, 6):
        raise ValueError(f"not a record: table {cell.table}, {cell.metric}, {cell.dtype}, {cell.status}")
    if not all(math.isfinite(number) for number in numbers if number is not None):
        raise ValueError("a number is not finite")
    if (cell.value is None) == (cell.status == "measured"):
        raise ValueError(f"a {cell.status} number is {cell.value}")
    return cell


def _fits(value: object, hint: Any) -> bool:
    """Whether a value read from JSON, which writes whole floats as it likes, is of the type that a field declares."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (get_origin(hint) or hint,)
    return type(value) in kinds or (float in kinds and type(value) is int) or (value is None and NoneType in kinds)


def versions() -> dict[str, str]:
    """Of Python and of the libraries that numbers depend on."""
    libraries = ("torch", "torchvision", "torch-fidelity", "scikit-image", "numpy", "scipy", "pillow")
    return {
        "coldbench": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in libraries},
    }


@cache
def code_digest() -> str:
    """SHA-256 of the package's own code: what a state is continued by must be what it was begun by."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


@cache
def revision() -> str:
    """``git describe`` of the package's own checkout, with a ``-dirty`` flag; empty outside one."""
    tracked = _git("ls-files", "--error-unmatch", "__init__.py")
    return _git("describe", "--always", "--dirty", "--abbrev=12") if tracked else ""


def _git(*arguments: str) -> str:
    """What git says in the package's folder; empty where it fails, or is absent."""
    try:
        done = subprocess.run(["git", "-C", str(PACKAGE), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def as_row(cell: Cell) -> dict[str, Any]:
    """The cell as one flat line for CSV."""
    row = dataclasses.asdict(cell)
    row["versions"] = " ".join(f"{name}={version}" for name, version in cell.versions.items())
    return row
