"""One kind of registry for everything that has a name: lazy, extensible by installed packages, clear about mistakes.

A name stands for ``module:attribute`` until somebody asks for it, so that listing names costs no import. Installed
packages add names by entry points. Wherever a name is asked for, ``module:attribute`` itself will do.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from coldbench.core.errors import BadInput, cause


class Registry:
    """A mapping from names to lazily imported objects.

    Args:
        kind: what the names stand for, in the singular, for messages; its plural names the entry-point group.
        builtin: name -> ``module:attribute``.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = f"coldbench.{kind.replace(' ', '_')}s"
        self._builtin = dict(builtin)

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets())

    def __contains__(self, name: object) -> bool:
        return name in self._targets()

    def __getitem__(self, name: str) -> Any:
        """The object behind ``name``, or behind ``module:attribute``.

        Raises:
            BadInput: an unknown name (with the nearest known ones), or a plug-in that cannot be imported.
        """
        targets = self._targets()
        if name in targets:
            return _imported(targets[name], f"{self.kind} '{name}' ({targets[name]})")
        if ":" not in name:
            raise BadInput(f"unknown {self.kind} '{name}'{did_you_mean(name, targets)}{module_hint(name)}")
        if "" not in sys.path:
            sys.path.insert(0, "")  # modules of the working directory are found, as ``python -m`` finds them
        return _imported(name, f"{self.kind} '{name}'")

    def key(self, name: str) -> str:
        """The name as it is registered, whatever the case of its letters; ``module:attribute`` stays as it is.

        Raises:
            BadInput: an unknown name.
        """
        known = {each.lower(): each for each in self}
        if ":" not in name and name.lower() not in known:
            raise BadInput(f"unknown {self.kind} '{name}'{did_you_mean(name, known.values())}{module_hint(name)}")
        return known.get(name.lower(), name)

    def is_builtin(self, name: str) -> bool:
        """Whether the name is coldbench's own."""
        return name in self._builtin

    def _targets(self) -> dict[str, str]:
        targets = dict(self._builtin)
        for plugin in importlib.metadata.entry_points(group=self.group):
            if targets.get(plugin.name, plugin.value) != plugin.value:
                raise BadInput(f"{self.kind} '{plugin.name}' is claimed by {targets[plugin.name]} and {plugin.value}")
            targets[plugin.name] = plugin.value
        return targets


def _imported(target: str, what: str) -> Any:
    """The attribute of a module that ``target`` names; a plug-in is somebody else's code, and may fail in any way."""
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise BadInput(f"{what} cannot be loaded: {_why(error, module)}") from error


def _why(error: BaseException, module: str) -> str:
    """Why a module cannot be imported; of one that is absent, whether it is this one or one that it imports."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return cause(error)
    absent = error.name == module or module.startswith(f"{error.name}.")
    hint = "it is neither installed nor in the working directory" if absent else f"{module} imports it: install it"
    return f"{type(error).__name__}: no module '{error.name}': {hint}"


def module_hint(name: str) -> str:
    """How an attribute of a module is named, for somebody who named the module's file."""
    return f"; an attribute of a module is named {name.removesuffix('.py')}:NAME" if name.endswith(".py") else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The tail of an error message: the closest known names, or all of them."""
    names = sorted(known)
    if not names:
        return "; none is registered, and one of yours is named as module:attribute"
    by_lower_case = {each.lower(): each for each in names}
    close = [by_lower_case[each] for each in difflib.get_close_matches(name.lower(), by_lower_case, n=3, cutoff=0.5)]
    return f"; did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(names)}"
