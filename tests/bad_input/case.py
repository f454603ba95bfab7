"""A case of bad input: what lies in a folder, the command given there, and how it must end."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import tests.bad_input


@dataclass(frozen=True)
class Case:
    """One command that meets bad input.

    Attributes:
        name: what is bad, as the table in the docs says it.
        arrange: makes the files in an empty folder.
        arguments: of the command line, which is run in that folder with ``COLDBENCH_HOME`` at its subfolder ``home``.
        code: the exit code.
        message: a regular expression of the one line on stderr that tells.
        environment: variables besides.
    """

    name: str
    arrange: Callable[[Path], object]
    arguments: tuple[str, ...]
    code: int
    message: str
    environment: Mapping[str, str] = field(default_factory=dict)


def nothing(folder: Path) -> None:
    """Arrange nothing: the command alone is bad."""


def all_cases() -> dict[str, tuple[Case, ...]]:
    """The title of each list -> its cases: those of the modules ``cases_...`` beside this one."""
    names = sorted(each.name for each in pkgutil.iter_modules(tests.bad_input.__path__))
    modules = [importlib.import_module(f"tests.bad_input.{name}") for name in names if name.startswith("cases_")]
    return {(module.__doc__ or "").strip().partition(".")[0]: module.CASES for module in modules}
