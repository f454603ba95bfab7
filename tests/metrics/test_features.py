"""Feature spaces: found by name, refused by name, and what they make of images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_fidelity import feature_extractor_inceptionv3
from torch_fidelity.utils import create_feature_extractor

from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import sha256_of
from coldbench.metrics import digits, inception
from coldbench.metrics.digits import mnist_cnn
from coldbench.metrics.features import FID_FEATURES, FeatureSpace, absence, feature_spaces, load_feature_space

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


def test_inception_reads_clamped_8_bit_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extractor, with random weights in the place of those that cannot ship."""
    with pytest.raises(Missing, match="coldbench fetch inception"):
        inception.inception(torch.device("cpu"))
    path = inception.inception_weights()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    with pytest.raises(BadInput, match="is damaged"):
        inception.inception(torch.device("cpu"))
    with monkeypatch.context() as patch:
        patch.setattr(feature_extractor_inceptionv3, "load_state_dict_from_url", lambda *a, **k: {})
        patch.setattr(torch.nn.Module, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        random = feature_extractor_inceptionv3.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.save(random.state_dict(), path)
    monkeypatch.setattr(inception, "SHA256", "")
    monkeypatch.setattr(inception, "inception_weights", lambda: path)
    space = inception.inception(torch.device("cpu"))
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.1
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).repeat(1, 3, 1, 1)
    torch.testing.assert_close(space.extract(images), random(pixels)[0])
    assert (space.name, space.sha256) == (FID_FEATURES, sha256_of(path))
