"""Feature spaces that torch-fidelity computes: what we give is what it gives, on random weights of its networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch_fidelity.feature_extractor_clip import MODEL_METADATA, CLIPVisual
from torch_fidelity.utils import create_feature_extractor

from coldbench.core.errors import BadInput
from coldbench.metrics import fidelity
from coldbench.metrics.features import FEATURES
from tests.helpers import written

CPU = torch.device("cpu")


@pytest.fixture
def images() -> Tensor:
    """Smooth grey images (2, 1, 32, 32), with values beyond [0, 1]."""
    coarse = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 1.5 - 0.25
    return nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")


def save_vgg16(path: Path) -> None:
    """The two large layers share one row of numbers: in the file it stands once, instead of 120 million."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        shapes = torchvision.models.vgg16().state_dict()
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in shapes.items():
        shape = (1, tensor.shape[1]) if name in ("classifier.0.weight", "classifier.3.weight") else tensor.shape
        drawn = torch.randn(shape, generator=generator) * (2 / tensor[0].numel()) ** 0.5
        state[name] = drawn.expand(tensor.shape)
    torch.save(state, path)


def save_clip(path: Path) -> None:
    """A vision transformer of one block, as a TorchScript archive, as OpenAI's files are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = CLIPVisual(16, 64, 1, 64, 32).state_dict()
        drawn = {name: torch.randn(tensor.shape) * 0.2 for name, tensor in state.items()}
    root = nn.Module()
    for name, tensor in {**drawn, "text_projection": torch.zeros(8, 16)}.items():
        *modules, parameter = name.split(".")
        holder = root
        for each in modules:
            if not hasattr(holder, each):
                holder.add_module(each, nn.Module())
            holder = getattr(holder, each)
        holder.register_parameter(parameter, nn.Parameter(tensor))
    torch.jit.save(torch.jit.script(root), str(path))


def test_eight_bits_are_clamped_rounded_and_grey_is_repeated() -> None:
    values = torch.tensor([-0.5, 0, 0.499 / 255, 0.501 / 255, 1, 1.5]).reshape(1, 1, 2, 3)
    pixels = fidelity.eight_bits(values)
    assert pixels.dtype == torch.uint8
    assert pixels.tolist() == [[[[0, 0, 0], [1, 255, 255]]] * 3]


def test_vgg16(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity, "VGG16", written(fidelity.VGG16, save_vgg16))
    space = fidelity.vgg16(CPU)
    features = space.extract(images)
    assert features.shape == (2, 4096)
    assert (features >= 0).all()
    assert features.std(dim=0).max() > 0
    path = str(fidelity.VGG16.path)
    theirs = create_feature_extractor("vgg16", ["fc2_relu"], cuda=False, feature_extractor_weights_path=path)
    assert torch.equal(features, theirs(fidelity.eight_bits(images))[0])
    assert (space.name, space.sha256) == ("vgg16", fidelity.VGG16.sha256)


@pytest.mark.filterwarnings("ignore:`torch.jit.(script|save)")  # how the file is written here
def test_clip(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder's size is read off the file."""
    name = "clip-vit-b-32"
    pinned = written(fidelity.CLIP[name], save_clip)
    assert pinned.path.name == f"clip-vit-b-32-{MODEL_METADATA[name]['hash']}.pt", "where torch-fidelity looks"
    monkeypatch.setitem(fidelity.CLIP, name, pinned)
    space = fidelity.clip_vit_b_32(CPU)
    features = space.extract(images)
    assert features.shape == (2, 16)
    assert features.std(dim=0).max() > 0
    theirs, _ = fidelity.load_extractor(name, "clip", pinned, CPU)
    assert torch.equal(features, theirs(fidelity.eight_bits(images))[0])
    assert (space.name, space.sha256) == (name, pinned.sha256)


def test_all_of_openai_s_encoders_are_there() -> None:
    assert set(fidelity.CLIP) == {name for name in FEATURES if name.startswith("clip-")} == set(MODEL_METADATA)
    for name in fidelity.CLIP:
        summary = str(FEATURES[name].__doc__)
        assert summary.startswith(f"CLIP {MODEL_METADATA[name]['filename']}, "), "each name makes its own space"


def test_a_damaged_file_is_not_unpickled() -> None:
    fidelity.VGG16.path.parent.mkdir(parents=True)
    fidelity.VGG16.path.write_bytes(b"damaged")
    with pytest.raises(BadInput, match="is damaged"):
        fidelity.vgg16(CPU)
