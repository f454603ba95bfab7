"""Feature spaces that torch-fidelity computes: VGG-16 and CLIP.

Its extractors read 8-bit colour, which they scale as TensorFlow 1 does: bilinear, without half-pixel centres, without
antialiasing. Each name means what it means there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_clip import MODEL_METADATA, MODEL_URLS
from torch_fidelity.utils import create_feature_extractor

from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.hub import HubWeights

#: Of ImageNet, by torchvision (Simonyan & Zisserman 2015).
VGG16 = HubWeights(
    name="vgg16",
    title="VGG-16",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
)
#: Name -> OpenAI's weights (Radford et al. 2021), which are published under their SHA-256.
CLIP = {
    name: HubWeights(
        name=name, title=f"CLIP {facts['filename']}", url=MODEL_URLS[name], sha256=facts["hash"],
        file=f"{name}-{facts['hash']}.pt",
    )
    for name, facts in MODEL_METADATA.items()
}  # fmt: skip


def eight_bits(images: Tensor) -> Tensor:
    """Images (B, C, S, S) in [0, 1], clamped, rounded to 8 bits, grey repeated: uint8 (B, 3, S, S)."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)


def load_extractor(name: str, layer: str, weights: HubWeights, device: torch.device) -> tuple[Any, str]:
    """torch-fidelity's extractor of this name, in eval mode, and the SHA-256 of its weights.

    Args:
        name: in torch-fidelity's registry of feature extractors.
        layer: whose output are the features.
        weights: of the network; the file is checked before torch-fidelity unpickles it.
        device: where it computes.

    Raises:
        Missing: the weights are not on this machine.
        BadInput: they are damaged.
    """
    sha256 = weights.checked()
    with warnings.catch_warnings():
        # OpenAI's files are TorchScript archives, and torch would have others written instead.
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.load`", category=FutureWarning)
        extractor = create_feature_extractor(
            name, [layer], cuda=False, feature_extractor_weights_path=str(weights.path), verbose=False
        )
    return extractor.to(device), sha256


def fidelity_space(name: str, layer: str, weights: HubWeights, device: torch.device) -> FeatureSpace:
    """The feature space that torch-fidelity calls ``name``; arguments and errors are those of ``load_extractor``."""
    extractor, sha256 = load_extractor(name, layer, weights, device)

    def extract(images: Tensor) -> Tensor:
        features: Tensor = extractor(eight_bits(images))[0]
        return features

    return FeatureSpace(name, sha256, extract)


def vgg16(device: torch.device) -> FeatureSpace:
    """VGG-16 of ImageNet, second hidden layer after its ReLU (4096); 8-bit images, 224 pixels.

    Raises:
        Missing: the weights are not on this machine.
        BadInput: they are damaged.
    """
    return fidelity_space("vgg16", "fc2_relu", VGG16, device)


def _clip(name: str) -> Callable[[torch.device], FeatureSpace]:
    """The function that makes the feature space of one of OpenAI's image encoders; it raises as ``vgg16`` does."""

    def make(device: torch.device) -> FeatureSpace:
        return fidelity_space(name, "clip", CLIP[name], device)

    make.__doc__ = f"{CLIP[name].title}, embedding of the image; 8-bit images, at the size of the encoder."
    return make


clip_rn50, clip_rn101, clip_rn50x4, clip_rn50x16, clip_rn50x64 = map(
    _clip, ("clip-rn50", "clip-rn101", "clip-rn50x4", "clip-rn50x16", "clip-rn50x64")
)
clip_vit_b_32, clip_vit_b_16, clip_vit_l_14, clip_vit_l_14_336px = map(
    _clip, ("clip-vit-b-32", "clip-vit-b-16", "clip-vit-l-14", "clip-vit-l-14-336px")
)
