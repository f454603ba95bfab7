"""``inception-v3-compat``: torch-fidelity's Inception, whose Frechet distance is the FID."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.hub import get_dir

from coldbench.core.download import Download, download
from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import sha256_of
from coldbench.metrics.features import FID_FEATURES, FeatureSpace

#: The first digits of the weights' SHA-256, as their authors put them into the file's name.
SHA256 = "6726825d"


def inception(device: torch.device) -> FeatureSpace:
    """torch-fidelity's ``inception-v3-compat``, pool3 (2048). It reads 8-bit colour, so images are clamped and rounded.

    Raises:
        Missing: the weights are not on this machine.
        BadInput: they are damaged.
    """
    from torch_fidelity.utils import create_feature_extractor

    path = inception_weights()
    if not path.exists():
        raise Missing("no Inception weights: coldbench fetch inception")
    sha256 = sha256_of(path)
    if not sha256.startswith(SHA256):
        raise BadInput(f"{path} is damaged (its sha256 does not begin with {SHA256}): delete it, fetch it again")
    network = create_feature_extractor(
        FID_FEATURES, ["2048"], cuda=False, feature_extractor_weights_path=str(path), verbose=False
    ).to(device)

    def extract(images: Tensor) -> Tensor:
        pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
        features: Tensor = network(pixels.expand(-1, 3, -1, -1))[0]
        return features

    return FeatureSpace(FID_FEATURES, sha256, extract)


def inception_weights() -> Path:
    """Where torch-fidelity keeps, and ``coldbench fetch inception`` puts, the Inception weights."""
    return Path(get_dir()) / "checkpoints" / f"weights-inception-2015-12-05-{SHA256}.pth"


def fetch_inception(*, quiet: bool = False) -> str:
    """Download the Inception weights of torch-fidelity into torch's hub folder; returns what to tell the user."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    path = inception_weights()
    download(Download(URL_INCEPTION_V3, path, "sha256", SHA256), quiet=quiet)
    return f"the Inception weights are at {path}"
