"""LPIPS: the distance of two images in the layers of AlexNet (Zhang et al. 2018), by torchmetrics."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from coldbench.core.extras import require
from coldbench.metrics.hub import HubWeights
from coldbench.metrics.metric import mean_over_images

#: Of AlexNet, where torchvision keeps them.
WEIGHTS = HubWeights(
    name="lpips",
    title="LPIPS",
    url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
)
#: The smallest image that AlexNet's layers leave anything of, in pixels.
SMALLEST = 31


def ready() -> None:
    """Whether LPIPS can be computed here.

    Raises:
        Missing: torchmetrics, or the weights of AlexNet, are absent.
    """
    require("LPIPS needs", "torchmetrics", extra="lpips")
    WEIGHTS.require()


def lpips_per_image(prediction: Tensor, target: Tensor) -> Tensor:
    """LPIPS of images (B, C, H, W) in [0, 1], clamped, grey taken for colour: (B,)."""
    x, y = (images.float().clamp(0, 1).expand(-1, 3, -1, -1) for images in (prediction, target))
    distances: Tensor = _network(WEIGHTS.path).to(x.device)(x, y, normalize=True)
    return distances.flatten()


@cache
def _network(path: Path) -> Any:
    """The network on the weights at ``path``, once for all calls."""
    ready()
    WEIGHTS.checked()
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return LearnedPerceptualImagePatchSimilarity(net_type="alex").net


LPIPS = mean_over_images("LPIPS", lpips_per_image, better="lower", smallest=SMALLEST, ready=ready)
