"""What a comparison says beside its numbers, rendered from its records."""

from __future__ import annotations

import html
from pathlib import Path

import pytest

from coldbench.records.comparison import render_comparison
from coldbench.records.record import Record, load
from tests.helpers import edited

COMPARISONS = Path(__file__).parents[2] / "results" / "tables" / "compare"
CAUTION = (
    "The methods were measured with different networks (fixed-noise with mnist-noise; estimated-noise with "
    "another-network). A difference between them compares the training of these networks as much as the methods"
)


def stored() -> list[Record]:
    return load(COMPARISONS / "fixed-noise-vs-estimated-noise.json")


def apart(records: list[Record], method: str, network: str) -> list[Record]:
    """The records, those of one method measured with another network."""
    return [edited(each, identity={"checkpoint": network}) if each.where.method == method else each for each in records]


@pytest.mark.parametrize("style", ["markdown", "latex", "html"])
def test_methods_of_different_networks_carry_a_caution(style: str) -> None:
    assert "different networks" not in render_comparison(stored(), style)
    text = html.unescape(render_comparison(apart(stored(), "estimated-noise", "another-network"), style))
    assert text.count(CAUTION) == 1


def test_restorers_which_are_networks_carry_none() -> None:
    records = apart(apart(stored(), "fixed-noise", "a"), "estimated-noise", "b")
    names = {"fixed-noise": "a", "estimated-noise": "b"}
    named = [edited(each, where={"method": names[each.where.method]}) for each in records]
    assert "different networks" not in render_comparison(named, "markdown")


@pytest.mark.parametrize("path", sorted(COMPARISONS.glob("*.json")), ids=lambda path: path.stem)
def test_stored_comparisons_are_rendered_from_their_records(path: Path) -> None:
    assert render_comparison(load(path), "markdown") == path.with_suffix(".md").read_text(encoding="utf-8")
