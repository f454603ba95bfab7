"""What README and manual say is true: numbers are the stored ones, and CI runs the README's command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coldbench.metrics.coverage import Case, coverage
from coldbench.records import record as records_module
from coldbench.records.comparison import render_comparison
from coldbench.records.drift import Status, compare_records
from coldbench.records.formats import render
from coldbench.records.record import load
from tests import layout
from tests.pages import claims, precision
from tests.pages.blocks import PAGES, ROOT, commands_that_fill, filled

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = ROOT / "docs"


def titled(pages: tuple[Path, ...]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.parametrize("page", PAGES, ids=titled(PAGES))
def test_every_filled_part_is_what_its_command_prints(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "python -m tests.pages"
    assert text.count("<!-- filled by: ") == text.count("<!-- end -->") == len(commands_that_fill(text))


def test_a_part_that_was_written_by_hand_is_seen() -> None:
    text = "<!-- filled by: python -m tests.pages.claims networks -->\nby hand\n<!-- end -->\n"
    assert filled(text) != text
    assert filled(filled(text)) == filled(text)


def test_the_readme_is_one_page_with_one_picture() -> None:
    assert len(README.splitlines()) <= 150
    assert README.count("![") == 1


def test_contributing_s_numbers_of_the_layout(capsys: pytest.CaptureFixture[str]) -> None:
    layout.main()
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "\n".join(capsys.readouterr().out.splitlines()[:2]) in told


def test_ci_runs_the_readme_test_command() -> None:
    command = "pip install -e '.[test]' && pytest"
    assert f"\n{command}\n" in README
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert ci.endswith(f"\n{command}\n")
    assert "\npytest -q -m slow\n" in ci


@pytest.mark.parametrize("folder", ["reference/full", "cifar10", "celeba"])
def test_stored_tables_are_rendered_from_the_stored_records(folder: str) -> None:
    paths = sorted((ROOT / "results" / folder).glob("table-*.json"))
    assert len(paths) == (5 if folder == "reference/full" else 4)
    tables = ROOT / "results" / ("tables" if folder == "reference/full" else folder)
    assert {path.stem for path in tables.glob("table-*.md")} == {path.stem for path in paths}
    for path in paths:
        assert render(load(path), "markdown") == (tables / f"{path.stem}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "results" / "tables" / "compare").glob("*.json")), ids=lambda path: path.stem
)
def test_stored_comparisons_are_rendered_from_the_stored_records(path: Path) -> None:
    assert render_comparison(load(path), "markdown") == path.with_suffix(".md").read_text(encoding="utf-8")
    tables = (DOCS / "tables.md").read_text(encoding="utf-8")
    assert f"<!-- filled by: coldbench show results/tables/compare/{path.name} -->" in tables
    assert f"](../results/tables/compare/{path.stem}.png)" in tables


def test_the_tables_page_shows_all_stored_tables() -> None:
    shown = " ".join(commands_that_fill((DOCS / "tables.md").read_text(encoding="utf-8")))
    for folder in ("reference/full", "cifar10", "celeba"):
        for path in (ROOT / "results" / folder).glob("table-*.json"):
            assert str(path.relative_to(ROOT)) in shown


def test_orders_are_told_where_the_numbers_tell_them() -> None:
    """The paper's Table 1: sampling has the better FID (4.69, 5.10), Direct the better SSIM and RMSE."""
    lines = [line for line in claims.orders().splitlines() if line.startswith("| 1, MNIST")]
    theirs = [line.split("|")[3].strip() for line in lines]
    assert theirs == ["Sampled", "Direct", "Direct"]
    assert len(claims.orders().splitlines()) == 2 + 2 * 3 * 3 + 3  # MNIST and CIFAR-10, three tables and metrics


def test_a_published_number_agrees_within_the_interval() -> None:
    """Table 3 of MNIST: .1781 and .2305 are printed as .178 and .231; the SSIM of Table 1 is a misprint."""
    found = {(each.where.table, each.where.row, each.metric.label): each for each in claims.published_cells("degraded")}
    assert claims.agrees(found["3", "mnist", "SSIM"])
    assert claims.agrees(found["3", "mnist", "RMSE"])
    assert not claims.agrees(found["1", "mnist", "SSIM"])
    assert len(found) == 2 * (3 + 3 + 3 + 2)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_precision_page_compares_the_same_measurements(dtype: str) -> None:
    """Its records differ from the references in their arithmetic alone: same weights, images and settings."""
    for path in sorted(precision.REFERENCE.glob("table-*.json")):
        drifts = compare_records(load(path), load(precision.FOLDER / dtype / path.name))
        assert {drift.status for drift in drifts} <= {Status.SAME, Status.MOVED, Status.EXEMPT}
        assert {drift.record.conditions.dtype for drift in drifts} == {"float32"}
        assert {drift.now.conditions.dtype for drift in drifts if drift.now} == {dtype}


def test_the_precision_figure_is_of_the_stored_records(tmp_path: Path) -> None:
    precision.save(tmp_path / "anew.svg")
    for path in (tmp_path / "anew.svg", precision.FIGURE):
        assert f"<dc:description>{precision.description()}</dc:description>" in path.read_text(encoding="utf-8")


def test_rounding_to_seven_bits_is_bfloat16() -> None:
    import torch

    x = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(precision.rounded(x, 7), x.bfloat16().float())


def test_the_records_page_explains_every_field() -> None:
    schema = json.loads(Path(records_module.__file__).with_name("record.schema.json").read_text(encoding="utf-8"))
    page = (DOCS / "records.md").read_text(encoding="utf-8")
    for part, definition in schema["$defs"].items():
        for name in definition["properties"]:
            assert f"`{name}`" in page, f"{part}.{name}"


def test_ci_and_tox_run_the_same_check() -> None:
    assert "\ntox -q -e regression" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "commands = coldbench check {posargs}" in (ROOT / "tox.ini").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "coldbench check --junit coldbench.xml" in workflow
    assert "coldbench check --junit coldbench.xml" in (DOCS / "ci.md").read_text(encoding="utf-8")


def test_intervals_cover_where_the_manual_says_so() -> None:
    stored = claims.coverage().splitlines()
    for line in stored[2:]:
        _, metric, d, images, run, truth, covered, limit, *_ = (cell.strip() for cell in line.split("|"))
        # docs/metrics.md says that the intervals are too wide of two sets of one distribution, and where N is about d
        # or less, and that those of precision and recall are none near 1, where pairs of images are. Of 200
        # measurements a share of .95 has a standard error of 1.5 points.
        pairs_of_shares = metric in ("Precision, paired", "Recall, paired")
        if limit != "0" and int(images) > 2 * int(d or 0) and not pairs_of_shares:
            assert 90 <= float(covered.rstrip("%")) <= 99, (metric, d, images, run, truth)


def test_coverage_is_simulated() -> None:
    case = Case("FD", 320, 4, 1.0)
    line = coverage(case, draws=60)
    assert 0.85 <= float(str(line["Covered"]).rstrip("%")) / 100 <= 1
    assert float(str(line["Truth at N"])) == pytest.approx(1 + 4 * 9 / 4 / 320, abs=0.01)
