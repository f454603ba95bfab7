"""``coldbench run --dry-run``: what it says is what the run does, and it leaves nothing behind."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from coldbench.commands import calibration
from coldbench.commands.calibration import Calibration, Rationed, _growing, _line, _Run
from coldbench.core import array_cache
from tests.helpers import assert_one_clear_line, coldbench

DRY = ("run", "--table", "3", "--rows", "mnist", "--quiet", "--dry-run")
MODULE = """
import time

def slow(x, s):
    time.sleep(0.02)
    return x
"""
TABLE = """
[tables.mine]
caption = "Mine"
methods = ["degraded", "sampled", "direct"]
metrics = ["SSIM", "FID"]

[[tables.mine.rows]]
dataset = "mnist"
checkpoint = "dry_module:slow"
degradation = { name = "superres", image_size = 32, timesteps = 3 }
"""


@pytest.fixture(autouse=True)
def default_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(array_cache.LIMIT, raising=False)


def forecast(*options: str | Path, cwd: Path | None = None) -> dict[str, Any]:
    done = coldbench(*options, "--format", "json", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def files(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_it_says_what_would_be_measured(own_home: Path, tmp_path: Path) -> None:
    found = forecast(*DRY, "--images", "40", "--output", tmp_path / "run")
    (row,) = found["rows"]
    assert (row["methods"], row["metrics"]) == (["degraded", "sampled", "direct"], ["FID", "SSIM", "RMSE"])
    assert (row["images"], row["evaluations"]) == (40, 3 * 40)  # direct is the first prediction of sampled
    assert row["features"] == ["mnist-cnn"]
    # Features of originals and three methods, and the originals of 28 pixels, which are decoded to 32.
    assert row["temporary_bytes"] == 4 * 128 * 40 * 4 + 40 * 32 * 32
    assert row["cache_bytes"] == 4 * 128 * 40
    assert row["missing"] == ["FID in inception-v3: no Inception weights: coldbench fetch inception"]
    assert set(row["seconds"]) == {"preparing", "network", "everything else", "intervals", "saving"}
    assert min(row["seconds"].values()) >= 0 < row["seconds"]["network"]
    assert row["total_seconds"] == pytest.approx(sum(row["seconds"].values()))
    assert found["total_seconds"] == pytest.approx(found["starting_seconds"] + row["total_seconds"])
    assert found["memory_bytes"] > 1 << 27
    assert files(own_home, tmp_path) == {}


def test_what_the_run_left_is_cached(own_home: Path, tmp_path: Path) -> None:
    few = ("--images", "40", "--methods", "degraded")
    assert coldbench(*DRY[:-1], *few, "--output", tmp_path).returncode == 0
    before = files(own_home, tmp_path)
    (row,) = forecast(*DRY, *few, "--output", tmp_path)["rows"]
    assert (row["cached"], row["cache_bytes"]) == (["features of originals in mnist-cnn"], 0)
    assert (row["evaluations"], row["seconds"]["network"]) == (0, 0)
    assert files(own_home, tmp_path) == before
    (row,) = forecast(*DRY, "--images", "41", "--methods", "degraded")["rows"]
    assert row["cached"] == []


def test_generators_are_compared_with_statistics_that_ship() -> None:
    found = forecast("run", "--table", "5", "--rows", "mnist-noise", "--images", "32", "--dry-run", "--quiet")
    (row,) = found["rows"]
    assert row["evaluations"] == 2 * 40 * 32
    assert row["cached"] == ["statistics of training images in mnist-cnn"]
    assert row["temporary_bytes"] == 4 * 128 * 32 * 2
    assert row["cache_bytes"] == 0


def test_the_seconds_are_those_of_all_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network that takes 20 ms a call, whatever it is given: 1,000 images one at a time, three calls each."""
    (tmp_path / "dry_module.py").write_text(MODULE)
    (tmp_path / "mine.toml").write_text(TABLE)
    monkeypatch.setattr(calibration, "NETWORK_SECONDS", 0.2)
    found = forecast(
        "run", "--table", "mine.toml", "--images", "1000", "--batch-size", "1", "--dry-run", "--quiet", cwd=tmp_path
    )
    (row,) = found["rows"]
    assert row["evaluations"] == 3000
    assert 60 <= row["seconds"]["network"] < 90
    assert row["features"] == ["mnist-cnn"]


def test_rows_of_which_nothing_is_there_are_shown_as_missing() -> None:
    done = coldbench("run", "--table", "3", "--methods", "degraded", "--images", "20", "--dry-run", "--quiet")
    assert done.returncode == 0
    assert "Table 3 CIFAR-10, missing: degraded: CIFAR-10 is not under" in done.stdout
    assert "coldbench fetch cifar10" in done.stdout
    assert "| 3       | MNIST    |  degraded |" in done.stdout


def test_what_the_forecast_leaves_out_is_said(tmp_path: Path) -> None:
    asked = ("--methods", "degraded", "--images", "20", "--dtype", "auto", "--save-images", "saved")
    done = coldbench(*DRY, *asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not counted: the trials of --dtype auto" in done.stdout
    assert "not counted: the images that --save-images keeps" in done.stdout
    assert "not counted" not in coldbench(*DRY, *asked[:4], cwd=tmp_path).stdout
    assert not [*tmp_path.iterdir()]


def test_nothing_that_can_be_measured_is_an_error_after_the_table() -> None:
    done = coldbench("run", "--table", "5", "--rows", "afhq-noise", "--dry-run", "--quiet")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "nothing could be measured" in done.stderr
    assert "coldbench train afhq-noise" in done.stderr
    assert "missing: fixed-noise, estimated-noise: no weights for afhq-noise" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--images", "20000"), "MNIST has 10000 images, not 20000: lower --images"),
        (("--format", "csv"), "--dry-run is printed as markdown or json, not csv"),
        (("--rows", "cifar99"), "cifar99"),
    ],
)
def test_what_the_run_would_refuse_is_refused(options: tuple[str, ...], message: str) -> None:
    assert_one_clear_line(coldbench(*DRY, *options), 2, message)


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    from coldbench.commands.dry_run import dry_run
    from coldbench.commands.request import Request
    from coldbench.core.errors import BadInput

    with pytest.raises(BadInput, match="start it without torchrun"):
        dry_run("3", Request())


def test_training_images_are_not_looked_at(tmp_path: Path, own_home: Path) -> None:
    """Their features may take hours; the run takes them first, and says so here."""
    from PIL import Image

    faces = tmp_path / "celeba-hq"
    faces.mkdir()
    for number in range(20):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(faces / f"{number:02}.png")
    options = ("--rows", "celeba-noise", "--allow-random-weights")
    for features in ("efficientnet-lite0", "auto"):
        more = ("--features", features, "--data-root", tmp_path)
        (row,) = forecast("run", "--table", "5", *options, *more, "--dry-run", "--quiet")["rows"]
        assert row["methods"] == ["fixed-noise", "estimated-noise"]
        assert row["seconds"] == {}
        (missing,) = row["missing"]
        assert "features of the 18 training images of CelebA are not kept yet: the run takes them first" in missing
    assert files(own_home) == {}


def test_a_network_is_asked_until_its_time_is_up() -> None:
    asked = []

    def restore(x: Tensor, s: int) -> Tensor:
        asked.append(s)
        time.sleep(0.01)
        return x + s

    rationed = Rationed(restore, torch.device("cpu"))
    rationed.seconds = calibration.NETWORK_SECONDS - 0.015
    x = torch.zeros(3, 1, 4, 4)
    assert [float(rationed(x, s).mean()) for s in (9, 8, 7, 6)] == [9, 8, 8, 8]
    assert (asked, rationed.images, len(rationed.paces)) == ([9, 8], 12, 2)
    assert rationed.paces[0] >= 0.01 / 3  # it takes one image at a time
    assert rationed(x[:2], 5).shape == (2, 1, 4, 4)  # another shape needs another answer
    assert asked == [9, 8, 5]


def test_a_network_fills_up_its_last_chunk_and_what_is_cached_takes_no_time() -> None:
    found = Calibration(
        evaluations=20, chunk=16, pace=0.1, fixed=1.0, each=0.03, originals=0.01, saving=0.0, dimensions={}
    )
    assert found.network(17) == pytest.approx(20 * 2 * 0.1)
    assert found.others(100, cached=False) == pytest.approx(4.0)
    assert found.others(100, cached=True) == pytest.approx(3.0)


def test_what_a_loop_takes_once_is_told_from_what_an_image_takes() -> None:
    def took(images: int, seconds: float) -> _Run:
        return _Run(images, seconds, 0.0, 0.0, {})

    assert _line([took(16, 9.0), took(32, 1.0), took(64, 1.8)]) == pytest.approx((0.2, 0.025))
    assert _line([took(16, 0.8)]) == pytest.approx((0.0, 0.05))
    assert _line([took(16, 0.8), took(32, 0.7)]) == pytest.approx((0.7, 0.0))


def test_intervals_grow_as_they_have_grown() -> None:
    assert _growing(lambda images: images**2 / 1e6, 10_000) == pytest.approx(100)
    assert _growing(lambda images: 3.0, 10_000) == pytest.approx(3)
    assert _growing(lambda images: images / 100, 150) == pytest.approx(1.5)
