"""LPIPS: the distance of two images in the layers of AlexNet (Zhang et al. 2018), by torchmetrics."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.hub import get_dir

from coldbench.core.download import Download, download
from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import sha256_of
from coldbench.metrics.metric import mean_over_images

#: The first digits of the SHA-256 of AlexNet's weights, as their authors put them into the file's name.
SHA256 = "7be5be79"
URL = f"https://download.pytorch.org/models/alexnet-owt-{SHA256}.pth"
#: The smallest image that AlexNet's layers leave anything of, in pixels.
SMALLEST = 31


def weights() -> Path:
    """Where torchvision keeps, and ``coldbench fetch lpips`` puts, the weights of AlexNet."""
    return Path(get_dir()) / "checkpoints" / URL.rsplit("/", maxsplit=1)[-1]


def ready() -> None:
    """Whether LPIPS can be computed here.

    Raises:
        Missing: torchmetrics, or the weights of AlexNet, are absent.
    """
    if importlib.util.find_spec("torchmetrics") is None:
        raise Missing("LPIPS needs torchmetrics: pip install 'coldbench[lpips]'")
    if not weights().exists():
        raise Missing("no weights for LPIPS: coldbench fetch lpips")


def lpips_per_image(prediction: Tensor, target: Tensor) -> Tensor:
    """LPIPS of images (B, C, H, W) in [0, 1], clamped, grey taken for colour: (B,)."""
    x, y = (images.float().clamp(0, 1).expand(-1, 3, -1, -1) for images in (prediction, target))
    distances: Tensor = _network(weights()).to(x.device)(x, y, normalize=True)
    return distances.flatten()


@cache
def _network(path: Path) -> Any:
    ready()
    if not sha256_of(path).startswith(SHA256):
        raise BadInput(f"{path} is damaged (its sha256 does not begin with {SHA256}): delete it, fetch it again")
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return LearnedPerceptualImagePatchSimilarity(net_type="alex").net


def fetch_lpips(*, quiet: bool = False) -> str:
    """Download the weights of AlexNet into torch's hub folder; returns what to tell the user."""
    download(Download(URL, weights(), "sha256", SHA256), quiet=quiet)
    return f"the weights of AlexNet are at {weights()}"


LPIPS = mean_over_images("LPIPS", lpips_per_image, better="lower", smallest=SMALLEST, ready=ready)
