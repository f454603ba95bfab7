"""DINOv2 (Oquab et al. 2023): the class token of its vision transformers, on Meta's published weights.

torch-fidelity knows these spaces by the same names, but loads code from the net to compute them. Here the network is
built of torch's own layers: a pre-norm transformer whose LayerScale (Touvron et al. 2021) is multiplied into the
linear layers before it. The largest model, ViT-g/14, has other layers, and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torchvision.transforms.functional import normalize

from coldbench.core.errors import BadInput
from coldbench.core.weights import fill
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.fidelity import eight_bits
from coldbench.metrics.hub import HubWeights

IMAGE_SIZE = 224
PATCH = 14
GRID = IMAGE_SIZE // PATCH
#: The width of an attention head, in all models.
HEAD = 64
EPSILON = 1e-6
#: Of ImageNet's channels, in 8-bit units.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def _published(size: str, sha256: str) -> HubWeights:
    url = f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vit{size}14/dinov2_vit{size}14_pretrain.pth"
    return HubWeights(f"dinov2-vit-{size}-14", f"DINOv2 ViT-{size.upper()}/14", url, sha256)


_ALL = (
    _published("s", "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"),
    _published("b", "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"),
    _published("l", "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"),
)
#: Name -> weights; Meta publishes no hashes, these are what the published files have.
DINOV2 = {weights.name: weights for weights in _ALL}


class VisionTransformer(nn.Module):
    """A vision transformer (Dosovitskiy et al. 2021) on images (B, 3, 224, 224), normalised.

    Args:
        width: of a token, a multiple of 64.
        depth: the number of blocks.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, PATCH, stride=PATCH)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + GRID * GRID, width))
        block = nn.TransformerEncoderLayer(
            width, width // HEAD, 4 * width, 0.0, "gelu", EPSILON, batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(width, eps=EPSILON)
        self.blocks = nn.TransformerEncoder(block, depth, norm, enable_nested_tensor=False)

    def forward(self, images: Tensor) -> Tensor:
        """The class token (B, width) after the last block, normalised."""
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.class_token.expand(len(images), -1, -1), patches), dim=1)
        features: Tensor = self.blocks(tokens + self.positions)[:, 0]
        return features


def load_dinov2(weights: HubWeights) -> VisionTransformer:
    """The network of a published file, in eval mode, on the CPU; width and depth are read off the file.

    Raises:
        BadInput: the file holds no such network.
    """
    published: dict[str, Tensor] = torch.load(weights.path, map_location="cpu", weights_only=True)
    depth = len([name for name in published if re.fullmatch(r"blocks\.\d+\.norm1\.weight", name)])
    try:
        network = VisionTransformer(published["cls_token"].shape[-1], depth)
        fill(network, _converted(published, depth), weights.path)
    except KeyError as error:
        raise BadInput(f"{weights.path} does not fit its network: it lacks {error}") from error
    return network.eval().requires_grad_(False)


def _converted(published: Mapping[str, Tensor], depth: int) -> dict[str, Tensor]:
    """Meta's parameters under the names of ``VisionTransformer``."""
    ours = {"class_token": published["cls_token"], "positions": _resampled(published["pos_embed"])}
    for part in ("weight", "bias"):
        ours[f"patches.{part}"] = published[f"patch_embed.proj.{part}"]
        ours[f"blocks.norm.{part}"] = published[f"norm.{part}"]
    for number in range(depth):
        prefix = f"blocks.{number}."
        block = {name.removeprefix(prefix): tensor for name, tensor in published.items() if name.startswith(prefix)}
        ours |= {f"blocks.layers.{number}.{name}": tensor for name, tensor in _converted_block(block).items()}
    return ours


def _converted_block(block: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One block's parameters under the names of ``nn.TransformerEncoderLayer``.

    LayerScale multiplies what a linear layer gives, gamma * (W y + b), and so may as well multiply W and b.
    """
    scaled = partial(torch.einsum, "i,i...->i...")
    ours = {}
    for part in ("weight", "bias"):
        ours[f"self_attn.in_proj_{part}"] = block[f"attn.qkv.{part}"]
        ours[f"self_attn.out_proj.{part}"] = scaled(block["ls1.gamma"], block[f"attn.proj.{part}"])
        ours[f"linear1.{part}"] = block[f"mlp.fc1.{part}"]
        ours[f"linear2.{part}"] = scaled(block["ls2.gamma"], block[f"mlp.fc2.{part}"])
        ours[f"norm1.{part}"], ours[f"norm2.{part}"] = block[f"norm1.{part}"], block[f"norm2.{part}"]
    return ours


def _resampled(positions: Tensor) -> Tensor:
    """The position embedding (1, 1 + n^2, d) of a grid of n x n patches, on that of 16 x 16: (1, 257, d).

    As Meta's code resamples it: bicubic, by a scale a tenth of a patch too large, which it has against rounding.
    """
    own, grid = positions[:, :1], positions[:, 1:]
    side = round(grid.shape[1] ** 0.5)
    square = grid.transpose(1, 2).unflatten(2, (side, side))
    if side != GRID:
        square = interpolate(square, scale_factor=(GRID + 0.1) / side, mode="bicubic")
    return torch.cat((own, square.flatten(2).transpose(1, 2)), dim=1)


def dinov2_space(name: str, device: torch.device) -> FeatureSpace:
    """The feature space of one of the models in ``DINOV2``.

    Images are prepared as torch-fidelity prepares them: 8-bit colour, TensorFlow 1's bilinear to 224 pixels, normalised
    by ImageNet's mean and deviation.

    Raises:
        Missing: the weights are not on this machine.
        BadInput: they are damaged.
    """
    sha256 = DINOV2[name].checked()
    network = load_dinov2(DINOV2[name]).to(device)

    def extract(images: Tensor) -> Tensor:
        pixels = eight_bits(images).float()
        scaled = interpolate_bilinear_2d_like_tensorflow1x(pixels, (IMAGE_SIZE, IMAGE_SIZE), align_corners=False)
        features: Tensor = network(normalize(scaled, MEAN, STD))
        return features

    return FeatureSpace(name, sha256, extract)


def _dinov2(name: str, dimensions: int) -> Callable[[torch.device], FeatureSpace]:
    """The function that makes the feature space of one model; it raises as ``dinov2_space`` does."""

    def make(device: torch.device) -> FeatureSpace:
        return dinov2_space(name, device)

    make.__doc__ = f"{DINOV2[name].title}, class token ({dimensions}); 8-bit images, 224 pixels."
    return make


dinov2_vit_s_14 = _dinov2("dinov2-vit-s-14", 384)
dinov2_vit_b_14 = _dinov2("dinov2-vit-b-14", 768)
dinov2_vit_l_14 = _dinov2("dinov2-vit-l-14", 1024)
