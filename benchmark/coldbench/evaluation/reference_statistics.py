"""What generated images are compared with: the features of a data set's training images, or statistics from a file.

Mean and covariance are taken once and kept, so that Table 5 needs no training images afterwards; those of MNIST ship.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from coldbench.core.errors import BadInput, Missing, foreign
from coldbench.core.files import sha256_of, write_atomically
from coldbench.core.paths import at_home, exists, shipped, writable_home
from coldbench.data.cache import ImageStore
from coldbench.data.sources import ImageSource
from coldbench.diffusion.generators import fit_channel_means
from coldbench.evaluation.set_features import View, features_of_set
from coldbench.metrics.feature_sets import FeatureSet
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.frechet import FeatureStatistics
from coldbench.metrics.metric import Accumulator, Metric
from coldbench.metrics.statistics_file import read_statistics


@dataclass(frozen=True)
class TrainingFeatures:
    """What generated images are compared with, as one feature space sees it.

    Attributes:
        name: of the set, for tables.
        digest: SHA-256 of the images' files, or of the file of statistics.
        features_sha256: of the extractor.
        seen: the accumulator that has seen the features.
    """

    name: str
    digest: str
    features_sha256: str
    seen: Any


class TrainingSet:
    """The training images of a data set, as the metrics of one feature space see them.

    Mean and covariance are kept once they were taken, or ship. For everything else features are needed, which are
    extracted once for all metrics together.

    Args:
        dataset: a name in ``DATASETS``.
        space: the feature space.
        store: opens the training images; where they are absent, what was kept must do.
        view: how they are seen.
    """

    def __init__(self, dataset: str, space: FeatureSpace, store: ImageStore, view: View) -> None:
        self.dataset, self.space, self.store, self.view = dataset, space, store, view
        self._seen: dict[Callable[[], Accumulator], TrainingFeatures] = {}

    def seen_by(self, metric: Metric) -> TrainingFeatures:
        """What a metric is to compare with; metrics with the same accumulator share it.

        Raises:
            Missing: neither statistics that will do, nor images.
            BadInput: a damaged file of statistics, or images that cannot be used.
        """
        make = metric.accumulator
        if make not in self._seen:
            self._seen[make] = self._statistics() if make is FeatureStatistics else self._accumulated(make)
        return self._seen[make]

    def _statistics(self) -> TrainingFeatures:
        zoomed = "" if self.view.transform == "native" else f"-{self.view.transform}"
        name = f"{self.dataset}-train-{self.view.image_size}{zoomed}-{self.space.name}.safetensors"
        present = _present(self.store, self.dataset)
        for path in (at_home("statistics", name), shipped("models", "statistics", name)):
            kept = _load(path) if path is not None and exists(path) else None
            # Statistics of another extractor or of other images are no reference.
            if kept and kept.features_sha256 == self.space.sha256 and present in (None, kept.digest):
                return kept
        taken = self._accumulated(FeatureStatistics)
        _save(taken, writable_home() / "statistics" / name)
        return taken

    def _accumulated(self, make: Callable[[], Accumulator]) -> TrainingFeatures:
        source = self._source
        seen = self._features.seen_by(make)
        return TrainingFeatures(f"{source.name} training images", source.digest, self.space.sha256, seen)

    @cached_property
    def _features(self) -> FeatureSet:
        title = f"{self._source.name} training images"
        return features_of_set(self._source, title, self.space, self.store, self.view)

    @property
    def _source(self) -> ImageSource:
        """The training images; raises ``Missing``, saying what supplies them."""
        return self.store.source(self.dataset, train=True)


def given_statistics(path: Path, space: FeatureSpace, view: View) -> TrainingFeatures:
    """Mean and covariance from a file of the user's; see ``metrics.statistics_file``.

    Args:
        path: of the file.
        space: that they must be of.
        view: of the images that are compared with them.

    Raises:
        BadInput: no such file, none of statistics, or statistics of another number of dimensions.
    """
    statistics = read_statistics(path)
    with foreign(f"feature '{space.name}'"), torch.inference_mode():
        empty = torch.zeros(1, view.channels, view.image_size, view.image_size, device=view.device)
        dimensions = space.extract(empty).shape[1]
    if len(statistics.mean) != dimensions:
        raise BadInput(
            f"{path} holds statistics of {len(statistics.mean)} dimensions, and {space.name} has {dimensions}: "
            "name their feature space with --features"
        )
    return TrainingFeatures(f"statistics of {path.name}, N unknown", sha256_of(path), space.sha256, statistics)


def training_start(
    dataset: str, start: Mapping[str, Any], store: ImageStore, *, transform: str, image_size: int, channels: int
) -> dict[str, Any]:
    """What a generator starts from, fitted to the training images where that was not done when it was trained.

    Args:
        dataset: a name in ``DATASETS``.
        start: of the registry entry.
        store: opens the training images.
        transform, image_size, channels: of the images; see ``View``.

    Raises:
        Missing: it must be fitted, and the training images are absent.
    """
    if start.get("name") != "channel-means" or "mean" in start:
        return dict(start)
    source = store.source(dataset, train=True)
    pixels = store.pixels(source, transform=transform, image_size=image_size, channels=channels)
    return {**start, **fit_channel_means(pixels)}


def _present(store: ImageStore, dataset: str) -> str | None:
    """The digest of the training images, if they are here."""
    try:
        return store.source(dataset, train=True).digest
    except Missing:
        return None


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
