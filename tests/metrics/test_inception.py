"""The two arithmetics of Inception: the paper's against its released extractor, torch-fidelity's against itself.

The true weights cannot ship. Those by formula are the same on every machine, and the released extractor's outputs with
them lie beside the formula.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch_fidelity import feature_extractor_inceptionv3
from torch_fidelity.utils import create_feature_extractor

from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import sha256_of
from coldbench.metrics import inception
from coldbench.metrics.features import FID_FEATURES
from coldbench.metrics.hub import HubWeights
from tests.helpers import written

CPU = torch.device("cpu")
SETS = ("mnist", "cifar10", "celebahq")


def untrained() -> nn.Module:
    """torch-fidelity's network, which has no constructor without weights."""
    with (
        mock.patch.object(feature_extractor_inceptionv3, "load_state_dict_from_url", return_value={}),
        mock.patch.object(nn.Module, "load_state_dict"),
    ):
        network: nn.Module = feature_extractor_inceptionv3.FeatureExtractorInceptionV3(inception.COMPAT, ["2048"])
    return network


def random_state() -> dict[str, Tensor]:
    """Weights that keep the size of what goes through (He et al. 2015), so that features differ from image to image."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = untrained()
        for tensor in network.parameters():
            if tensor.ndim == 4:
                nn.init.kaiming_uniform_(tensor, nonlinearity="relu")
    return network.state_dict()


def formula_state(folder: Path) -> dict[str, Tensor]:
    spec = importlib.util.spec_from_file_location("formula_weights", folder / "formula_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    state: dict[str, Tensor] = module.state_dict(untrained())
    return state


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HubWeights]:
    """A hub folder with random weights, and what is pinned of them; every test reads the same file."""
    folder = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder))
        pinned = written(inception.WEIGHTS, lambda path: torch.save(random_state(), path))
    return folder, pinned


@pytest.fixture
def random_weights(hub: tuple[Path, HubWeights], monkeypatch: pytest.MonkeyPatch) -> HubWeights:
    folder, pinned = hub
    monkeypatch.setenv("TORCH_HOME", str(folder))
    monkeypatch.setattr(inception, "WEIGHTS", pinned)
    return pinned


@pytest.fixture
def images() -> Tensor:
    """Smooth colour images (3, 3, 32, 32), with values beyond [0, 1] as a restorer may give."""
    coarse = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 1.5 - 0.25
    return nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")


def distance(a: Tensor, b: Tensor) -> float:
    """Relative to b, in norm."""
    return float((a - b).norm() / b.norm())


def test_the_paper_s_arithmetic_is_that_of_its_released_extractor(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To rounding, on the way that a measurement takes; and torch-fidelity's is per cents away (PROTOCOL 6.5)."""
    folder = shared / "fixtures" / "inception"
    pinned = written(inception.WEIGHTS, lambda path: torch.save(formula_state(folder), path))
    monkeypatch.setattr(inception, "WEIGHTS", pinned)
    released = load_file(folder / "released_pool3.safetensors")
    paper, compat = inception.inception(CPU), inception.inception_compat(CPU)
    assert (paper.name, paper.sha256) == (FID_FEATURES, pinned.sha256)
    assert (compat.name, compat.sha256) == ("inception-v3-compat", pinned.sha256)
    away = []
    for name in SETS:
        images, features = released[f"{name}.images"], released[f"{name}.features"]
        assert images.min() < 0
        assert images.max() > 1
        assert distance(paper.extract(images), features) < 1e-5
        away.append(distance(compat.extract(images), features))
    assert away == pytest.approx([0.066, 0.025, 0.017], rel=0.05)


@pytest.mark.usefixtures("random_weights")
def test_the_paper_s_arithmetic_neither_clamps_nor_rounds(images: Tensor) -> None:
    space = inception.inception(CPU)
    features = space.extract(images)
    assert features.shape == (3, 2048)
    assert distance(space.extract(images.clamp(0, 1)), features) > 1e-2
    assert distance(space.extract((images * 255).round() / 255), features) > 1e-4
    assert distance(space.extract(images + 1e-7), features) < 1e-5
    grey = images[:, :1]
    assert torch.equal(space.extract(grey), space.extract(grey.repeat(1, 3, 1, 1)))


def test_compat_is_torch_fidelity_s_own(random_weights: HubWeights, images: Tensor) -> None:
    theirs = create_feature_extractor(
        "inception-v3-compat", ["2048"], cuda=False, feature_extractor_weights_path=str(random_weights.path)
    )
    space = inception.inception_compat(CPU)
    for given in (images, images[:, :1]):
        pixels = (given.clamp(0, 1) * 255).round().to(torch.uint8).repeat(1, 3 // given.shape[1], 1, 1)
        assert torch.equal(space.extract(given), theirs(pixels)[0])
    assert distance(space.extract(images), inception.inception(CPU).extract(images.clamp(0, 1))) > 1e-3


def test_both_spaces_are_of_one_checked_file() -> None:
    for make in (inception.inception, inception.inception_compat):
        with pytest.raises(Missing, match=r"^no Inception weights: coldbench fetch inception$"):
            make(CPU)
    inception.WEIGHTS.path.parent.mkdir(parents=True)
    inception.WEIGHTS.path.write_bytes(b"damaged")
    for make in (inception.inception, inception.inception_compat):
        with pytest.raises(BadInput, match="is damaged"):
            make(CPU)


def test_the_hash_is_looked_at(random_weights: HubWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    assert inception.inception(CPU).sha256 == sha256_of(random_weights.path)
    monkeypatch.setattr(inception, "WEIGHTS", dataclasses.replace(random_weights, sha256="0" * 64))
    with pytest.raises(BadInput, match="is damaged"):
        inception.inception(CPU)
