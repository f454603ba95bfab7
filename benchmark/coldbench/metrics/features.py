"""Feature spaces for the Frechet distance: torch-fidelity's Inception, and our own digits' where it is absent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.hub import get_dir

from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import sha256_of
from coldbench.diffusion.catalog import find_entry
from coldbench.diffusion.checkpoints import load_network
from coldbench.metrics.digits import IMAGE_SIZE, features_of

#: The one feature space whose Frechet distance is called FID.
FID_FEATURES = "inception-v3-compat"
#: The first digits of its weights' SHA-256, as their authors put them into the file's name.
INCEPTION_SHA256 = "6726825d"


@dataclass(frozen=True)
class FeatureSpace:
    """A named map from images to feature vectors.

    Attributes:
        name: as printed with the number.
        sha256: of the extractor's weights.
        extract: images (B, C, S, S) in [0, 1], unclamped -> features (B, d).
        image_size: the only S it takes, in pixels; None if it takes any.
    """

    name: str
    sha256: str
    extract: Callable[[Tensor], Tensor]
    image_size: int | None = None

    @property
    def metric(self) -> str:
        """``FID`` for Inception's pool3, ``FD`` for anything else."""
        return "FID" if self.name == FID_FEATURES else "FD"


def inception(device: torch.device) -> FeatureSpace:
    """torch-fidelity's ``inception-v3-compat``, pool3 (2048). It reads 8-bit colour, so images are clamped and rounded.

    Raises:
        Missing: the weights are not on this machine.
        BadInput: they are damaged.
    """
    from torch_fidelity.utils import create_feature_extractor

    path = inception_weights()
    if not path.exists():
        raise Missing(f"no Inception weights at {path}: coldbench fetch inception")
    sha256 = sha256_of(path)
    if not sha256.startswith(INCEPTION_SHA256):
        raise BadInput(
            f"{path} is damaged (its sha256 does not begin with {INCEPTION_SHA256}): delete it, fetch it again"
        )
    network = create_feature_extractor(
        FID_FEATURES, ["2048"], cuda=False, feature_extractor_weights_path=str(path), verbose=False
    ).to(device)

    def extract(images: Tensor) -> Tensor:
        pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
        features: Tensor = network(pixels.expand(-1, 3, -1, -1))[0]
        return features

    return FeatureSpace(FID_FEATURES, sha256, extract)


def mnist_cnn(device: torch.device) -> FeatureSpace:
    """Our own digit features (128), on the unclamped, unrounded images, as the paper feeds its extractor."""
    entry = find_entry("mnist-cnn")
    network = load_network(entry).to(device)
    return FeatureSpace(entry.name, entry.sha256 or "", partial(features_of, network), IMAGE_SIZE)


def inception_weights() -> Path:
    """Where torch-fidelity keeps, and ``coldbench fetch inception`` puts, the Inception weights."""
    return Path(get_dir()) / "checkpoints" / f"weights-inception-2015-12-05-{INCEPTION_SHA256}.pth"
