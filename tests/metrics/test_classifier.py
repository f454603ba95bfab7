"""The digit classifier's training, by a tiny recipe."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from coldbench.core.files import sha256_of
from coldbench.core.paths import PACKAGE
from coldbench.data.datasets import mnist_labels, read_idx
from coldbench.metrics import digits
from coldbench.metrics.classifier import RECIPE, accuracy, train_classifier
from tests.helpers import assert_one_clear_line, coldbench

TINY = {"steps": 40, "batch_size": 64, "lr": 2e-3, "seed": 0}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data folder whose training images are the first 600 test images."""
    folder = tmp_path / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for kind in ("images-idx3", "labels-idx1"):
        array = read_idx(PACKAGE / "data" / "mnist" / f"t10k-{kind}-ubyte.gz")[:600]
        header = b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">i4").tobytes()
        (folder / f"train-{kind}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))
    assert len(mnist_labels(tmp_path / "data", train=True)) == 600
    return tmp_path / "data"


def test_it_learns_digits(root: Path) -> None:
    seen: list[tuple[int, float]] = []
    run = train_classifier(root, lambda step, loss: seen.append((step, loss)), TINY)
    assert [step for step, _ in seen] == list(range(1, 41))
    assert seen[-1][1] < 0.75 * seen[0][1]
    assert run.loss == pytest.approx(np.mean([loss for _, loss in seen]))
    assert run.test_accuracy > 0.5, "a guess is right once in ten"
    assert not run.network.training
    again = train_classifier(root, lambda step, loss: None, TINY)
    assert again.loss == run.loss


def test_the_shipped_one_names_the_digits() -> None:
    assert accuracy(digits.load_classifier(), Path("nowhere")) > 0.99


def test_the_command_trains_it_and_leaves_the_feature_space_alone(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPE, "steps", 2)
    monkeypatch.setitem(RECIPE, "batch_size", 8)
    done = coldbench("train", "mnist-cnn", "--data-root", root, "--output", tmp_path / "runs", "--quiet")
    assert done.returncode == 0, done.stderr
    weights = tmp_path / "runs" / "mnist-cnn" / "mnist-cnn.safetensors"
    sha256 = sha256_of(weights)
    assert sha256 in done.stdout
    assert f"FD[mnist-cnn] stays that of the weights that ship, {digits.SHA256[:12]}" in done.stdout
    card = (weights.parent / "model-card.md").read_text(encoding="utf-8")
    assert card.startswith("## mnist-cnn\n")
    assert f"| sha256 | `{sha256}` |" in card
    assert "Test accuracy" in card
    assert digits.mnist_cnn(torch.device("cpu")).sha256 == digits.SHA256 != sha256


def test_nothing_changes_its_recipe(tmp_path: Path) -> None:
    refused = coldbench("train", "mnist-cnn", "--data", "mnist", "--output", tmp_path, "--quiet")
    assert_one_clear_line(refused, 2, "mnist-cnn learns the digits of MNIST by one recipe")


def test_absent_training_images_are_said(tmp_path: Path) -> None:
    done = coldbench("train", "mnist-cnn", "--data-root", tmp_path, "--output", tmp_path, "--quiet")
    assert_one_clear_line(done, 3, "coldbench fetch mnist --data-root")
