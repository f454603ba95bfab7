"""Records as tables: which columns there are, and what is said below them."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace

import pytest

from coldbench.records import FORMATS
from coldbench.records.formats import (
    ABSENT,
    INTERVALS,
    method_title,
    render,
    table_notes,
    table_title,
    to_frame,
)
from coldbench.records.record import Published, Record
from tests.helpers import changed, edited


def columns(records: list[Record]) -> list[str]:
    return list(to_frame(records).columns)


def test_published_numbers_stand_beside_ours(records: list[Record]) -> None:
    assert columns(records) == [
        "Dataset", "Method", "FID", "FID (paper)", "FD[mnist-cnn]", "SSIM", "SSIM (paper)", "RMSE", "RMSE (paper)",
    ]  # fmt: skip
    line = to_frame(records).set_index("Method").loc["Sampled"]
    assert (line["SSIM (paper)"], line["FID (paper)"], line["FID"]) == ("0.820", "4.33", ABSENT)


def test_a_table_without_a_caption_is_called_after_what_it_measures(records: list[Record]) -> None:
    (one,) = records[:1]
    assert table_title(one) == "Table 3: Super-resolution"
    bare = replace(one, where=replace(one.where, table="mine", caption=""))
    titles = {name: table_title(replace(bare, request={"command": name})) for name in ("evaluate", "score", "run")}
    assert titles == {"evaluate": "Evaluation of mnist-superres", "score": "Scores of mnist-superres", "run": "mine"}


def test_a_column_of_published_numbers_is_there_only_where_one_is(records: list[Record]) -> None:
    ours = [edited(each, published=None) for each in records]
    assert columns(ours) == ["Dataset", "Method", "FID", "FD[mnist-cnn]", "SSIM", "RMSE"]
    (one,) = changed([each for each in ours if each.metric.name == "SSIM"][:1], "degraded", "SSIM")
    smith = edited(one, published=Published(0.2, "0.20", "", "Smith 2024"))
    assert columns([smith, *ours[4:]])[2:4] == ["SSIM", "SSIM (Smith 2024)"]


def test_a_note_on_a_published_number_is_marked_and_told(records: list[Record]) -> None:
    noted = changed(records, "sampled", "SSIM", published={"note": "as printed"})
    assert to_frame(noted).set_index("Method").loc["Sampled", "SSIM (paper)"] == "0.820*"
    assert "* MNIST, sampled SSIM as printed in the paper: as printed" in table_notes(noted)


@pytest.mark.parametrize(
    ("request_", "told"),
    [({"settings": {"timesteps": 6}}, "timesteps 6"), ({"settings": {}, "transform": "zoom"}, "transform zoom")],
)
def test_a_number_of_a_changed_row_is_marked_beside_the_published_one(
    request_: dict[str, object], told: str, records: list[Record]
) -> None:
    other = [edited(each, request={**each.request, **request_}) for each in records]
    assert to_frame(other).set_index("Method").loc["Sampled", "SSIM (paper)"] == "0.820†"
    assert f"† MNIST was measured with {told}, unlike the published number" in table_notes(other)
    assert not [note for note in table_notes(records) if note.startswith("†")]


def test_why_cells_are_missing_is_said_once(records: list[Record]) -> None:
    missing = [note for note in table_notes(records) if "missing" in note]
    assert missing == [
        "MNIST, degraded FID, sampled FID, direct FID: missing: no Inception weights: coldbench fetch inception"
    ]


def test_intervals_are_printed_when_asked_for(records: list[Record]) -> None:
    assert "±" not in render(records, "markdown")
    text = render(records, "markdown", intervals=True)
    assert INTERVALS in text
    assert " ± " in text


@pytest.mark.parametrize("style", FORMATS)
def test_every_format_has_every_number(style: str, records: list[Record]) -> None:
    text = render(records, style)
    for record in records:
        if record.value is not None and style not in ("json", "csv"):
            assert f"{record.value:.{record.metric.decimals}f}" in text
    if style == "json":
        assert [each["value"] for each in json.loads(text)] == [record.value for record in records]
    if style == "csv":
        assert len(text.splitlines()) == 1 + len(records)


def test_methods_from_outside_keep_their_name() -> None:
    assert (method_title("fixed-noise"), method_title("my_module:Sampler")) == ("Fixed-noise", "my_module:Sampler")


def test_two_rows_of_one_title_are_two_lines(records: list[Record]) -> None:
    other = [replace(record, where=replace(record.where, row="other")) for record in records]
    text = render([*records, *other], "markdown")
    lines = [line for line in text.splitlines() if line.startswith("| MNIST")]
    assert len(lines) == 2 * len({record.where.method for record in records})
    assert any("| MNIST (other)" in line for line in lines)
    assert "- MNIST (other): " in text
    alone = render(other, "markdown")
    assert "(other)" not in alone


#: What means something to one format or the other.
ODD = r"a|b & 1_c <d> \e ^f ~g #h {i} 50 % $j"


def odd(records: list[Record]) -> list[Record]:
    """The records in a row of an odd title and caption, with an odd note."""
    where = {"title": f"{ODD}\nover two lines", "caption": ODD, "note": f"{ODD}\n- no item"}
    return [edited(record, where=where) for record in records]


def test_latex_prints_what_was_written(records: list[Record]) -> None:
    text = render(odd(records), "latex")
    note = next(line for line in text.splitlines() if "no item" in line)
    written = (
        r"a\textbar{}b \& 1\_c \textless{}d\textgreater{} \textbackslash{}e "
        r"\textasciicircum{}f \textasciitilde{}g \#h \{i\} 50 \% \$j"
    )
    assert written in note
    assert text.startswith(f"% Table 3: {ODD}\n% "), "a comment, which ends with its line"
    assert not re.search(r"(?<!\\)[&^~]", note)


def test_html_shows_what_was_written(records: list[Record]) -> None:
    text = render(odd(records), "html")
    shown = html.unescape(re.sub("<[^>]*>", "", text))
    assert f"Table 3: {ODD}\n" in shown
    assert shown.count(ODD) > 3
    assert "<d>" not in text


def test_a_table_in_markdown_keeps_its_columns_and_lines(records: list[Record]) -> None:
    lines = render(odd(records), "markdown").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len({record.where.method for record in records})
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {len(columns(records)) + 1}
    assert all(line.startswith(("|", "- ", "## ")) for line in lines if line)
