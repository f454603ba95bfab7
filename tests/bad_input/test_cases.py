"""Every case of the list ends with its exit code and one clear line; the table in the docs is that list."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coldbench.metrics.features import load_feature_space
from tests.bad_input.__main__ import PAGE, page
from tests.bad_input.case import Case, all_cases
from tests.helpers import coldbench

CASES = [case for cases in all_cases().values() for case in cases]


@pytest.fixture(autouse=True)
def modules_of_the_folder(tmp_path: Path) -> Iterator[None]:
    """What a case imports from its folder does not reach the next."""
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    load_feature_space.cache_clear()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_told_in_one_line(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDBENCH_HOME", str(tmp_path / "home"))
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)
    case.arrange(tmp_path)
    done = coldbench(*case.arguments, cwd=tmp_path)
    assert done.returncode == case.code, done.stderr
    assert "Traceback" not in done.stderr
    telling = [line for line in done.stderr.split("\n") if re.search(case.message, line)]
    assert len(telling) == 1, done.stderr
    if case.code:
        assert telling == done.stderr.removesuffix("\n").split("\n")[-1:], "something else is said after it"


def test_there_are_many_cases_and_none_twice() -> None:
    names = [case.name for case in CASES]
    assert len(names) >= 60
    assert len(set(names)) == len(names)
    assert {case.code for case in CASES} <= {0, 1, 2, 3}


def test_the_table_in_the_docs_is_the_list() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"python -m tests.bad_input > {PAGE.name}"
