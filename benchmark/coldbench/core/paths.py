"""Where things lie: what ships with the package, and what belongs to the user."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(*parts: str) -> Path:
    """A file that travels with coldbench: under the package in a wheel, at the repository's root in a checkout."""
    installed = PACKAGE / "shipped" / Path(*parts)
    return installed if installed.exists() else PACKAGE.parent.parent / Path(*parts)


def home() -> Path:
    """The user's folder for data and trained models: ``$COLDBENCH_HOME``, or ``~/.cache/coldbench``."""
    return Path(os.environ.get("COLDBENCH_HOME") or Path.home() / ".cache" / "coldbench")


def data_folder(given: Path | None = None) -> Path:
    """The folder of the data sets that do not ship: the one given, or that in the user's home."""
    return home() / "data" if given is None else given
