"""The stored numbers of CIFAR-10 are those of the networks that ship; for MNIST, ``check`` sees to that."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldbench.commands.request import Request
from coldbench.commands.run import run_table
from coldbench.diffusion.catalog import find_entry
from coldbench.records.record import load

STORED = Path(__file__).parents[2] / "results" / "cifar10"


@pytest.mark.parametrize("table", "1234")
def test_stored_numbers_are_of_the_shipped_weights(table: str) -> None:
    restored = [each for each in load(STORED / f"table-{table}.json") if each.where.method != "degraded"]
    assert {each.where.method for each in restored if each.measured} == {"sampled", "direct"}
    for each in restored:
        assert each.identity.checkpoint_sha256 == find_entry(each.identity.checkpoint).sha256


@pytest.mark.slow
def test_super_resolution_of_cifar10_is_restored_as_it_is_stored(shared: Path, tmp_path: Path) -> None:
    data = f"npz:{shared / 'data' / 'cifar10' / 'test_first1017.npz'}"
    request = Request(methods=("sampled", "direct"), features=("none",), data=data, quiet=True)
    found = [each for each in run_table("3", request, rows=["cifar10"], output=tmp_path) if each.measured]
    assert len(found) == 4
    stored = {(each.where.method, each.metric.name): each for each in load(STORED / "table-3.json")}
    for each in found:
        expected = stored[each.where.method, each.metric.name]
        assert each.value == pytest.approx(expected.value, abs=1e-4)
        assert each.identity.checkpoint_sha256 == expected.identity.checkpoint_sha256
