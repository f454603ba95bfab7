"""Images at a time: ``auto`` becomes a number before anything is measured, and is stored as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coldbench.commands.plan import plan
from coldbench.commands.request import Request
from coldbench.core.errors import BadInput
from coldbench.diffusion.checkpoints import Restorer
from coldbench.records.record import load
from coldbench.tables.tables import select_rows
from tests.helpers import coldbench

ROW = select_rows("3", ["mnist"])[0]


def planned(**options: Any) -> Any:
    request = Request.of(quiet=True, images=10, **options)
    return plan(ROW, request, request.store())


@pytest.mark.parametrize(("options", "number"), [({}, 64), ({"batch_size": "auto"}, 64), ({"batch_size": 7}, 7)])
def test_the_plan_has_a_number(options: dict[str, Any], number: int) -> None:
    found = planned(**options)
    assert found.batch_size == found.identity()["batch_size"] == number
    assert found.measure.args[0].batch_size == number


def test_a_network_that_takes_more_gets_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where the number is found by trying."""
    monkeypatch.setattr(Restorer, "chunk", property(lambda self: 256, lambda self, value: None), raising=False)
    assert planned().batch_size == 256
    assert planned(batch_size=7).batch_size == 7


@pytest.mark.parametrize("value", [0, -1, "many", "", 2.5, None, True])
def test_what_is_no_batch_size_is_refused(value: object) -> None:
    with pytest.raises(BadInput, match="batch"):
        Request.of(batch_size=value)


@pytest.mark.parametrize("given", [("--batch-size", "auto"), ("--batch-size", "5"), ()])
def test_records_hold_the_number(given: tuple[str, ...], tmp_path: Path) -> None:
    run = ("run", "--table", "3", "--rows", "mnist,celeba", "--methods", "degraded", "--metrics", "RMSE", "--quiet")
    assert coldbench(*run, "--images", "3", *given, "--output", tmp_path).returncode == 0
    stored = {record.conditions.batch_size for record in load(tmp_path / "table-3.json")}
    assert stored == {5 if "5" in given else 64}


def test_another_word_is_refused() -> None:
    done = coldbench("run", "--table", "3", "--batch-size", "all")
    assert done.returncode == 2
    assert "'all' is neither auto nor a whole number" in done.stderr
