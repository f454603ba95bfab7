"""What generated images are compared with: the features of a data set's training images.

Their statistics are taken once and kept, so that Table 5 needs no training images afterwards; those of MNIST ship.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import write_atomically
from coldbench.core.paths import home, shipped
from coldbench.core.progress import Watch
from coldbench.data.cache import ImageStore
from coldbench.data.decoding import Pixels
from coldbench.data.sources import ImageSource
from coldbench.data.transforms import to_model_range
from coldbench.diffusion.generators import fit_channel_means
from coldbench.evaluation.loop import batches, to_unit
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.frechet import FeatureStatistics
from coldbench.metrics.metric import Accumulator, Metric

_BATCH = 100


@dataclass(frozen=True)
class TrainingFeatures:
    """The training images, as one feature space sees them.

    Attributes:
        name: of the set, for tables.
        digest: SHA-256 of the images' files.
        features_sha256: of the extractor.
        seen: the accumulator that has seen their features.
    """

    name: str
    digest: str
    features_sha256: str
    seen: Any


def training_features(
    dataset: str,
    space: FeatureSpace,
    metric: Metric,
    store: ImageStore,
    *,
    transform: str,
    image_size: int,
    channels: int,
    device: torch.device,
) -> TrainingFeatures:
    """The training images of a data set as a metric sees them in a feature space.

    Mean and covariance are kept once they were taken, or ship; what other metrics accumulate is taken anew.

    Args:
        dataset: a name in ``DATASETS``.
        space: the feature space.
        metric: whose accumulator is wanted.
        store: opens the training images; where they are absent, what was kept must do.
        transform: of the images; see ``coldbench.data.transforms``.
        image_size, channels: of the images, after the transform.
        device: of the feature space.

    Raises:
        Missing: neither statistics nor images.
        BadInput: a damaged file of statistics.
    """
    zoomed = "" if transform == "native" else f"-{transform}"
    name = f"{dataset}-train-{image_size}{zoomed}-{space.name}.safetensors"
    source = _present(store, dataset)
    keepable = metric.accumulator is FeatureStatistics
    for path in (home() / "statistics" / name, shipped("models", "statistics", name)) if keepable else ():
        kept = _load(path) if path.exists() else None
        # Statistics of another extractor or of other images are no reference.
        if kept and kept.features_sha256 == space.sha256 and (source is None or kept.digest == source.digest):
            return kept
    source = source or store.source(dataset, train=True)  # says what is missing
    pixels = store.pixels(source, transform=transform, image_size=image_size, channels=channels)
    seen = metric.accumulator()
    _take(seen, pixels, space, device, store.progress(f"{space.name} of {source.name} training images"))
    taken = TrainingFeatures(f"{source.name} training images", source.digest, space.sha256, seen)
    if keepable:
        _save(taken, home() / "statistics" / name)
    return taken


def training_start(
    dataset: str, start: Mapping[str, Any], store: ImageStore, *, transform: str, image_size: int, channels: int
) -> dict[str, Any]:
    """What a generator starts from, fitted to the training images where that was not done when it was trained.

    Args:
        dataset: a name in ``DATASETS``.
        start: of the registry entry.
        store: opens the training images.
        transform, image_size, channels: of the images; see ``training_features``.

    Raises:
        Missing: it must be fitted, and the training images are absent.
    """
    if start.get("name") != "channel-means" or "mean" in start:
        return dict(start)
    source = store.source(dataset, train=True)
    pixels = store.pixels(source, transform=transform, image_size=image_size, channels=channels)
    return {**start, **fit_channel_means(pixels)}


def _present(store: ImageStore, dataset: str) -> ImageSource | None:
    """The training images, if they are here."""
    try:
        return store.source(dataset, train=True)
    except Missing:
        return None


@torch.inference_mode()
def _take(seen: Accumulator, pixels: Pixels, space: FeatureSpace, device: torch.device, progress: Watch) -> None:
    for positions in batches(pixels.count, _BATCH):
        seen.update(space.extract(to_unit(to_model_range(pixels.batch(positions).to(device)))))
        progress(positions.stop, pixels.count)


def _check(statistics: FeatureStatistics) -> None:
    """Raise ValueError unless these can be the statistics of a set of images."""
    dim = len(statistics.mean)
    finite = statistics.mean.isfinite().all() and statistics.scatter.isfinite().all()
    if statistics.mean.shape != (dim,) or statistics.scatter.shape != (dim, dim) or not finite or statistics.count < 2:
        raise ValueError("no mean (d,) and scatter (d, d) of two or more images")


def _save(reference: TrainingFeatures, path: Path) -> None:
    tensors = {"mean": reference.seen.mean, "scatter": reference.seen.scatter.contiguous()}
    facts = {
        "name": reference.name,
        "digest": reference.digest,
        "features_sha256": reference.features_sha256,
        "count": str(reference.seen.count),
    }
    content = to_bytes(tensors, metadata=facts)
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def _load(path: Path) -> TrainingFeatures:
    statistics = FeatureStatistics()
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata()
            statistics.mean, statistics.scatter = file.get_tensor("mean"), file.get_tensor("scatter")
        statistics.count = int(facts["count"])
        _check(statistics)
        return TrainingFeatures(facts["name"], facts["digest"], facts["features_sha256"], statistics)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path} holds no feature statistics: {error}; delete it") from error
