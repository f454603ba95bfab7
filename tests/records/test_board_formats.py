"""Boards as Markdown, CSV, JSON and HTML."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from coldbench.records import BOARD_FORMATS
from coldbench.records.board import Task, board
from coldbench.records.board_formats import render_board
from coldbench.records.record import Record, load
from tests.helpers import EARLIER, edited


@pytest.fixture(scope="module")
def full() -> list[Record]:
    """Tables 3 and 5 at full size, as an earlier release measured them."""
    return [record for number in (3, 5) for record in load(EARLIER / "full" / f"table-{number}.json")]


@pytest.fixture(scope="module")
def tasks(full: list[Record]) -> list[Task]:
    return board({"theirs": full}).tasks


@pytest.mark.parametrize("style", BOARD_FORMATS)
def test_every_format_has_every_number(style: str, tasks: list[Task], full: list[Record]) -> None:
    text = render_board(tasks, style)
    for record in full:
        if record.value is not None:
            precise = style in ("csv", "json")
            assert (repr(record.value) if precise else f"{record.value:.{record.metric.decimals}f}") in text


def test_markdown_marks_the_best_and_those_near_it(tasks: list[Task]) -> None:
    lines = render_board(tasks, "markdown").splitlines()
    rows = {line.split("|")[2].strip(): line for line in lines if line.startswith("| mnist-superres (e7d6bc22ec15)")}
    assert rows["Direct"].count("(best)") == 2
    assert "0.7305 ± 0.0035 (≈ best)" in rows["Sampled"]
    assert "## Superres: 10,000 images of MNIST" in lines
    assert "## Generation: 6,400 images against the MNIST training images" in lines
    assert any("mode area, transform native, seed 0, protocol paper, data 8d422c7b0a1c" in line for line in lines)


def test_a_note_on_a_number_is_marked_and_told(full: list[Record]) -> None:
    noted = [edited(record, warning="too few") for record in full if record.metric.name == "SSIM"]
    text = render_board(board({"a": noted}).tasks, "markdown")
    assert "0.7325 ± 0.0030 (best)*" in text
    model = "mnist-superres (e7d6bc22ec15)"
    assert f"- * {model} direct SSIM, {model} sampled SSIM, no network degraded SSIM: too few" in text


def test_images_of_an_unknown_degradation_are_called_so(full: list[Record]) -> None:
    scored = [edited(record, identity={"degradation": {"name": "unknown", "image_size": 32}}) for record in full[:6]]
    text = render_board(board({"a": scored}).tasks, "markdown")
    assert "## Restoration: 10,000 images of MNIST" in text
    assert "no record says how they were degraded" in text


def test_csv_and_json_are_a_line_a_number(tasks: list[Task], full: list[Record]) -> None:
    rows = json.loads(render_board(tasks, "json"))
    frame = pd.read_csv(io.StringIO(render_board(tasks, "csv")))
    assert list(frame.columns) == list(rows[0])
    measured = [row for row in rows if row["kind"] == "measured here"]
    assert len(measured) == sum(record.measured for record in full)
    assert len(rows) - len(measured) == sum(record.measured and record.published is not None for record in full)
    assert [row["value"] for row in rows] == list(frame["value"])
    assert {row["standing"] for row in measured} == {
        "best",
        "not distinguishable from the best",
        "worse than the best",
    }


class Outline(HTMLParser):
    """The tags of a page, and whether each is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_on_any_screen(tasks: list[Task]) -> None:
    text = render_board(tasks, "html")
    page = Outline(text)
    assert page.open == []
    assert page.tags.count("caption") == page.tags.count("table") == len(tasks)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not {"src", "href"} & page.attributes
    assert not re.search(r"https?:|url\(|@import", text)
    assert 'name="viewport" content="width=device-width' in text
    assert "prefers-color-scheme: dark" in text
    assert "overflow-x: auto" in text
    assert '<td class="number best">0.7325 ± 0.0030 (best)</td>' in text
    assert '<td class="number close">0.7305 ± 0.0035 (≈ best)</td>' in text


def test_names_are_shown_as_they_are_written(full: list[Record]) -> None:
    odd = "<script>|&\n"
    named = [edited(record, identity={"checkpoint": odd}, where={"method": odd}, warning=odd) for record in full]
    tasks = board({odd: named}).tasks
    text = render_board(tasks, "html")
    assert "script" not in Outline(text).tags
    assert "&lt;script&gt;|&amp;\\n" in text
    lines = render_board(tasks, "markdown").splitlines()
    (head, *rows) = [line for line in lines if line.startswith("|") and "---" not in line][:4]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(re.findall(r"(?<!\\)\|", head))}


def test_features_of_two_weights_carry_their_hashes(full: list[Record]) -> None:
    other = [edited(each, identity={"features_sha256": each.identity.features_sha256 and "2" * 64}) for each in full]
    head = next(
        line
        for line in render_board(board({"a": full, "b": other}).tasks, "markdown").splitlines()
        if line.startswith("|")
    )
    assert "FD[mnist-cnn] 3acb05a994d4" in head
    assert f"FD[mnist-cnn] {'2' * 12}" in head
