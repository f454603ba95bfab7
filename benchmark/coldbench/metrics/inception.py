"""Inception-v3, pool3, in two arithmetics on one file of weights: the paper's FID, and torch-fidelity's.

They differ in what they make of an image before the first layer, by per cents of the features (PROTOCOL 6.5): a number
that is to stand beside a published FID of the paper needs the paper's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

from coldbench.metrics.features import FID_FEATURES, FeatureSpace
from coldbench.metrics.fidelity import fidelity_space, load_extractor
from coldbench.metrics.hub import HubWeights

COMPAT = "inception-v3-compat"
#: The network of the FID (Heusel et al. 2017), converted from TensorFlow.
WEIGHTS = HubWeights(
    name="inception",
    title="Inception",
    url=URL_INCEPTION_V3,
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
#: The side of the images that the network reads, in pixels.
IMAGE_SIZE = 299


def inception(device: torch.device) -> FeatureSpace:
    """Inception-v3, pool3 (2048), as the paper computes it; images as they are, bilinear to 299 pixels.

    The released code (PROTOCOL 5.3) feeds floats, neither clamped nor rounded, scaled with half-pixel centres and
    without antialiasing, then 2x - 1; grey is repeated.

    Raises:
        Missing: the weights are not on this machine.
        BadInput: they are damaged.
    """
    network, sha256 = load_extractor(COMPAT, "2048", WEIGHTS, device)
    layers = nn.Sequential(*(layer for name, layer in network.named_children() if name != "fc"))

    def extract(images: Tensor) -> Tensor:
        size = (IMAGE_SIZE, IMAGE_SIZE)
        scaled = interpolate(images.expand(-1, 3, -1, -1), size, mode="bilinear", align_corners=False, antialias=False)
        features: Tensor = layers(2 * scaled - 1).flatten(1)
        return features

    return FeatureSpace(FID_FEATURES, sha256, extract)


def inception_compat(device: torch.device) -> FeatureSpace:
    """Inception-v3, pool3 (2048), as torch-fidelity computes it; 8-bit images, TensorFlow 1's bilinear to 299 pixels.

    Raises:
        Missing: the weights are not on this machine.
        BadInput: they are damaged.
    """
    return fidelity_space(COMPAT, "2048", WEIGHTS, device)
