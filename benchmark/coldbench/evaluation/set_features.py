"""The features of a set of images, extracted once and kept in the cache for whoever needs them next."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from coldbench.core.progress import Watch
from coldbench.core.rows import RowFile
from coldbench.data.cache import ImageStore
from coldbench.data.decoding import Pixels
from coldbench.data.sources import ImageSource
from coldbench.data.transforms import find_transform, to_model_range
from coldbench.evaluation.feature_files import extracted
from coldbench.evaluation.loop import batches, to_unit
from coldbench.evaluation.originals_cache import OriginalsCache
from coldbench.metrics.feature_sets import FeatureSet
from coldbench.metrics.features import FeatureSpace

#: Images at a time, the same in all commands unless they are told otherwise: another number rounds differently, so what
#: was extracted with it is kept apart.
_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class View:
    """How images are seen by a feature space.

    Attributes:
        transform: of the images; see ``coldbench.data.transforms``.
        image_size: S, in pixels, after the transform.
        channels: C, after the transform.
        device: of the feature space.
    """

    transform: str
    image_size: int
    channels: int
    device: torch.device


def features_of_set(
    source: ImageSource,
    title: str,
    space: FeatureSpace,
    store: ImageStore,
    view: View,
    *,
    images: int | None = None,
    batch_size: int = _BATCH,
) -> FeatureSet:
    """The features of the first images of a set; where the cache has them, no image is decoded.

    Args:
        source: the set.
        title: what it is called in the cache and on progress bars.
        space: the feature space.
        store: decodes the images.
        view: how they are seen.
        images: N; all of them unless given.
        batch_size: images at a time; changes no result, but for rounding.

    Raises:
        BadInput: images that cannot be used, a feature space that fails, or no room for the features.
    """
    count = source.count if images is None else images
    cache = OriginalsCache(
        source,
        title,
        find_transform(view.transform),
        image_size=view.image_size,
        channels=view.channels,
        images=range(count),
        batch_size=batch_size,
        device=view.device,
    )
    rows = cache.find(space)
    if rows is None:
        pixels = store.pixels(
            source, transform=view.transform, image_size=view.image_size, channels=view.channels, count=count
        )
        rows = _extracted(pixels, count, space, view.device, store.progress(f"{space.name} of {title}"), batch_size)
        cache.keep(space, rows)
    return FeatureSet(rows)


@torch.inference_mode()
def _extracted(
    pixels: Pixels, images: int, space: FeatureSpace, device: torch.device, progress: Watch, batch_size: int
) -> np.ndarray:
    """float32 (N, d), in a file that is gone when nobody can read it any more."""
    with tempfile.TemporaryDirectory(prefix="coldbench-") as folder:
        rows = RowFile(Path(folder) / "features")
        for positions in batches(images, batch_size):
            batch = to_unit(to_model_range(pixels.batch(positions).to(device)))
            rows.append(extracted(space, batch, positions))
            progress(positions.stop, images)
        return rows.array()
