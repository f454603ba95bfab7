"""Packages that only some features need, and that come with an extra of coldbench."""

from __future__ import annotations

import importlib.util

from coldbench.core.errors import Missing


def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def require(whatever_needs: str, *packages: str, extra: str, instead: str = "") -> None:
    """Do nothing where all packages are installed.

    Args:
        whatever_needs: the beginning of a sentence that ends with the packages, such as ``a report needs``.
        packages: by the names that they are imported by.
        extra: of coldbench, which brings them.
        instead: what the user could do without them.

    Raises:
        Missing: some are not installed; the message names the command that installs them.
    """
    gone = [package for package in packages if not installed(package)]
    if gone:
        raise Missing(f"{whatever_needs} {' and '.join(gone)}: pip install 'coldbench[{extra}]'{instead}")
