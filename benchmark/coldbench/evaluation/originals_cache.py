"""The features of original images, kept across runs and tables by what they were computed from."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch

from coldbench.core import array_cache
from coldbench.core.devices import device_name
from coldbench.core.provenance import code_digest, versions
from coldbench.data.sources import ImageSource
from coldbench.data.transforms import Transform
from coldbench.metrics.features import FEATURES, FeatureSpace


@dataclass(frozen=True)
class OriginalsCache:
    """Finds and keeps the features of some images of one set.

    Those in a feature space that does not ship are not kept: what a plug-in computes may change without its hash.

    Attributes:
        source: the set.
        title: what it is called where the cache is listed.
        transform: of the images.
        image_size: S, in pixels, after the transform.
        channels: C, after the transform.
        images: which of the set.
        batch_size: images at a time: another number rounds differently, so what was extracted with it is kept apart.
        device: of the feature spaces.
        seed: of what a random transform draws.
    """

    source: ImageSource
    title: str
    transform: Transform
    _: KW_ONLY
    image_size: int
    channels: int
    images: range
    batch_size: int
    device: torch.device
    seed: int = 0

    def find(self, space: FeatureSpace) -> np.ndarray | None:
        """Their features (N, d), if they are there."""
        return array_cache.find(self._facts(space)) if FEATURES.is_builtin(space.name) else None

    def keep(self, space: FeatureSpace, rows: np.ndarray) -> None:
        """Let their features (N, d) be there next time."""
        if FEATURES.is_builtin(space.name):
            array_cache.keep(self._facts(space), rows)

    def _facts(self, space: FeatureSpace) -> dict[str, Any]:
        """Everything that the features depend on."""
        return {
            "what": "features",
            "data": self.source.digest,
            "set": self.title,
            "transform": str(self.transform),
            "seed": self.seed if self.transform.random else None,
            "image_size": self.image_size,
            "channels": self.channels,
            "first": self.images.start,
            "images": len(self.images),
            "batch_size": self.batch_size,
            "features": space.name,
            "features_sha256": space.sha256,
            "device": device_name(self.device),
            "versions": versions(),
            "code": code_digest(),
        }
