"""Feature spaces for the Frechet distance, taken from torch-fidelity's registry of extractors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.hub import get_dir

from coldbench.checkpoints import load_network
from coldbench.errors import Missing
from coldbench.files import sha256_of
from coldbench.metrics.mnist_cnn import features_of
from coldbench.registry import find_entry

#: The one feature space whose Frechet distance is called FID.
FID_FEATURES = "inception-v3-compat"


@dataclass(frozen=True)
class FeatureSpace:
    """A named map from images to feature vectors.

    Attributes:
        name: as printed with the number.
        sha256: of the extractor's weights.
        extract: images (B, C, S, S) in [0, 1], unclamped -> features (B, d).
    """

    name: str
    sha256: str
    extract: Callable[[Tensor], Tensor]

    @property
    def metric(self) -> str:
        """``FID`` for Inception's pool3, ``FD`` for anything else."""
        return "FID" if self.name == FID_FEATURES else "FD"


def inception(device: torch.device) -> FeatureSpace:
    """torch-fidelity's ``inception-v3-compat``, pool3 (2048). It reads 8-bit colour, so images are clamped and rounded.

    Raises:
        Missing: the weights are not on this machine.
    """
    from torch_fidelity.utils import create_feature_extractor

    path = inception_weights()
    if not path.exists():
        raise Missing(f"Inception weights are not at {path}: coldbench fetch inception")
    network = create_feature_extractor(
        FID_FEATURES, ["2048"], cuda=False, feature_extractor_weights_path=str(path), verbose=False
    ).to(device)

    def extract(images: Tensor) -> Tensor:
        pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
        features: Tensor = network(pixels.expand(-1, 3, -1, -1))[0]
        return features

    return FeatureSpace(FID_FEATURES, sha256_of(path), extract)


def mnist_cnn(device: torch.device) -> FeatureSpace:
    """Our own digit features (128), on the unclamped, unrounded images, as the paper feeds its extractor."""
    entry = find_entry("mnist-cnn")
    network = load_network(entry).to(device)
    return FeatureSpace(entry.name, entry.sha256 or "", partial(features_of, network))


def inception_weights() -> Path:
    """Where torch-fidelity keeps, and ``coldbench fetch inception`` puts, the Inception weights."""
    return Path(get_dir()) / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
