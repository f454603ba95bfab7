"""``mnist-cnn``: the penultimate layer of a digit classifier, for the Frechet distance where Inception is absent.

Inception's features come from photographs and its weights cannot ship; this net's are made of digits and can. A
distance in this space is printed as ``FD[mnist-cnn]`` and compares with no published FID. The name stands for one file
of weights, so that distances stay comparable: a classifier that somebody trains anew is another space.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch_fidelity import register_feature_extractor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from coldbench.core.paths import shipped
from coldbench.core.weights import load_weights
from coldbench.metrics.features import FeatureSpace

NAME = "mnist-cnn"
FEATURES = 128
IMAGE_SIZE = 32
#: Of the weights that ship.
SHA256 = "3acb05a994d4ebf9a76a5718c631e501c08bea291c7b189b3b72c8e73500d5a1"


class MnistCnn(nn.Module):
    """Three convolutions and two linear layers on grey images (B, 1, 32, 32) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(128 * 4 * 4, FEATURES), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(FEATURES, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Digit logits (B, 10)."""
        logits: Tensor = self.head(features_of(self, images))
        return logits


def features_of(network: nn.Module, images: Tensor) -> Tensor:
    """The features (B, 128), non-negative, of images (B, C, 32, 32) in [0, 1]; colour is averaged to grey."""
    features: Tensor = network.get_submodule("body")(images.mean(dim=1, keepdim=True))
    return features


def mnist_cnn(device: torch.device) -> FeatureSpace:
    """Our own digit features (128), on the unclamped, unrounded images, as the paper feeds its extractor.

    Raises:
        BadInput: the shipped weights are damaged.
    """
    return FeatureSpace(NAME, SHA256, partial(features_of, load_classifier().to(device)), IMAGE_SIZE)


def load_classifier() -> MnistCnn:
    """The shipped classifier, in eval mode, on the CPU."""
    network = MnistCnn()
    load_weights(network, shipped("models", f"{NAME}.safetensors"), SHA256)
    return network.eval()


class MnistCnnExtractor(FeatureExtractorBase):
    """The same features behind torch-fidelity's interface: uint8 (B, 3, 32, 32) in, a tuple of one (B, 128) out."""

    def __init__(self, name: str, features_list: list[str], **kwargs: object) -> None:
        super().__init__(name, features_list)
        self.network = load_classifier()

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return (str(FEATURES),)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return str(FEATURES)

    @staticmethod
    def can_be_compiled() -> bool:
        return True

    @staticmethod
    def get_dummy_input_for_compile() -> Tensor:
        return torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.uint8)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (features_of(self.network, images.float() / 255),)


if NAME not in FEATURE_EXTRACTORS_REGISTRY:
    register_feature_extractor(NAME, MnistCnnExtractor)
