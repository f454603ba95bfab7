"""``coldbench report``: folders as one page."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coldbench.cli import main
from coldbench.core.paths import shipped
from coldbench.records.record import load
from coldbench.records.report.judgement import Judgement
from tests.helpers import assert_one_clear_line, coldbench
from tests.page import Element, assert_stands_alone, parse
from tests.records.test_imports import leaves_out_torch

QUICK, TABLES = shipped("results", "reference", "quick"), shipped("results", "tables")


def page_at(path: Path) -> Element:
    text = path.read_text(encoding="utf-8")
    assert_stands_alone(text)
    return parse(text)


def embedded(page: Element) -> list[Image.Image]:
    """The pictures of a page, in order."""
    sources = [each.attributes["src"].partition("base64,")[2] for each in page.all("img")]
    return [Image.open(io.BytesIO(base64.b64decode(source))) for source in sources]


def assert_same_pixels(shown: Image.Image, path: Path) -> None:
    with Image.open(path) as original:
        np.testing.assert_array_equal(np.asarray(shown.convert("RGB")), np.asarray(original.convert("RGB")))


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    """The records of 100 images a row of every table, with the pictures of these rows."""
    folder = tmp_path / "run"
    shutil.copytree(QUICK, folder)
    (folder / "pictures").mkdir()
    for picture in (TABLES / "pictures").glob("table-*.png"):
        shutil.copy(picture, folder / "pictures")
    return folder


def test_what_was_just_measured_is_shown_with_its_picture(tmp_path: Path) -> None:
    few = ("--rows", "mnist", "--images", "4", "--methods", "degraded,direct", "--quiet")
    assert coldbench("run", "--table", "3", *few, "--output", tmp_path).returncode == 0
    done = coldbench("report", tmp_path)
    path = tmp_path / "report.html"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}\n", "")
    page = page_at(path)
    for record in load(tmp_path / "table-3.json"):
        if record.value is not None:
            assert f"{record.value:.{record.metric.decimals}f}" in page.text
    (picture,) = embedded(page)
    assert_same_pixels(picture, tmp_path / "pictures" / "table-3-mnist.png")


def test_all_tables_of_100_images_are_less_than_3_mb(everything: Path) -> None:
    assert coldbench("report", everything).returncode == 0
    path = everything / "report.html"
    assert path.stat().st_size < 3_000_000
    assert len(embedded(page_at(path))) == len(list((everything / "pictures").iterdir())) == 6


def test_comparisons_and_sweeps_have_their_pictures(tmp_path: Path) -> None:
    path = tmp_path / "both.html"
    folders = TABLES / "compare", TABLES / "sweep"
    assert coldbench("report", *folders, "--output", path).returncode == 0
    page = page_at(path)
    pictures = embedded(page)
    names = [folders[0] / f"{each.stem}.png" for each in sorted(folders[0].glob("*.json"))]
    names.append(folders[1] / "pictures" / "mnist-blur.png")
    assert len(pictures) == len(names)
    for picture, name in zip(pictures, names, strict=True):
        assert_same_pixels(picture, name)


def test_every_picture_can_be_enlarged_without_a_script(everything: Path) -> None:
    coldbench("report", everything)
    page = page_at(everything / "report.html")
    folded = page.all("details", "picture")
    assert [each.all("img") for each in folded] == [[image] for image in page.all("img")]
    assert all(each.all("summary") for each in folded)


def test_trajectories_are_shown_where_there_are_pictures(everything: Path) -> None:
    output = ("--output", everything / "report.html")
    coldbench("report", everything, *output)
    assert "compare naive improved --model mnist-blur --trajectory" in page_at(everything / "report.html").text
    shutil.copy(everything / "pictures" / "table-1-mnist.png", everything / "trajectory-mnist-blur.png")
    coldbench("report", everything, *output)
    page = page_at(everything / "report.html")
    (section,) = [each for each in page.all("section") if each.attributes.get("id") == "trajectories"]
    (image,) = section.all("img")
    assert image.attributes["alt"].startswith("Trajectory of mnist-blur")
    assert "--trajectory" not in page.text


def test_a_large_picture_is_packed_without_loss(everything: Path) -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)
    path = everything / "pictures" / "table-1-mnist.png"
    Image.fromarray(small.repeat(3, axis=0).repeat(3, axis=1)).save(path)
    assert path.stat().st_size > 100_000
    coldbench("report", everything)
    pictures = embedded(page_at(everything / "report.html"))
    assert pictures[0].format == "WEBP"
    assert_same_pixels(pictures[0], path)


@pytest.mark.parametrize(
    ("beginning", "told"), [(b"", "cannot be read as a PNG picture: "), (b"no picture", "is no PNG picture\n")]
)
def test_a_picture_that_is_none_is_told_once_and_left_out(everything: Path, beginning: bytes, told: str) -> None:
    path = everything / "pictures" / "table-1-mnist.png"
    path.write_bytes(beginning + path.read_bytes()[:2000])
    done = coldbench("report", everything)
    assert done.returncode == 0
    assert done.stderr.startswith(f"warning: {path} {told}")
    assert done.stderr.count("\n") == 1
    assert len(embedded(page_at(everything / "report.html"))) == 5


def test_a_page_is_written_again_in_the_place_of_the_old_one(everything: Path) -> None:
    coldbench("report", everything)
    before = (everything / "report.html").read_bytes()
    assert coldbench("report", everything).returncode == 0
    assert (everything / "report.html").read_bytes() == before


def test_it_is_made_without_torch(tmp_path: Path) -> None:
    arguments = ["report", str(QUICK), "--output", str(tmp_path / "report.html")]
    leaves_out_torch(f"from coldbench.cli import main; main({arguments!r}, standalone_mode=False)")
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_without_the_extra_it_is_named(package: str, everything: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name, *rest))
    done = coldbench("report", everything)
    assert_one_clear_line(done, 3, f"a report needs {package}: pip install 'coldbench[report]'")
    assert not (everything / "report.html").exists()


def broken(folder: Path) -> None:
    """What a report cannot be made of."""
    for name in ("empty", "pipe", "damaged", "none", "later", "good"):
        (folder / name).mkdir()
    os.mkfifo(folder / "pipe" / "table-3.json")
    whole = (QUICK / "table-3.json").read_text(encoding="utf-8")
    (folder / "good" / "table-3.json").write_text(whole, encoding="utf-8")
    (folder / "damaged" / "table-3.json").write_text(whole[: len(whole) // 2], encoding="utf-8")
    (folder / "none" / "table-3.json").write_text("[]", encoding="utf-8")
    later: list[dict[str, Any]] = [{**each, "schema_version": 99} for each in json.loads(whole)]
    (folder / "later" / "table-3.json").write_text(json.dumps(later), encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("absent",), 3, "no records *.json in absent"),
        (("empty",), 3, "no records *.json in empty"),
        (("pipe",), 3, "no records *.json in pipe"),  # and it does not wait for what comes out of it
        (("good", "empty"), 3, "no records *.json in empty"),
        (("damaged",), 2, "damaged/table-3.json does not hold records of schema"),
        (("none",), 2, "none/table-3.json holds no record"),
        (("later",), 2, "one is of schema 99"),
        (("good/table-3.json",), 2, "good/table-3.json is a file: name the folder that holds it"),
        (("good", "--output", "empty"), 2, "cannot write empty: "),
        (("good", "-o", "good/table-3.json/page.html"), 2, "cannot write good/table-3.json/page.html: "),
        (("good", "--output", "/proc/page.html"), 2, "cannot write /proc/page.html: "),
        (("good", "--output", ""), 2, "it is empty; was a variable not set?"),
        (("",), 2, "it is empty; was a variable not set?"),
        ((), 2, "Missing argument 'FOLDER...'"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], code: int, message: str, tmp_path: Path) -> None:
    broken(tmp_path)
    assert_one_clear_line(coldbench("report", *arguments, cwd=tmp_path), code, message)
    assert not list(tmp_path.rglob("*.html"))


DOCS = Path(__file__).parents[2] / "docs"
COMMANDS = re.findall(r"^\$ (coldbench .*)$", (DOCS / "report.md").read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_of_the_docs_are_commands(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    main.commands[name].make_context(name, list(arguments))


def test_the_docs_have_commands() -> None:
    assert [line.split()[1] for line in COMMANDS] == ["run", "report", "compare", "sweep", "report"]


def test_the_words_and_pictures_of_the_docs_are_those_of_the_page() -> None:
    text = (DOCS / "report.md").read_text(encoding="utf-8")
    table = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][1:]
    assert {word for cell in table for word in cell.split(", ")} == set(Judgement)
    pictures = [DOCS / name for name in re.findall(r'[("](pictures/[^)"]*\.png)', text)]
    assert len(pictures) == 3
    assert sum(path.stat().st_size for path in pictures) < 600_000
