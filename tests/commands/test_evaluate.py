"""``coldbench evaluate``: one model, with what it is told and what it assumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
