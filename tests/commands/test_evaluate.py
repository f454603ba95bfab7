"""``coldbench evaluate``: one model, with what it is told and what it assumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coldbench.core.paths import shipped
from tests.helpers import assert_one_clear_line, coldbench


@pytest.mark.parametrize(
    ("model", "methods"),
    [
        ("mnist-superres", ["degraded", "sampled", "direct"]),
        ("mnist-noise", ["fixed-noise", "estimated-noise", "ddpm"]),
        ("mnist-blur-generate", ["perfect-symmetry", "broken-symmetry"]),
    ],
)
def test_a_model_is_measured_by_the_methods_of_its_kind(model: str, methods: list[str], tmp_path: Path) -> None:
    done = coldbench("evaluate", model, "--images", "4", "--quiet", "--output", tmp_path, "--format", "json")
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)
    assert list(dict.fromkeys(record["where"]["method"] for record in records)) == methods
    generates = model != "mnist-superres"
    metrics = {"FID"} if generates else {"FID", "SSIM", "RMSE"}
    assert {record["metric"]["name"] for record in records} == metrics
    assert all(record["status"] == "measured" for record in records if record["metric"]["features"] == "mnist-cnn")


def test_a_generator_takes_no_images(tmp_path: Path) -> None:
    done = coldbench("evaluate", "mnist-noise", "--data", "mnist", "--images", "4", "--quiet", "--output", tmp_path)
    assert_one_clear_line(done, 2, "--data gives images to restore, and mnist-noise generates")


def test_a_restorer_that_gives_no_numbers_is_told_before_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_nan.py").write_text("def restore(x, s):\n    return x * float('nan')\n")
    monkeypatch.syspath_prepend(tmp_path)
    where = ("--degradation", "mnist-superres", "--data", "mnist", "--images", "4", "--features", "none")
    done = coldbench("evaluate", "my_nan:restore", *where, "--output", tmp_path / "out", "--quiet")
    assert_one_clear_line(done, 2, "gave NaN or infinity instead of pixels, first in image 0")


def test_show_tells_of_every_file() -> None:
    paths = [shipped("results", "reference", size) / "table-3.json" for size in ("quick", "full")]
    done = coldbench("show", *paths)
    assert done.stdout.count("## Table 3") == 2
    assert "100 images" in done.stdout
    assert "10000 images" in done.stdout


def test_a_sampler_that_does_not_fit_a_row_is_told(tmp_path: Path) -> None:
    done = coldbench("run", "--table", "5", "--rows", "mnist", "--methods", "direct", "--output", tmp_path, "--quiet")
    assert_one_clear_line(done, 2, "direct generates from degraded, and this model from noise")
