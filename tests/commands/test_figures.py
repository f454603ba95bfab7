"""The options of pictures: which images, in which formats, and the trajectories."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coldbench.commands.request import Request
from coldbench.core.errors import BadInput
from tests.helpers import assert_one_clear_line, coldbench

FEW = ("--metrics", "SSIM", "--quiet", "--images")
COMPARE = ("compare", "naive", "improved", "--model", "mnist-superres", *FEW, "20")
RUN = ("run", "--table", "3", "--rows", "mnist", *FEW, "6")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L")).astype(int)


def test_a_comparison_draws_the_trajectory_of_its_model_and_measures_the_same(tmp_path: Path) -> None:
    plain = coldbench(*COMPARE, "--output", tmp_path / "plain")
    drawn = coldbench(*COMPARE, "--output", tmp_path / "drawn", "--trajectory")
    assert drawn.stdout == plain.stdout
    numbers = [
        [cell["value"] for cell in json.loads((tmp_path / each / "naive-vs-improved.json").read_text())]
        for each in ("plain", "drawn")
    ]
    assert numbers[0] == numbers[1]
    assert not list((tmp_path / "plain").glob("trajectory*"))
    assert (tmp_path / "drawn" / "trajectory-mnist-superres.png").exists()


def test_pictures_show_the_images_that_were_asked_for(tmp_path: Path) -> None:
    """The measurement keeps 16 images; the 18th is restored once more, and is the same."""
    first = coldbench(*COMPARE, "--output", tmp_path / "few", "--figure-images", "3,0-1")
    assert first.returncode == 0, first.stderr
    coldbench(*COMPARE, "--output", tmp_path / "far", "--figure-images", "3,17,1")
    few, far = (pixels(tmp_path / each / "naive-vs-improved.png") for each in ("few", "far"))
    assert few.shape == far.shape
    columns = [slice(-300, -200), slice(-200, -100), slice(-100, None)]
    assert abs(few[:, columns[0]] - far[:, columns[0]]).max() <= 1
    assert abs(few[:, columns[2]] - far[:, columns[2]]).max() <= 1
    assert abs(few[:, columns[1]] - far[:, columns[1]]).max() > 50


def test_a_run_in_other_formats_leaves_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = coldbench(*RUN, "--output", tmp_path, "--figure-format", "pdf,svg", "--trajectory", "--figure-images", "5")
    assert done.returncode == 0, done.stderr
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {
        "table-3.json",
        "table-3.md",
        *(f"pictures/table-3-mnist.{form}" for form in ("pdf", "svg")),
        *(f"trajectory-mnist-superres.{form}" for form in ("pdf", "svg")),
    }
    text = (tmp_path / "pictures" / "table-3-mnist.svg").read_text()
    table = [line.split("|")[2].strip() for line in done.stdout.splitlines() if line.startswith("| MNIST")]
    places = [text.index(f">{word}</text>") for word in ("Original", *table)]
    assert places == sorted(places)


def test_figures_that_are_replaced_are_kept(tmp_path: Path) -> None:
    for images in ("6", "8"):
        coldbench(*RUN[:-1], images, "--output", tmp_path, "--trajectory", "--seed", images)
    assert list((tmp_path / "earlier").glob("trajectory-mnist-superres-*.png"))


def test_methods_without_steps_are_told(tmp_path: Path) -> None:
    options = [each for each in RUN if each != "--quiet"]
    done = coldbench(*options, "--methods", "degraded,direct", "--trajectory", "--output", tmp_path)
    assert done.returncode == 0
    assert "no trajectory of MNIST is drawn: none of degraded, direct goes step by step" in done.stderr
    assert not list(tmp_path.glob("trajectory*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--figure-images", "6"), "--figure-images 6: MNIST is measured on 6 images, so the last is 5"),
        (("--figure-images", "3-1"), "'3-1' is neither a position, from 0, nor a run of them such as 0-7"),
        (("--figure-images", "1,,2"), "'' is neither a position"),
        (("--figure-images", "0-64"), "a figure shows at most 64 images, not 65"),
        (("--figure-images", "0-9999999"), "'0-9999999' is neither a position"),
        (("--figure-format", "png,gif"), "unknown figure format 'gif'; known: png, pdf, svg"),
    ],
)
def test_bad_options_are_told_before_anything_is_measured(
    options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    assert_one_clear_line(coldbench(*RUN, *options, "--output", tmp_path / "out"), 2, message)
    assert not list(tmp_path.rglob("*.json"))


def test_without_matplotlib_a_pdf_is_refused_and_a_png_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "matplotlib" else real(name, *a))
    done = coldbench(*RUN, "--output", tmp_path, "--figure-format", "png,pdf")
    assert_one_clear_line(done, 3, "figures as pdf need matplotlib: pip install 'coldbench[report]'")
    assert coldbench(*RUN, "--output", tmp_path, "--trajectory").returncode == 0
    assert (tmp_path / "trajectory-mnist-superres.png").exists()


@pytest.mark.parametrize("positions", ["0,1", [0, -1], [0.5], [True], 2.0])
def test_positions_from_python_are_checked(positions: object) -> None:
    with pytest.raises(BadInput, match="positions of images"):
        Request.of(figure_images=positions)


def test_the_stored_trajectory_is_what_the_command_draws(tmp_path: Path) -> None:
    stored = Path(__file__).parents[2] / "results" / "tables" / "pictures" / "trajectory-mnist-blur.png"
    coldbench("compare", "naive", "improved", "--trajectory", *FEW, "2", "--output", tmp_path)
    drawn, kept = pixels(tmp_path / stored.name), pixels(stored)
    assert drawn.shape == kept.shape
    images = slice(66, None)  # the letters left of them, and above, are drawn by a library
    assert (abs(drawn - kept)[44:320, images] > 3).mean() < 0.001
