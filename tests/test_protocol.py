"""docs/protocol.md holds what the code cites of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coldbench.records.record import load

ROOT = Path(__file__).parents[1]
HEADINGS = set(
    re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"), re.MULTILINE)
)


def citations(text: str) -> set[str]:
    """The numbers after "PROTOCOL" in a text, where several may follow each other: "PROTOCOL 4, 5.4"."""
    runs = re.findall(r"\bPROTOCOL(?:\.md)? (\d+(?:\.\d+)?(?:(?:,| and) \d+(?:\.\d+)?)*)", text)
    return {number for run in runs for number in re.findall(r"\d+(?:\.\d+)?", run)}


def citing_files() -> list[Path]:
    """Whatever may cite the page: code, tests, recipes and prose."""
    folders = [ROOT / name for name in ("benchmark", "tests", "docs", "models", "results")]
    found = [path for folder in folders for end in ("py", "md", "toml") for path in folder.rglob(f"*.{end}")]
    return [path for path in [*found, *ROOT.glob("*.md")] if path.name != Path(__file__).name]


def test_citations_are_found() -> None:
    assert citations("as in PROTOCOL 2.1 (see PROTOCOL 4, 5.4) and PROTOCOLS 9") == {"2.1", "4", "5.4"}


def test_every_citation_has_its_section() -> None:
    cited = {
        (path.relative_to(ROOT).as_posix(), number)
        for path in citing_files()
        for number in citations(path.read_text(encoding="utf-8"))
    }
    assert len({number for _, number in cited}) > 10
    assert [each for each in sorted(cited) if each[1] not in HEADINGS] == []


#: Heading of the section -> the row of its table -> the records that the row's column "Our setting" is taken from.
MEASURED = {
    "6.0": {
        **{f"Table {n}, MNIST": ("reference/full", n, "mnist") for n in (1, 2, 3)},
        **{f"Table {n}, CIFAR-10": ("cifar10", n, "cifar10") for n in (1, 2, 3, 4)},
    },
    "6.4": {f"Table {n}": ("celeba", n, "celeba") for n in (1, 2, 3, 4)},
}


@pytest.mark.parametrize(
    ("section", "title"), [(section, title) for section, rows in MEASURED.items() for title in rows]
)
def test_the_degraded_columns_are_those_of_the_records(section: str, title: str) -> None:
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8").split(f"\n### {section} ")[1].split("\n##")[0]
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {title} |")]
    _, printed, ours, _ = (cell.strip() for cell in line.strip("|").split("|"))
    folder, number, row = MEASURED[section][title]
    records = load(ROOT / "results" / folder / f"table-{number}.json")
    degraded = {each.metric.name: each for each in records if (each.where.row, each.where.method) == (row, "degraded")}
    stated = list(zip(printed.split(", "), re.findall(r"\.\d+", ours), ("SSIM", "RMSE"), strict=True))
    for paper, value, metric in stated:
        record = degraded[metric]
        assert record.published is not None
        assert record.published.printed == f"0{paper}"
        assert f"{record.value:.{len(value) - 1}f}" == f"0{value}"
