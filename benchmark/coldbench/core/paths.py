"""Where things lie: what ships with the package, and what belongs to the user; and what is at a path, if anything."""

from __future__ import annotations

import os
import stat
from functools import cache
from pathlib import Path

from coldbench.core.errors import BadInput

PACKAGE = Path(__file__).resolve().parents[1]
#: The environment variable that names the user's folder.
HOME = "COLDBENCH_HOME"


def shipped(*parts: str) -> Path:
    """A file that travels with coldbench: under the package in a wheel, at the repository's root in a checkout."""
    installed = PACKAGE / "shipped" / Path(*parts)
    return installed if installed.exists() else PACKAGE.parent.parent / Path(*parts)


def home() -> Path:
    """The user's folder for data and trained models: ``$COLDBENCH_HOME``, or ``~/.cache/coldbench``.

    It need not be there yet. ``~`` stands for the home of a user, whoever wrote it.

    Raises:
        BadInput: nothing can be there; names the variable.
    """
    given = os.environ.get(HOME, "")
    try:
        path = Path(given).expanduser() if given else Path.home() / ".cache" / "coldbench"
        folder = status(path)
    except RuntimeError as error:  # no HOME, and a user that the system does not know
        where = given or "~/.cache/coldbench"
        raise BadInput(f"{where} names nobody's home folder: set {HOME} to a folder for data and models") from error
    except BadInput as error:
        raise BadInput(f"{error}: set {HOME} to another folder for data and models") from error
    if folder is not None and not (stat.S_ISDIR(folder.st_mode) and os.access(path, os.R_OK | os.X_OK)):
        reason = "Permission denied" if stat.S_ISDIR(folder.st_mode) else "it is no folder"
        raise BadInput(f"cannot look into {path} ({reason}): set {HOME} to another folder for data and models")
    return path


def writable_home() -> Path:
    """The user's folder, made if need be: whatever takes long and ends with a file there asks for it first.

    Raises:
        BadInput: nothing can be written there; names the variable.
    """
    path = home()
    try:
        path.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(path, os.W_OK) else "Permission denied"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise BadInput(f"cannot write to {path} ({reason}): set {HOME} to another folder for data and models")
    return path


def at_home(*parts: str) -> Path | None:
    """A file in the user's folder, if there is one; None also where the folder cannot be used, which is said once.

    Raises:
        BadInput: the folder can be used, and yet nobody can tell whether the file is there.
    """
    try:
        path = home().joinpath(*parts)
    except BadInput as error:
        _tell_once(f"{error}; until then there is only what ships with coldbench")
        return None
    return path if exists(path) else None


@cache
def _tell_once(message: str) -> None:
    from coldbench.core.progress import tell

    tell(message)


def data_folder(given: Path | str | None = None) -> Path:
    """The folder of the data sets that do not ship: the one given, or that in the user's home.

    Where that cannot be used it is ``$COLDBENCH_HOME/data`` by name, which is nowhere: no data set is found there.
    """
    if given is not None:
        return Path(given)
    try:
        return home() / "data"
    except BadInput:
        return Path(f"${HOME}", "data")


def expanded(path: str) -> Path:
    """The path, with a user's home for ``~``, which shells leave alone behind a colon."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # nobody's home
        return Path(path)


def status(path: Path) -> os.stat_result | None:
    """What the system says of a path, links followed; None where nothing is.

    Raises:
        BadInput: nobody can tell, for want of a permission, or since no file can have such a name.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot look at {path} ({getattr(error, 'strerror', None) or error})") from error


def exists(path: Path) -> bool:
    """Whether there is something at a path; raises as ``status`` does."""
    return status(path) is not None


def is_folder(path: Path) -> bool:
    """Whether there is a folder at a path; raises as ``status`` does."""
    found = status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def is_file(path: Path) -> bool:
    """Whether there is a regular file at a path, no pipe and no device; raises as ``status`` does."""
    found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode)
