"""What the tables hold, and what is shown of the paper's numbers."""

from __future__ import annotations

import pytest

from coldbench.core.errors import BadInput
from coldbench.diffusion.catalog import load_entries
from coldbench.evaluation.generation import GENERATORS
from coldbench.tables.tables import TABLES, published_numbers, select_rows


def test_every_row_has_its_registry_entry() -> None:
    entries = load_entries()
    for table in TABLES.values():
        for row in table.rows:
            entry = entries[row.checkpoint]
            assert entry.dataset == row.dataset
            assert row.generates == bool(entry.start)
            if row.generates:
                assert {GENERATORS[method].start for method in row.methods} == {entry.start["name"]}


def test_every_published_number_has_a_cell() -> None:
    for row in select_rows("all"):
        assert {method for method, _ in published_numbers(row)} <= {
            method for other in TABLES[row.table].rows if other.dataset == row.dataset for method in other.methods
        }
    assert {row.dataset for row in select_rows("all") if not published_numbers(row)} == {"mnist"}
    assert [row.table for row in select_rows("all", ["mnist"]) if not published_numbers(row)] == [4, 5, 5]


def test_table_4_keeps_its_swapped_columns_and_says_so() -> None:
    row = next(row for row in TABLES[4].rows if row.dataset == "cifar10")
    published = published_numbers(row)
    assert (published["sampled", "SSIM"].value, published["sampled", "RMSE"].value) == (0.074, 0.838)
    assert "swapped" in published["sampled", "SSIM"].note
    assert published["degraded", "SSIM"].note == ""


def test_selection() -> None:
    assert [row.checkpoint for row in select_rows("5", ["mnist"], ["broken-symmetry"])] == ["mnist-blur-generate"]
    assert [row.table for row in select_rows("all", ["cifar10"], ["direct"])] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("table", "datasets", "methods", "message"),
    [
        ("6", (), (), "known: 1, 2, 3, 4, 5, all"),
        ("1", ("afhq",), (), "Table 1 has no such row: afhq"),
        ("5", ("cifar10",), (), "Table 5 has no such row: cifar10"),
        ("5", (), ("direct",), "unknown method 'direct'"),
        ("all", (), ("smapled",), "did you mean sampled"),
    ],
)
def test_bad_selections(table: str, datasets: tuple[str, ...], methods: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        select_rows(table, datasets, methods)
