"""Feature spaces: found by name, refused by name, and what they make of images."""

from __future__ import annotations

import inspect
import re
import socket

import pytest
import torch
from torch import Tensor
from torch_fidelity.utils import create_feature_extractor

from coldbench.commands.fetch import WEIGHTS
from coldbench.core.errors import BadInput, Missing
from coldbench.metrics import digits
from coldbench.metrics.digits import mnist_cnn
from coldbench.metrics.features import (
    FEATURES,
    FID_FEATURES,
    FeatureSpace,
    absence,
    feature_spaces,
    load_feature_space,
)

CPU = torch.device("cpu")


def brightness(device: torch.device) -> FeatureSpace:
    """A feature space from outside: the mean of each image."""
    return FeatureSpace("brightness", "0" * 64, lambda images: images.mean(dim=(1, 2, 3))[:, None])


def no_space(device: torch.device) -> Tensor:
    """Gives something else than a feature space."""
    return torch.zeros(1)


def fails(device: torch.device) -> FeatureSpace:
    """Fails as somebody else's code may."""
    raise ZeroDivisionError("division by zero")


def test_spaces_are_found_by_name() -> None:
    assert feature_spaces(("none",), CPU) == []
    found = feature_spaces(("mnist-cnn", f"{__name__}:brightness"), CPU)
    assert [space.name for space in found] == ["mnist-cnn", "brightness"]
    assert load_feature_space("mnist-cnn", CPU) is found[0], "loaded once"


def test_auto_takes_what_is_at_hand_and_names_take_what_they_say() -> None:
    assert [space.name for space in feature_spaces(("auto",), CPU, auto=("mnist-cnn",))] == ["mnist-cnn"]
    assert feature_spaces(("auto",), CPU) == []
    with pytest.raises(Missing, match="no Inception weights: coldbench fetch inception"):
        feature_spaces((FID_FEATURES,), CPU)
    assert absence(FID_FEATURES, CPU) == "no Inception weights: coldbench fetch inception"
    assert absence("mnist-cnn", CPU) == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist-cn", r"unknown feature 'mnist-cn'; did you mean mnist-cnn\?"),
        (f"{__name__}:no_space", "gave Tensor instead of a FeatureSpace"),
        (f"{__name__}:fails", "failed: ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_feature_space_is_named(name: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load_feature_space(name, CPU)


def test_mnist_cnn_is_one_file_of_weights() -> None:
    space = mnist_cnn(CPU)
    assert (space.name, space.sha256, space.image_size) == ("mnist-cnn", digits.SHA256, 32)
    colour = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    features = space.extract(colour)
    assert features.shape == (3, digits.FEATURES)
    torch.testing.assert_close(features, space.extract(colour.mean(dim=1, keepdim=True)))


def test_other_weights_than_those_that_ship_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "SHA256", "0" * 64)
    with pytest.raises(BadInput, match=r"has sha256 3acb05a994d4\.\.\., but the registry expects 0000"):
        mnist_cnn(CPU)


def test_mnist_cnn_is_registered_with_torch_fidelity() -> None:
    pixels = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    theirs = create_feature_extractor("mnist-cnn", ["128"], cuda=False)(pixels)[0]
    torch.testing.assert_close(theirs, mnist_cnn(torch.device("cpu")).extract(pixels / 255))
    assert theirs.shape == (3, 128)


@pytest.mark.parametrize("name", list(FEATURES))
def test_every_space_is_at_hand_or_says_what_supplies_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it makes of images; nothing is downloaded in passing."""
    monkeypatch.setattr(socket.socket, "connect", lambda *address: pytest.fail("the net was asked"))
    supplied = re.fullmatch(r"no .* weights: coldbench fetch ([\w-]+)", absence(name, CPU))
    if name in ("mnist-cnn", "efficientnet-lite0"):
        assert load_feature_space(name, CPU).name == name
    else:
        assert supplied is not None
        assert supplied[1] in WEIGHTS
        assert supplied[1] == (name if "inception" not in name else "inception")
    summary = str(inspect.getdoc(FEATURES[name])).partition("\n")[0]
    assert "images" in summary
    assert len(summary) < 120


def test_hashes_are_whole() -> None:
    """Weights are unpickled, some of them as code: what is pinned is more than the few digits in a file's name."""
    short = {name for name, weights in WEIGHTS.items() if not re.fullmatch(r"[0-9a-f]{64}", weights.sha256)}
    assert not short
    assert all(weights.sha256[:8] in weights.url for name, weights in WEIGHTS.items() if not name.startswith("dinov2"))
