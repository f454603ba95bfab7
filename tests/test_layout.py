"""The house stays as it was cut: few rooms, few floors, no arrow up, short functions."""

from __future__ import annotations

import statistics

from tests.layout import PACKAGE, floors, function_lengths, rooms, upward


def test_rooms_and_floors() -> None:
    assert len(rooms()) <= 11
    assert len(floors()) <= 7
    assert sorted(room for floor in floors() for room in floor) == rooms()


def test_no_arrow_points_up() -> None:
    assert upward() == set()


def test_functions_are_short() -> None:
    lengths = sorted(function_lengths().values())
    assert statistics.median(lengths) <= 10
    assert lengths[len(lengths) * 9 // 10] <= 30
    assert lengths[-1] <= 80


def test_modules_of_the_command_line_are_short() -> None:
    for path in (PACKAGE / "cli").glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 200, path
