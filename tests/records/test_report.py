"""The page that a report is: all of the records, safe to open, and readable by everybody."""

from __future__ import annotations

import dataclasses
import itertools
import re
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from coldbench.cli import main
from coldbench.core.errors import printable
from coldbench.core.paths import shipped
from coldbench.records.record import Published, Record, load
from coldbench.records.report.contents import Source, titled_method
from coldbench.records.report.facts import facts_of
from coldbench.records.report.judgement import EXCLUDED, Judgement, judge
from coldbench.records.report.page import render_report
from tests.helpers import changed, edited
from tests.page import Element, assert_stands_alone, parse

FULL = shipped("results", "reference", "full")
COMPARED = shipped("results", "tables", "compare") / "fixed-noise-vs-estimated-noise.json"
SWEPT = shipped("results", "tables", "sweep") / "mnist-blur.json"
#: What somebody might call a model to do harm, or not think of.
HOSTILE = """<script>alert("x")</script>'&amp;"><img src=x onerror=alert(1)> $\\frac{1}$ \x07\n{{ 7 * 7 }} 数字"""


def page_of(*several: Sequence[Record], folder: str = "records") -> str:
    """The page of some files of records."""
    written = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return render_report([Source(folder, f"{number}.json", written, each) for number, each in enumerate(several)])


def all_records() -> list[list[Record]]:
    tables = [load(path) for path in sorted(FULL.glob("*.json"))]
    return [*tables, load(COMPARED), load(SWEPT)]


@pytest.fixture(scope="module")
def text() -> str:
    return page_of(*all_records())


@pytest.fixture(scope="module")
def page(text: str) -> Element:
    return parse(text)


def rows_of(page: Element) -> dict[tuple[str, str, str], Element]:
    """(caption, method, metric) -> the line of the number."""
    found = {}
    for table in page.all("table", "numbers"):
        (caption,) = table.all("caption")
        for body in table.all("tbody"):
            head, *lines = body.all("tr")
            for line in lines:
                (metric,) = line.all("th")
                found[caption.text, head.text, metric.text.split(" ")[0]] = line
    return found


def test_it_needs_nothing_else(text: str) -> None:
    assert_stands_alone(text)
    assert len(text.encode()) < 3_000_000
    assert text.startswith("<!DOCTYPE html>\n")


def test_every_link_outside_of_commands_is_gone(text: str) -> None:
    assert not re.search(r"(?:src|href|action|data)=[\"']?(?:https?:)?//", text)
    assert "http" not in re.sub(r'<meta http-equiv="Content-Security-Policy"', "", text)


def leaves(value: Any) -> list[str]:
    """What a field holds, in the words of the page."""
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list | tuple):
        return [leaf for inner in value for leaf in leaves(inner)]
    if value is None or value == "":
        return []
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def test_it_lacks_nothing_of_the_records(page: Element) -> None:
    """Of each record, its own facts, those of its metric and those of its row hold every value together."""
    articles = page.all("article", "row")
    shown: list[str] = [article.text for article in articles]
    for records in all_records():
        for record in records:
            values = leaves(dataclasses.asdict(record))
            assert any(all(value in text for value in values) for text in shown), record.key


def test_the_facts_of_a_record_are_all_of_it(records: list[Record]) -> None:
    facts = facts_of(records)
    for record, own in zip(records, facts.own, strict=True):
        whole = {
            **{
                name if part == "record" else f"{part}.{name}": value
                for part, shared in facts.shared.items()
                for name, value in shared.items()
            },
            **facts.of_metrics.get(record.metric.label, {}),
            **own,
        }
        expected = leaves({**dataclasses.asdict(record), "interval": None})
        assert sorted(value for name, value in whole.items() if name != "interval") == sorted(expected)
        assert ("interval" in whole) == (record.interval is not None)


def test_every_number_stands_in_a_table_beside_the_published_one(page: Element) -> None:
    lines = rows_of(page)
    records = load(FULL / "table-3.json")
    for record in records:
        caption = f"Table 3: Super-resolution, {record.where.title}"
        line = lines[caption, record.where.method.capitalize(), record.metric.label]
        assert f"{record.metric.better} is better" in line.text
        if record.value is None:
            assert "missing" in line.text
            continue
        assert f"{record.value:.{record.metric.decimals}f}" in line.text
        assert record.interval is not None
        assert " to ".join(f"{end:.{record.metric.decimals}f}" for end in record.interval) in line.text
        assert (record.published.printed if record.published else "not published") in line.text
        if record.published:
            assert f"{record.value - record.published.value:+.{record.metric.decimals}f}" in line.text


def test_every_measured_number_leads_to_what_it_hangs_on(page: Element) -> None:
    places = {each.attributes["id"]: each for each in page.all("section", "one")}
    line = rows_of(page)["Table 3: Super-resolution, MNIST", "Sampled", "SSIM"]
    (link,) = line.all("a")
    (record,) = [
        each
        for each in load(FULL / "table-3.json")
        if (each.where.method, each.metric.name, each.where.row) == ("sampled", "SSIM", "mnist")
    ]
    assert repr(record.value) in places[link.attributes["href"].removeprefix("#")].text
    assert len([line for line in rows_of(page).values() if line.all("a")]) == sum(map(len, all_records()))


def coloured(element: Element) -> set[str]:
    return {each for part in (element, *element.all()) for each in part.classes} & set(EXCLUDED)


@pytest.mark.parametrize(
    ("published", "better", "word"),
    [
        (0.5, "higher", "agrees"),
        (0.4, "higher", "agrees"),
        (0.39, "higher", "better"),
        (0.61, "higher", "worse"),
        (0.39, "lower", "worse"),
        (0.61, "lower", "better"),
    ],
)
def test_only_an_interval_that_excludes_the_published_number_is_coloured(
    published: float, better: str, word: str, records: list[Record]
) -> None:
    values: dict[str, Any] = {"value": 0.5, "interval": (0.4, 0.6), "metric": {"better": better}}
    values |= {"published": Published(published, str(published), "", "paper")}
    (record,) = [each for each in records if (each.where.method, each.metric.label) == ("sampled", "SSIM")]
    made = edited(record, **values)
    assert judge(made) == word
    line = rows_of(parse(page_of([made])))["Table 3: Super-resolution, MNIST", "Sampled", "SSIM"]
    assert word in line.text.split()
    assert coloured(line) == ({word} if word != "agrees" else set())


@pytest.mark.parametrize(
    ("values", "judgement"),
    [
        ({"published": None}, Judgement.UNPUBLISHED),
        ({"interval": None}, Judgement.NO_INTERVAL),
        ({"request": {"settings": {"timesteps": 2}}}, Judgement.OTHER_SETTINGS),
        ({"status": "missing", "value": None, "interval": None}, Judgement.MISSING),
    ],
)
def test_what_cannot_be_judged_is_not_coloured(
    values: dict[str, Any], judgement: Judgement, records: list[Record]
) -> None:
    (record,) = [each for each in records if (each.where.method, each.metric.label) == ("sampled", "SSIM")]
    made = edited(record, **values)
    assert judge(made) == judgement
    page = parse(page_of([made]))
    assert not any(map(coloured, page.all("table", "numbers")))
    if judgement == Judgement.UNPUBLISHED:
        assert "None of these numbers is published" in page.text


@pytest.mark.parametrize(("method", "note"), [("degraded", ""), ("sampled", "misprint")])
def test_degraded_images_and_doubtful_numbers_are_neither_better_nor_worse(
    method: str, note: str, records: list[Record]
) -> None:
    found = [each for each in records if (each.where.method, each.metric.label) == (method, "SSIM")]
    made = edited(found[0], published=Published(0.999, "0.999", note, "paper"))
    assert judge(made) == Judgement.DIFFERS


def test_what_is_missing_is_listed_with_its_command(page: Element) -> None:
    (table,) = page.all("table", "absences")
    lines = {each.attributes["id"]: each for each in table.all("tr") if "id" in each.attributes}
    missing = [record for records in all_records() for record in records if not record.measured]
    for record in missing:
        assert any(record.reason in line.text and record.where.title in line.text for line in lines.values())
    assert {each.text for each in table.all("code")} == {"coldbench fetch inception"}
    links = [link for line in rows_of(page).values() for link in line.all("a", "gone")]
    assert len(links) == len(missing)
    assert {link.attributes["href"].removeprefix("#") for link in links} == set(lines)


def test_a_row_without_any_number_says_why_and_what_is_published() -> None:
    """As of a data set that is not at hand."""
    absent = [
        edited(record, status="missing", value=None, interval=None, reason="no data: coldbench fetch mnist says how")
        for record in load(FULL / "table-1.json")
    ]
    page = parse(page_of(absent))
    (article,) = page.all("article", "absent")
    assert "Not measured: no data: coldbench fetch mnist says how" in article.text
    assert article.all("code")[0].text == "coldbench fetch mnist"
    for record in absent:
        if record.published:
            assert record.published.printed in article.text
    assert "there is nothing to plot" in page.text


def test_everything_is_escaped(records: list[Record]) -> None:
    named = [
        edited(
            record,
            where={"row": HOSTILE, "title": HOSTILE, "caption": HOSTILE, "note": HOSTILE, "table": HOSTILE},
            identity={"checkpoint": HOSTILE, "data": HOSTILE},
            warning=HOSTILE,
            published=record.published and dataclasses.replace(record.published, note=HOSTILE, source=HOSTILE),
        )
        for record in records
    ]
    method = HOSTILE.replace("\n", "")
    swept = [edited(each, where={"method": f"{method}@{n}"}) for n in (1, 2) for each in named if each.measured]
    text = page_of(named, swept, folder=HOSTILE)
    assert_stands_alone(text)
    page = parse(text)
    assert printable(HOSTILE) in page.text
    assert any(" against the number of steps" in each.attributes["aria-label"] for each in page.all("svg"))
    assert not [each for each in page.all("img") if "src" in each.attributes]
    assert "49" not in page.all("h1")[0].text


def test_the_page_is_for_everybody(page: Element) -> None:
    (html,) = page.all("html")
    assert html.attributes["lang"] == "en"
    assert page.all("title")[0].text == "coldbench report: records"
    assert all(each.attributes.get("alt") for each in page.all("img"))
    assert all(each.attributes.get("aria-label") for each in page.all("svg"))
    for table in page.all("table"):
        assert len(table.all("caption")) == 1
        assert {each.attributes.get("scope") for each in table.all("th")} <= {"col", "row", "rowgroup"}
    skip = page.all("a")[0]
    assert skip.attributes["href"] == "#contents"
    headings = [int(each.tag[1]) for each in page.all() if re.fullmatch("h[1-6]", each.tag)]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))


def test_the_page_follows_the_reader_s_screen_and_paper(text: str) -> None:
    (style,) = parse(text).all("style")
    for rule in ("prefers-color-scheme: dark", "@media print", "max-width: 40rem", "details-content"):
        assert rule in style.text
    assert 'content="width=device-width, initial-scale=1"' in text


def test_the_same_records_give_the_same_page(text: str) -> None:
    assert page_of(*all_records()) == text


def test_the_heading_says_what_when_and_where(page: Element) -> None:
    (summary,) = page.all("dl", "summary")
    measured = [record for records in all_records() for record in records if record.measured]
    assert f"{len(measured)} measured" in summary.text
    for words in ("10,000", "float32 on cpu", "coldbench 0.1.0", "2026-01-02 03:04 UTC"):
        assert words in summary.text


def test_the_forest_plot_has_a_line_a_compared_number(page: Element) -> None:
    compared = [r for each in all_records() for r in each if r.measured and r.published and r.metric.label == "SSIM"]
    (plot,) = [each for each in page.all("svg") if each.attributes["aria-label"].startswith("SSIM, ours minus")]
    assert compared
    for record in compared:
        assert record.published
        label = f"Table {record.where.table} MNIST, {record.where.method.capitalize()}"
        label += "*" if record.published.note else ""
        assert label in plot.text
        assert (
            f"{label} {record.value - record.published.value:+.4f} ({judge(record)})"
            in (  # type: ignore[operator]
                plot.attributes["aria-label"]
            )
        )


def test_hot_and_cold_stand_under_a_caution(page: Element) -> None:
    (section,) = [each for each in page.all("section") if each.attributes.get("id") == "hot-and-cold"]
    assert "trained differently" in section.all("p", "caution")[0].text
    assert "hot on mnist-noise, cold on mnist-blur-generate" in section.text
    (plot,) = section.all("svg")
    for label in ("Hot: Fixed-noise", "Hot: Estimated-noise", "Cold: Perfect-symmetry", "Cold: Broken-symmetry"):
        assert label in plot.text


def test_a_sweep_has_its_curves_and_a_comparison_its_differences(page: Element) -> None:
    labels = [each.attributes["aria-label"] for each in page.all("svg")]
    assert any(label.startswith("SSIM against the number of steps") for label in labels)
    (record,) = [each for each in load(COMPARED) if each.differences]
    assert f"{record.differences[0].value:+.2f}" in page.text
    assert record.differences[0].verdict in page.text


def test_a_comparison_alone_has_no_counts_of_tables() -> None:
    page = parse(page_of(load(COMPARED)))
    assert page.all("table", "counts") == []
    assert "there is nothing to plot" in page.text


def test_methods_have_titles_and_models_keep_their_names(records: list[Record]) -> None:
    titles = {
        name: titled_method(edited(records[0], where=dataclasses.replace(records[0].where, method=name)))
        for name in ("degraded", "sampled@1", records[0].identity.checkpoint)
    }
    assert list(titles.values()) == ["Degraded", "Sampled, 1 step", records[0].identity.checkpoint]
    assert records[0].identity.checkpoint.islower()


def test_what_the_folder_lacks_is_named_with_a_command_that_exists(records: list[Record]) -> None:
    page = parse(page_of(records, folder="my records"))
    commands = {each.text for each in page.all("code") if each.text.endswith("--output 'my records'")}
    assert {shlex.split(each)[1] for each in commands} == {"sweep", "compare", "run"}
    for each in commands:
        _, name, *arguments = shlex.split(each)
        if "--trajectory" not in arguments:
            main.commands[name].make_context(name, list(arguments))


def test_two_tables_of_one_name_are_told_apart(records: list[Record]) -> None:
    titles = [each.text for each in parse(page_of(records, changed(records, "sampled", "SSIM", value=0.5))).all("h2")]
    assert {f"Table 3: Super-resolution (records/{number}.json)" for number in (0, 1)} <= set(titles)
