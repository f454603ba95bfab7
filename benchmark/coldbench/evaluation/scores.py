"""What a measurement has seen so far of all metrics: saved, resumed, merged, and in the end turned into numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from coldbench.core.errors import BadInput, CheckFailed, foreign
from coldbench.evaluation.details import of_each
from coldbench.evaluation.feature_files import FeatureFiles, extracted
from coldbench.evaluation.originals_cache import OriginalsCache
from coldbench.metrics.audit import AUDITED, audited
from coldbench.metrics.feature_sets import FeatureSet, set_estimates
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.intervals import GROUPS, Estimate, Grouped, estimate
from coldbench.metrics.metric import Metric

#: (method, metric, feature space); the last is empty where the metric compares images with their originals.
Key = tuple[str, str, str]
#: The name of the images that restored ones are compared with.
ORIGINAL = "original"


@dataclass(frozen=True)
class Outcome:
    """What one measurement gave.

    Attributes:
        estimates: each number with its replicates.
        deviations: of each number from another implementation's, on the first images; None where there is none.
        warnings: what speaks against trusting a number, where anything does.
        gallery: ``original``, where there are any, and each method -> the first images (n, C, S, S) in [0, 1].
        seconds: wall time, of all attempts if it was resumed.
        network_seconds: of that, inside the network's forward.
        each: (method, metric) -> the metric of every image alone, float64 (N,); empty unless asked for.
    """

    estimates: Mapping[Key, Estimate]
    deviations: Mapping[Key, float | None]
    warnings: Mapping[Key, str]
    gallery: Mapping[str, Tensor]
    seconds: float
    network_seconds: float
    each: Mapping[tuple[str, str], Tensor] = field(default_factory=dict)

    @property
    def values(self) -> dict[Key, float]:
        """The bare numbers."""
        return {key: each.value for key, each in self.estimates.items()}

    def state_dict(self) -> dict[str, Any]:
        """What ``from_state_dict`` makes it from again."""
        replicates = {key: (each.value, each.replicates) for key, each in self.estimates.items()}
        return {**vars(self), "estimates": replicates}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Self:
        """The outcome that gave this state."""
        return cls(**{**state, "estimates": {key: Estimate(*each) for key, each in state["estimates"].items()}})


class Scores:
    """What was seen of every method, and of the originals where there are any: accumulators, and features on disk.

    Args:
        methods: that are measured.
        metrics: of what; those that compare images with their originals are left out where there are none.
        spaces: the feature spaces of the others; may be empty.
        images: how many the measurement has.
        start: the position in it of the first image that comes here.
        references: (feature space, metric) -> the accumulator of what generated images are compared with; None where
            images have originals.
        zero_features: how many images at the end get a feature vector of zeros, as in the released code.
        files: where features are kept; in a temporary folder unless given.
        cache: of the originals' features; none unless given.
        skipped: so many images of the data set come before the first, for messages.
        groups: of images, for intervals (see ``metrics.intervals``).
        each: whether the metrics of pairs are kept of every image, too.

    Attributes:
        kinds: the names of all images that ``update`` takes.
        done: the position after the last image that came.
        halved: whether fewer images at a time were taken than was asked for. Features of smaller batches may differ in
            their last digits, and do not go to the cache.
        seconds, network_seconds: of one process; of several together, divided by their number.
    """

    def __init__(
        self,
        methods: Sequence[str],
        metrics: Sequence[Metric],
        spaces: Sequence[FeatureSpace],
        *,
        images: int,
        start: int = 0,
        references: Mapping[tuple[str, str], Any] | None = None,
        zero_features: int = 0,
        files: FeatureFiles | None = None,
        cache: OriginalsCache | None = None,
        skipped: int = 0,
        groups: int = GROUPS,
        each: bool = False,
    ) -> None:
        self.methods, self.references = methods, references
        self.images, self.zero_features, self.groups = images, zero_features, groups
        self.start, self.done, self.seconds, self.network_seconds = start, start, 0.0, 0.0
        self.skipped, self.halved = skipped, False
        self.first: dict[str, Tensor] = {}
        self._deviations: dict[Key, float | None] | None = None
        restores = references is None
        self._pairs = [metric for metric in metrics if metric.reads == "pairs" and restores]
        self._sets = [metric for metric in metrics if metric.reads == "features"] if spaces else []
        self.spaces = spaces if self._sets else []
        self._of_pairs = {
            (method, metric.name): Grouped(metric.accumulator, groups, images)
            for method in methods
            for metric in self._pairs
        }
        self._files, self._cache = FeatureFiles(None) if files is None else files, cache
        self._known: dict[str, np.ndarray | None] = {}
        self._each: dict[tuple[str, str], Tensor] = {
            key: torch.zeros(0, dtype=torch.float64) for key in (self._of_pairs if each else ())
        }
        self.kinds = (ORIGINAL, *methods) if restores else tuple(methods)
        self._files.expect((kind, space.name) for kind in self.kinds for space in self.spaces)

    def update(self, positions: range, images: Mapping[str, Tensor]) -> None:
        """Take in a batch.

        Args:
            positions: of the images in the measurement.
            images: kind -> (B, C, S, S) in [0, 1]; ``original`` among them unless there are references.
        """
        stop = min(positions.stop, self.images - self.zero_features)
        for kind, batch in images.items():
            for space in self.spaces:
                self._take_features(kind, space, positions.start, batch[: max(0, stop - positions.start)])
            for metric in self._pairs if kind != ORIGINAL else ():
                with foreign(f"metric '{metric.name}'"):
                    self._of_pairs[kind, metric.name].update(positions, batch, images[ORIGINAL])
                if self._each:
                    self._extend(kind, metric.name, of_each(metric, batch, images[ORIGINAL]))
            self._keep(kind, batch[: max(0, AUDITED - positions.start)])
        self.done = positions.stop
        if self._deviations is None and not self.start and self.done >= min(AUDITED, self.images):
            self._deviations = self._audit()

    def _extend(self, method: str, metric: str, numbers: Tensor) -> None:
        self._each[method, metric] = torch.cat((self._each[method, metric], numbers))

    def _take_features(self, kind: str, space: FeatureSpace, start: int, batch: Tensor) -> None:
        if not len(batch):
            return
        file, known = self._files[kind, space.name], self._known_originals(space) if kind == ORIGINAL else None
        if known is not None:
            file.append(known[start : start + len(batch)])
            return
        first = start + self.skipped
        rows = extracted(space, batch, range(first, first + len(batch)))
        if file.columns not in (0, rows.shape[1]):
            raise BadInput(f"feature '{space.name}' gave vectors of {file.columns} numbers, then of {rows.shape[1]}")
        file.append(rows)

    def _known_originals(self, space: FeatureSpace) -> np.ndarray | None:
        """The features of all originals, where the cache has them."""
        if space.name not in self._known:
            self._known[space.name] = self._cache.find(space) if self._cache else None
        return self._known[space.name]

    def merge(self, other: Self) -> None:
        """Take in what was seen of the images that come next.

        Raises:
            CheckFailed: they do not come next.
            BadInput: the files of the features cannot be read or written.
        """
        if other.start != self.done:
            raise CheckFailed(f"images {self.done} to {other.start} were not measured, or twice")
        for key, grouped in self._of_pairs.items():
            grouped.merge(other._of_pairs[key])
        for (method, metric), numbers in other._each.items():
            self._extend(method, metric, numbers)
        self._files.extend(other._files)
        for kind, kept in other.first.items():
            self._keep(kind, kept)
        self.done, self.halved = other.done, self.halved or other.halved
        self.seconds += other.seconds
        self.network_seconds += other.network_seconds

    def features(self, kind: str, space: str) -> FeatureSet:
        """The features of one kind of images, as far as they were taken."""
        return FeatureSet(self._files[kind, space].array(), self.zero_features, self.groups)

    def _keep(self, kind: str, batch: Tensor) -> None:
        if len(batch):
            kept = self.first.get(kind, batch[:0].cpu())
            self.first[kind] = torch.cat((kept, batch.cpu()))

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` takes up, beside the files of the features."""
        return {
            "start": self.start,
            "done": self.done,
            "halved": self.halved,
            "seconds": self.seconds,
            "network_seconds": self.network_seconds,
            "first": self.first,
            "deviations": self._deviations,
            "pairs": {key: grouped.state_dict() for key, grouped in self._of_pairs.items()},
            "each": self._each,
            "features": self._files.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave.

        Raises:
            OSError, ValueError: the files of the features are gone, or hold something else.
        """
        self._files.load_state_dict(state["features"])
        self.done, self.halved = state["done"], state["halved"]
        self.seconds, self.network_seconds = state["seconds"], state["network_seconds"]
        self.first, self._deviations = dict(state["first"]), state["deviations"]
        self._each = {key: state["each"][key] for key in self._each}
        for pair, grouped in self._of_pairs.items():
            grouped.load_state_dict(state["pairs"][pair])

    def outcome(self) -> Outcome:
        """The numbers.

        Raises:
            BadInput: one of them is not finite.
            CheckFailed: not every image was seen, once.
        """
        for seen in (self.done, *(each.count for each in self._of_pairs.values())):
            if seen != self.images:
                raise CheckFailed(f"{seen} images were measured instead of {self.images}")
        for file in self._files.values():
            if file.count != self.images - self.zero_features:
                raise CheckFailed(f"{file.count} images have features instead of {self.images - self.zero_features}")
        if self._deviations is None:
            self._deviations = self._audit()
        found = self._estimates()
        if self._cache and not self.halved:
            for space in self.spaces:
                self._cache.keep(space, self.features(ORIGINAL, space.name).rows)
        return Outcome(
            estimates=found,
            deviations=self._deviations,
            warnings=self._warnings(),
            gallery=self.first,
            seconds=self.seconds,
            network_seconds=self.network_seconds,
            each=self._each,
        )

    def close(self) -> None:
        """Remove the files of the features, when the outcome is known."""
        self._files.remove()

    def _estimates(self) -> dict[Key, Estimate]:
        found: dict[Key, Estimate] = {}
        for metric in self._pairs:
            for method in self.methods:
                with foreign(f"metric '{metric.name}'"):
                    found[method, metric.name, ""] = estimate(_number(metric), self._of_pairs[method, metric.name])
        for space in self.spaces:
            ours = {method: self.features(method, space.name) for method in self.methods}
            for metric in self._sets:
                with foreign(f"metric '{metric.name}'"):
                    distances = set_estimates(metric, ours, self._against(space.name, metric.name))
                found |= {(method, metric.name, space.name): each for method, each in distances.items()}
        for (method, name, _), each in found.items():
            if not math.isfinite(each.value):
                raise BadInput(
                    f"the {name} of {method} is not finite ({each.value}): the metric fails, the images equal their "
                    "originals, or the degradation, the start or the weights are unusable"
                )
        return dict(sorted(found.items(), key=lambda item: self.methods.index(item[0][0])))

    def _against(self, space: str, metric: str) -> Any:
        """What a metric of features compares with: the originals, or the reference's accumulator."""
        return self.features(ORIGINAL, space) if self.references is None else self.references[space, metric]

    def _warnings(self) -> dict[Key, str]:
        warnings = {}
        for method in self.methods:
            for space in self.spaces:
                dimensions = self.features(method, space.name).dimensions
                for metric in self._sets:
                    warnings[method, metric.name, space.name] = metric.warning(self.images, space.name, dimensions)
        return {key: warning for key, warning in warnings.items() if warning}

    def _audit(self) -> dict[Key, float | None]:
        """The first images once more, by other people's code."""
        deviations: dict[Key, float | None] = {}
        for method in self.methods:
            for metric in self._pairs:
                few = self.first[method], self.first[ORIGINAL]
                deviations[method, metric.name, ""] = audited(metric, *few, method)
            for space in self.spaces:
                for metric in self._sets:
                    against = self._against(space.name, metric.name)
                    if isinstance(against, FeatureSet):
                        against = against.first(AUDITED)
                    features = self.features(method, space.name).first(AUDITED)
                    deviations[method, metric.name, space.name] = audited(metric, features, against, method, space.name)
        return deviations


def _number(metric: Metric) -> Callable[..., float]:
    """The metric's result as a plain number, whatever kind of number it gives."""
    return lambda *seen: float(metric.result(*seen))
