"""Pictures as files: what stands on them, in which order, and that the same picture is the same file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from coldbench.records import FIGURE_FORMATS
from coldbench.records.pictures import Way, save_picture, save_ways

pytest.importorskip("matplotlib")


def gallery() -> dict[str, Tensor]:
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return {"Original": images, "Degraded": images / 2, "my_module:a_b$c$d": images.flip(3)}


def ways(original: bool = True) -> list[Way]:
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    one = {"steps": (9, 4), "states": list(images), "estimates": list(images[:2])}
    return [Way(title=title, original=images[0] if original else None, **one) for title in ("Naive", "Improved")]


def words_of(svg: Path) -> list[str]:
    text = svg.read_text(encoding="utf-8")
    return [re.sub(r"<[^>]*>|\s+", "", each) for each in re.findall(r"<text.*?</text>", text, flags=re.DOTALL)]


@pytest.mark.parametrize("form", FIGURE_FORMATS)
def test_the_same_picture_is_the_same_file(form: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_picture(gallery(), tmp_path / f"{name}.{form}")
        save_ways(ways(), tmp_path / f"{name}-ways.{form}")
    for end in (f".{form}", f"-ways.{form}"):
        content = (tmp_path / f"a{end}").read_bytes()
        assert content == (tmp_path / f"b{end}").read_bytes()
        assert not re.search(rb"/CreationDate|/ModDate|<dc:date>", content)


def test_the_rows_stand_in_the_order_of_the_gallery_and_their_letters_stay_letters(tmp_path: Path) -> None:
    save_picture(gallery(), tmp_path / "a.svg")
    assert words_of(tmp_path / "a.svg") == list(gallery())
    save_picture(gallery(), tmp_path / "a.pdf")
    content = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


def test_images_are_magnified_by_whole_numbers(tmp_path: Path) -> None:
    save_picture(gallery(), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture)[:, :, 0]
    shown = (gallery()["Degraded"] * 255).round().byte().numpy()
    rows = pixels[100 : 100 + 96, -300:]  # three images of 96 pixels, with 4 of white behind each
    for number in range(3):
        seen = rows[:, number * 100 : number * 100 + 96].reshape(8, 12, 8, 12)
        assert (seen == shown[number, 0][:, None, :, None]).all()


def test_a_trajectory_names_its_methods_rows_and_steps(tmp_path: Path) -> None:
    save_ways(ways(), tmp_path / "a.svg")
    block = ["t=9", "4", "0", "original", "xt", "R(x,t)t"]  # the subscript comes last in the file
    assert words_of(tmp_path / "a.svg") == ["Naive", *block, "Improved", *block]
    save_ways(ways(original=False), tmp_path / "b.svg")
    assert "original" not in words_of(tmp_path / "b.svg")


def test_images_that_are_no_squares_and_in_colour(tmp_path: Path) -> None:
    images = torch.rand(2, 3, 100, 50, generator=torch.Generator().manual_seed(0))
    save_picture({"a": images}, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.height == 104
        np.testing.assert_array_equal(
            np.asarray(picture)[:100, -54:-4], (images[1] * 255).round().byte().permute(1, 2, 0).numpy()
        )
