"""DINOv2: a published file read into torch's own transformer gives what the published network gives.

The network is written out here as the paper and its released code have it, with LayerScale as a layer of its own.
"""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_dinov2 import MODEL_METADATA, FeatureExtractorDinoV2

from coldbench.core.errors import BadInput
from coldbench.metrics import dinov2
from coldbench.metrics.features import FEATURES, FeatureSpace
from coldbench.metrics.fidelity import eight_bits
from tests.helpers import written

CPU = torch.device("cpu")
NAME = "dinov2-vit-s-14"
WIDTH, DEPTH = 128, 2


def published_state(side: int = 37) -> dict[str, Tensor]:
    """Random weights under the names and in the shapes of Meta's files: a small network on a grid of side x side."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int, scale: float = 0.1, shift: float = 0.0) -> Tensor:
        return torch.randn(*shape, generator=generator) * scale + shift

    def linear(inputs: int, outputs: int) -> tuple[Tensor, Tensor]:
        return drawn(outputs, inputs), drawn(outputs)

    state = {
        "cls_token": drawn(1, 1, WIDTH),
        "pos_embed": drawn(1, 1 + side * side, WIDTH, scale=0.5),
        "mask_token": drawn(1, WIDTH),
        "patch_embed.proj.weight": drawn(WIDTH, 3, 14, 14),
        "patch_embed.proj.bias": drawn(WIDTH),
        "norm.weight": drawn(WIDTH, shift=1.0),
        "norm.bias": drawn(WIDTH),
    }
    sizes = {"attn.qkv": 3 * WIDTH, "attn.proj": WIDTH, "mlp.fc1": 4 * WIDTH}
    for number in range(DEPTH):
        for name, outputs in sizes.items():
            weight, bias = linear(WIDTH, outputs)
            state |= {f"blocks.{number}.{name}.weight": weight, f"blocks.{number}.{name}.bias": bias}
        weight, bias = linear(4 * WIDTH, WIDTH)
        state |= {f"blocks.{number}.mlp.fc2.weight": weight, f"blocks.{number}.mlp.fc2.bias": bias}
        for norm in ("norm1", "norm2"):
            state[f"blocks.{number}.{norm}.weight"] = drawn(WIDTH, shift=1.0)
            state[f"blocks.{number}.{norm}.bias"] = drawn(WIDTH)
        state |= {f"blocks.{number}.{scale}.gamma": drawn(WIDTH, scale=0.5) for scale in ("ls1", "ls2")}
    return state


class Published(nn.Module):
    """DINOv2 as it is published: norm, attention, LayerScale, sum; norm, two layers, LayerScale, sum."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.state = state

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (WIDTH,), self.state[f"{name}.weight"], self.state[f"{name}.bias"], 1e-6)

    def attention(self, x: Tensor, name: str) -> Tensor:
        """Scores of query and key over the root of the head's width, 64, head by head."""
        q, k, v = self.linear(x, f"{name}.qkv").unflatten(2, (3, WIDTH // 64, 64)).permute(2, 0, 3, 1, 4)
        mixed = (q @ k.transpose(-2, -1) / 8).softmax(dim=-1) @ v
        return self.linear(mixed.transpose(1, 2).flatten(2), f"{name}.proj")

    def positions(self) -> Tensor:
        """On 16 x 16 patches, sampled at ((i + 1/2) side / 16.1 - 1/2)."""
        own, grid = self.state["pos_embed"][:, :1], self.state["pos_embed"][:, 1:]
        side = round(grid.shape[1] ** 0.5)
        if side == 16:
            return self.state["pos_embed"]
        at = (torch.arange(16) + 0.5) / 16.1 * 2 - 1
        places = torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1)[None]
        square = grid.transpose(1, 2).unflatten(2, (side, side))
        sampled = F.grid_sample(square, places, mode="bicubic", padding_mode="border", align_corners=False)
        return torch.cat((own, sampled.flatten(2).transpose(1, 2)), dim=1)

    def forward(self, images: Tensor) -> Tensor:
        weight, bias = self.state["patch_embed.proj.weight"], self.state["patch_embed.proj.bias"]
        patches = F.conv2d(images, weight, bias, stride=14).flatten(2).transpose(1, 2)
        x = torch.cat((self.state["cls_token"].expand(len(images), -1, -1), patches), dim=1) + self.positions()
        for number in range(DEPTH):
            block = f"blocks.{number}"
            mixed = self.attention(self.norm(x, f"{block}.norm1"), f"{block}.attn")
            x = x + self.state[f"{block}.ls1.gamma"] * mixed
            hidden = F.gelu(self.linear(self.norm(x, f"{block}.norm2"), f"{block}.mlp.fc1"))
            x = x + self.state[f"{block}.ls2.gamma"] * self.linear(hidden, f"{block}.mlp.fc2")
        return self.norm(x, "norm")[:, 0]


def space_of(state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> FeatureSpace:
    monkeypatch.setitem(dinov2.DINOV2, NAME, written(dinov2.DINOV2[NAME], lambda path: torch.save(state, path)))
    return dinov2.dinov2_vit_s_14(CPU)


@pytest.mark.parametrize("side", [37, 16])
def test_the_features_are_those_that_torch_fidelity_takes_of_the_published_network(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = published_state(side)
    space = space_of(state, monkeypatch)
    with mock.patch.object(torch.hub, "load", return_value=Published(state)):
        theirs = FeatureExtractorDinoV2(NAME, ["dinov2"])
    coarse = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 1.5 - 0.25
    images = F.interpolate(coarse, size=(32, 32), mode="bilinear")
    with torch.inference_mode():
        features, expected = space.extract(images), theirs(eight_bits(images))[0]
    assert features.shape == (2, WIDTH)
    assert (features[0] - features[1]).abs().max() > 1e-2, "features tell images apart"
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert (space.name, space.sha256) == (NAME, dinov2.DINOV2[NAME].sha256)


@pytest.mark.parametrize("name", ["cls_token", "blocks.1.ls2.gamma", "norm.bias"])
def test_a_file_that_lacks_something_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = published_state()
    del state[name]
    with pytest.raises(BadInput, match="does not fit its network"):
        space_of(state, monkeypatch)


def test_files_lie_where_torch_hub_keeps_them(own_home: Path) -> None:
    assert set(dinov2.DINOV2) == {name for name in FEATURES if name.startswith("dinov2-")}
    for name, weights in dinov2.DINOV2.items():
        assert weights.url.endswith(f"/{MODEL_METADATA[name]}/{MODEL_METADATA[name]}_pretrain.pth")
        assert weights.path == own_home / "torch" / "hub" / "checkpoints" / f"{MODEL_METADATA[name]}_pretrain.pth"
        assert str(FEATURES[name].__doc__).startswith(weights.title)
