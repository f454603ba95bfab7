"""Tables as LaTeX: complete, aligned, without empty columns, and accepted by a TeX where one is at hand."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from coldbench.records.comparison import render_comparison, render_stored
from coldbench.records.formats import render
from coldbench.records.latex import print_latex
from coldbench.records.record import Record, load
from tests.helpers import edited

RESULTS = Path(__file__).parents[2] / "results"
ODD = r"[a]|b & 1_c <d> \e ^f ~g #h {i} 50 % $j *k"


def rows_of(text: str) -> list[list[str]]:
    """The cells of the lines between the rules, without what only moves them."""
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    lines = [line.strip() for line in body.splitlines()[1:] if line.strip().endswith(r"\\")]
    return [[cell.strip() for cell in line.removesuffix(r"\\").split(" & ")] for line in lines]


def test_a_table_is_complete_and_its_columns_have_something_in_them(records: list[Record]) -> None:
    text = render(records, "latex")
    for part in (
        r"\begin{table}",
        r"\caption{Super-resolution}",
        r"\label{tab:table-3}",
        r"\toprule",
        r"\bottomrule",
        r"\begin{minipage}{\linewidth}",
        r"\end{table}",
    ):
        assert text.count(part) == 1, part
    unmeasured = [
        edited(each, value=None, status="missing") if each.metric.label == "RMSE" else each for each in records
    ]
    for given in (records, unmeasured):
        rows = rows_of(render(given, "latex"))
        for column in zip(*rows, strict=True):
            assert set(column) != {"--"}
    assert len(rows_of(render(unmeasured, "latex"))[0]) == len(rows_of(text)[0]) - 1


def test_numbers_stand_at_the_right_and_marks_do_not_move_them() -> None:
    frame = pd.DataFrame(
        {
            "Dataset": ["A", "A", "B"],
            "Method": ["a", "b", "[c]"],
            "SSIM": ["0.5 ± 0.1", "-", "-0.2"],
            "SSIM (paper)": ["0.25*†", "0.30", "-"],
            "p": ["< 0.0001", "0.2", "-"],
            "Better": ["a", "-", "-"],
            "Nothing": ["-", "", "-"],
        }
    )
    text = print_latex(frame, "Table 7: Mine", [], "-")
    assert r"\begin{tabular}{llrrrl}" in text
    assert rows_of(text) == [
        ["A", "a", r"0.5 \ensuremath{\pm} 0.1", r"0.25\rlap{$^{\ast\dagger}$}", r"\textless{} 0.0001", "a"],
        ["A", "b", "--", "0.30", "0.2", "--"],
        ["B", "[c]", "$-$0.2", "--", "--", "--"],
    ]
    assert r"&  & \multicolumn{2}{c}{SSIM} &  &  \\" in text
    assert r"Dataset & Method & ours & paper & p & Better \\" in text
    assert text.index("0.30") < text.index(r"\addlinespace") < text.index("[c]")


def test_a_comparison_has_half_of_each_interval_and_who_is_better() -> None:
    records = load(RESULTS / "tables" / "compare" / "fixed-noise-vs-estimated-noise.json")
    ((metric, a, b, difference, better),) = rows_of(render_comparison(records, "latex"))
    (found,) = records[1].differences
    assert found.interval is not None
    half = f"{(found.interval[1] - found.interval[0]) / 2:.2f}"
    assert difference == rf"$-${-found.value:.2f} \ensuremath{{\pm}} {half}"
    assert (metric, better) == ("FD[mnist-cnn]", "estimated-noise")
    assert [each.split()[0] for each in (a, b)] == [f"{record.value:.2f}" for record in records]


def odd(record: Record) -> Record:
    return edited(record, where={"title": ODD, "caption": ODD, "note": f"{ODD} ± †", "row": "[odd] row"})


def compile_latex(text: str, folder: Path) -> str:
    """What TeX says of a document that holds these tables; skips where there is none."""
    preamble = "\\documentclass{article}\n\\usepackage{booktabs,adjustbox}\n"
    document = f"{preamble}\\begin{{document}}\n{text}\\end{{document}}\n"
    (folder / "tables.tex").write_text(document, encoding="utf-8")
    pdflatex, tectonic = shutil.which("pdflatex"), shutil.which("tectonic")
    if pdflatex:
        command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    elif tectonic:
        command = [tectonic, "--print", "tables.tex"]
    else:
        pytest.skip("no TeX here: neither pdflatex nor tectonic")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    if "adjustbox.sty' not found" in done.stdout or "booktabs.sty' not found" in done.stdout:
        pytest.skip("this TeX lacks booktabs or adjustbox")
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def test_tex_sets_every_stored_table_and_none_is_too_wide(tmp_path: Path, records: list[Record]) -> None:
    tables = [
        render_stored(load(path), "latex", intervals=intervals)
        for folder in ("reference/full", "tables/compare", "tables/sweep")
        for path in sorted((RESULTS / folder).glob("*.json"))
        for intervals in (False, True)
    ]
    assert len(tables) > 10
    tables.append(render([odd(each) for each in records], "latex", intervals=True))
    said = compile_latex("\\clearpage\n".join(tables), tmp_path)
    assert "Overfull \\hbox" not in said
    assert (tmp_path / "tables.pdf").stat().st_size > 10_000


def test_every_label_is_one_that_tex_can_refer_to(records: list[Record]) -> None:
    named = [
        dataclasses.replace(each, where=dataclasses.replace(each.where, table="Mine & yours_2")) for each in records
    ]
    (label,) = re.findall(r"\\label\{(.*)\}", render(named, "latex"))
    assert label == "tab:table-mine-yours-2"
