"""What the README says is true: its commands exist, its numbers are the stored ones, and CI runs its test command."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from coldbench.cli import main
from coldbench.metrics.coverage import Case, coverage
from coldbench.metrics.metric import METRICS, find_metrics
from coldbench.records.comparison import render_comparison
from coldbench.records.formats import render
from coldbench.records.record import load
from coldbench.tables.tables import read_tables
from tests import layout

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: (language, text)
FENCED = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
BLOCKS = "".join(text for language, text in FENCED if not language)
COMMANDS = [line.split(" #")[0].strip() for line in BLOCKS.splitlines() if "coldbench " in line]


@pytest.mark.parametrize("line", COMMANDS)
def test_readme_commands_parse(line: str) -> None:
    words = shlex.split(line.rsplit("&&", maxsplit=1)[-1].rsplit("-m ", maxsplit=1)[-1])
    name, *arguments = words[1:]
    main.commands[name].make_context(name, arguments)


def test_the_readme_s_table_of_one_s_own_can_be_read(tmp_path: Path) -> None:
    (text,) = [text for language, text in FENCED if language == "toml"]
    path = tmp_path / "my_table.toml"
    path.write_text(text, encoding="utf-8")
    (table,) = read_tables(path).values()
    assert table.rows[0].published["sampled", "SSIM"].source == "our paper"


def test_contributing_s_numbers_of_the_layout(capsys: pytest.CaptureFixture[str]) -> None:
    layout.main()
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "\n".join(capsys.readouterr().out.splitlines()[:2]) in told


def test_readme_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [text for language, text in FENCED if language == "python"]
    (tmp_path / "my_photographs").mkdir()
    for i in range(3):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (70, 80, 3), dtype=np.uint8)).save(
            tmp_path / "my_photographs" / f"{i}.png"
        )
    monkeypatch.chdir(tmp_path)
    names: dict[str, pd.DataFrame] = {}
    exec(code.replace("count=1000", "count=20").replace("count=16", "count=2"), names)
    assert set(names["frame"].images) == {3}


def test_ci_runs_the_readme_test_command() -> None:
    command = "pip install -e '.[test]' && pytest"
    assert f"\n{command}\n" in README
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert ci.endswith(f"\n{command}\n")
    assert "\npytest -q -m slow\n" in ci


@pytest.mark.parametrize(
    "path", sorted((ROOT / "results" / "reference" / "full").glob("table-*.json")), ids=lambda path: path.stem
)
def test_stored_tables_are_rendered_from_the_stored_records(path: Path) -> None:
    records = load(path)
    stored = (ROOT / "results" / "tables" / f"{path.stem}.md").read_text(encoding="utf-8")
    assert render(records, "markdown") == stored
    table = [line for line in stored.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len({(record.where.row, record.where.method) for record in records})
    title = stored.splitlines()[0].removeprefix("## ")
    assert f"\n**{title}**\n\n" + "\n".join(table) + "\n\n" in README


def test_every_table_of_numbers_is_that_of_some_records() -> None:
    """Nothing in results/tables is written by hand."""
    records = {path.stem for path in (ROOT / "results" / "reference" / "full").glob("table-*.json")}
    assert records == {f"table-{number}" for number in range(1, 6)}
    assert {path.stem for path in (ROOT / "results" / "tables").glob("table-*.md")} == records


@pytest.mark.parametrize("name", ["fixed-noise-vs-estimated-noise", "perfect-symmetry-vs-broken-symmetry"])
def test_the_readme_s_comparisons_are_the_stored_ones(name: str) -> None:
    folder = ROOT / "results" / "tables" / "compare"
    records = load(folder / f"{name}.json")
    stored = (folder / f"{name}.md").read_text(encoding="utf-8")
    assert render_comparison(records, "markdown") == stored
    (row,) = [line for line in stored.splitlines() if line.startswith("| FD")]
    cells = [cell.strip() for cell in row.split("|")]
    assert cells in [[cell.strip() for cell in line.split("|")] for line in README.splitlines()]
    assert f"](results/tables/compare/{name}.png)" in README


def test_the_readme_s_tolerances_are_those_of_the_check() -> None:
    begin = README.index("| metric | float32 on a CPU |")
    lines = README[begin : README.index("\n\n", begin)].splitlines()[2:]
    stated: dict[str, list[float]] = {}
    for line in lines:
        names, *limits = (cell.strip() for cell in line.strip("|").split("|"))
        stated |= {name.strip(): [float(limit) for limit in limits] for name in names.split(",")}
    columns = [["float32 cpu"], ["float32 gpu"], ["bfloat16 cpu", "bfloat16 gpu"]]
    for metric in find_metrics(list(METRICS)):
        limits = [{metric.tolerances[key] for key in keys} for keys in columns]
        assert limits == [{limit} for limit in stated[metric.name]]
        assert metric.relative == (metric.name not in ("SSIM", "RMSE", "Precision", "Recall"))
    assert stated["FD"] == stated["FID"]


def test_ci_and_tox_run_the_same_check() -> None:
    assert "\ntox -q -e regression" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "commands = coldbench check {posargs}" in (ROOT / "tox.ini").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "coldbench check --junit coldbench.xml" in workflow
    assert "coldbench check --junit coldbench.xml" in README


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize(("name", "title"), [("cifar10", "CIFAR-10"), ("celeba", "CelebA")])
def test_the_degraded_columns_of_other_data_are_those_of_the_readme(name: str, title: str, number: int) -> None:
    folder = ROOT / "results" / name
    stored = (folder / f"table-{number}.md").read_text(encoding="utf-8")
    assert render(load(folder / f"table-{number}.json"), "markdown") == stored
    rows = [line for line in stored.splitlines() if line.startswith(f"| {title} ")]
    assert len(rows) == (3 if (name, number) == ("cifar10", 3) else 1)
    assert all(row in README for row in rows)


def test_the_readme_s_coverage_is_the_stored_one() -> None:
    stored = (ROOT / "results" / "tables" / "coverage.md").read_text(encoding="utf-8").splitlines()
    begin = README.index(stored[0])
    shown = README[begin : README.index("\n\n", begin)].splitlines()
    assert len(shown) == 24
    assert set(shown) <= set(stored)
    for line in stored[2:]:
        _, metric, d, images, run, truth, covered, limit, *_ = (cell.strip() for cell in line.split("|"))
        # The README says that the intervals are too wide of two sets of one distribution, and where N is about d or
        # less, and that those of precision and recall are none near 1, where pairs of images are. Of 200 measurements a
        # share of .95 has a standard error of 1.5 points.
        pairs_of_shares = metric in ("Precision, paired", "Recall, paired")
        if limit != "0" and int(images) > 2 * int(d or 0) and not pairs_of_shares:
            assert 90 <= float(covered.rstrip("%")) <= 99, (metric, d, images, run, truth)


def test_coverage_is_simulated() -> None:
    case = Case("FD", 320, 4, 1.0)
    line = coverage(case, draws=60)
    assert 0.85 <= float(str(line["Covered"]).rstrip("%")) / 100 <= 1
    assert float(str(line["Truth at N"])) == pytest.approx(1 + 4 * 9 / 4 / 320, abs=0.01)
