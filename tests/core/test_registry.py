"""Names: lookup, suggestions, whatever the case of their letters, and those that installed packages add."""

from __future__ import annotations

import importlib.metadata
import math
import sys
from pathlib import Path

import pytest

from coldbench.core.errors import BadInput
from coldbench.core.registry import Registry

ROOTS = Registry("root", {"Square": "math:sqrt", "cubic": "math:cbrt"})


def install(monkeypatch: pytest.MonkeyPatch, **entry_points: str) -> None:
    """Let an installed package add these roots."""
    found = [importlib.metadata.EntryPoint(name, value, "coldbench.roots") for name, value in entry_points.items()]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found if group == "coldbench.roots" else [])


def test_a_name_stands_for_an_object() -> None:
    assert ROOTS["Square"] is math.sqrt
    assert list(ROOTS) == ["Square", "cubic"]
    assert "cubic" in ROOTS
    assert "quartic" not in ROOTS
    assert ROOTS.group == "coldbench.roots"


def test_listing_imports_nothing() -> None:
    registry = Registry("toy", {"colors": "turtledemo.clock:main"})
    assert list(registry) == ["colors"]
    assert "turtledemo.clock" not in sys.modules


def test_an_attribute_of_any_module_serves_as_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ROOTS["math:isqrt"] is math.isqrt
    (tmp_path / "roots_of_mine.py").write_text("quartic = 4\n")
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    monkeypatch.chdir(tmp_path)
    assert ROOTS["roots_of_mine:quartic"] == 4


@pytest.mark.parametrize("name", ["Square", "square", "SQUARE"])
def test_the_case_of_letters_does_not_matter_to_a_key(name: str) -> None:
    assert ROOTS.key(name) == "Square"


def test_a_key_of_ones_own_stays_as_it_is() -> None:
    assert ROOTS.key("My_Module:Root") == "My_Module:Root"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sqare", "unknown root 'sqare'; did you mean Square?"),
        ("CUBIK", "unknown root 'CUBIK'; did you mean cubic?"),
        ("xyzzy", "unknown root 'xyzzy'; known: Square, cubic"),
        ("my_root.py", "; an attribute of a module is named my_root:NAME"),
    ],
)
def test_unknown_names_come_with_a_suggestion(name: str, message: str) -> None:
    for ask in (ROOTS.__getitem__, ROOTS.key):
        with pytest.raises(BadInput) as caught:
            ask(name)
        assert message in str(caught.value)


def test_an_empty_registry_says_so_instead_of_listing_nothing() -> None:
    with pytest.raises(BadInput) as caught:
        Registry("root", {})["mine"]
    assert str(caught.value) == "unknown root 'mine'; none is registered, and one of yours is named as module:attribute"
    with pytest.raises(BadInput, match=r"module:attribute; an attribute of a module is named mine:NAME$"):
        Registry("root", {})["mine.py"]


def test_installed_packages_add_names(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, whole="math:isqrt")
    assert ROOTS["whole"](9) == 3
    assert "whole" in list(ROOTS)
    assert ROOTS.key("WHOLE") == "whole"
    assert ROOTS.is_builtin("Square")
    assert not ROOTS.is_builtin("whole")


def test_a_name_is_claimed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, cubic="cmath:sqrt")
    with pytest.raises(BadInput, match="root 'cubic' is claimed by math:cbrt and cmath:sqrt"):
        ROOTS["cubic"]
    install(monkeypatch, cubic="math:cbrt")
    assert ROOTS["cubic"](27) == pytest.approx(3), "the same claim twice is no collision"


@pytest.mark.parametrize("target", ["absent_module:root", "math:absent", "math:"])
def test_plugins_that_do_not_import_are_named(target: str) -> None:
    with pytest.raises(BadInput, match=rf"root 'mine' \({target}\) cannot be loaded: \w+Error: "):
        Registry("root", {"mine": target})["mine"]
    with pytest.raises(BadInput, match=rf"root '{target}' cannot be loaded"):
        ROOTS[target]


def test_a_plugin_may_fail_in_any_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fails_at_import.py").write_text("raise ZeroDivisionError('in\\ntwo lines')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BadInput, match=r"cannot be loaded: ZeroDivisionError: in two lines$"):
        ROOTS["fails_at_import:root"]


def test_a_plugin_may_not_leave_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaves_at_import.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BadInput, match=r"cannot be loaded: it left the program, by sys\.exit\(0\)$"):
        ROOTS["leaves_at_import:root"]


def test_a_module_that_is_absent_is_told_from_one_that_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imports_absent.py").write_text("import absent_part.deep\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BadInput, match=r"no module 'absent_part': imports_absent imports it: install it$"):
        ROOTS["imports_absent:root"]
    for target in ("absent_whole:root", "absent_whole.part:root"):
        with pytest.raises(BadInput, match="no module 'absent_whole': it is neither installed nor in the working dir"):
            ROOTS[target]
