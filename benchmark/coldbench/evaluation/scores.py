"""What a measurement has seen so far, of all metrics of all methods: saved, resumed, and turned into numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from coldbench.core.errors import BadInput, CheckFailed, foreign
from coldbench.metrics.audit import AUDITED, audited
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.intervals import GROUPS, Estimate, Grouped, estimate, estimates
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
    """

    estimates: Mapping[Key, Estimate]
    deviations: Mapping[Key, float | None]
    warnings: Mapping[Key, str]
    gallery: Mapping[str, Tensor]
    seconds: float
    network_seconds: float

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
    """Accumulators of every method, and of the originals where there are any.

    Args:
        methods: that are measured.
        metrics: of what; those that compare images with their originals are left out where there are none.
        spaces: the feature spaces of the others; may be empty.
        images: how many are to come.
        device: where the feature spaces compute.
        references: (feature space, metric) -> the accumulator of what generated images are compared with; None where
            images have originals.
        groups: of images, for intervals (see ``metrics.intervals``).
    """

    def __init__(
        self,
        methods: Sequence[str],
        metrics: Sequence[Metric],
        spaces: Sequence[FeatureSpace],
        *,
        images: int,
        device: torch.device,
        references: Mapping[tuple[str, str], Any] | None = None,
        groups: int = GROUPS,
    ) -> None:
        self.methods, self.spaces, self.device, self.references = methods, spaces, device, references
        self.images = images
        self.done, self.seconds, self.network_seconds = 0, 0.0, 0.0
        self.first: dict[str, Tensor] = {}
        self.dimensions: dict[str, int] = {}
        self._deviations: dict[Key, float | None] | None = None
        restores = references is None
        self._pairs = [metric for metric in metrics if metric.reads == "pairs" and restores]
        self._sets = [metric for metric in metrics if metric.reads == "features"] if spaces else []
        self._of_pairs = {
            (method, metric.name): Grouped(metric.accumulator, groups, images)
            for method in methods
            for metric in self._pairs
        }
        # Metrics with the same accumulator share it.
        self._owner = {metric.name: _first_alike(self._sets, metric) for metric in self._sets}
        makers = {self._owner[metric.name]: metric.accumulator for metric in reversed(self._sets)}
        self._of_sets = {
            (kind, space.name, owner): Grouped(make, groups, images)
            for kind in ([ORIGINAL, *methods] if restores else methods)
            for space in spaces
            for owner, make in makers.items()
        }

    def update(self, positions: range, images: Mapping[str, Tensor], scored: int | None = None) -> None:
        """Take in a batch.

        Args:
            positions: of the images in the measurement.
            images: kind -> (B, C, S, S) in [0, 1]; ``original`` among them unless there are references.
            scored: how many of the images, from the first on, have features; the others count as zero features. All
                unless given.
        """
        for kind, batch in images.items():
            for space in self.spaces if self._sets else ():
                self._take_features(kind, space, positions, batch, len(positions) if scored is None else scored)
            for metric in self._pairs if kind != ORIGINAL else ():
                with foreign(f"metric '{metric.name}'"):
                    self._of_pairs[kind, metric.name].update(positions, batch, images[ORIGINAL])
            self._keep(kind, batch)
        self.done = positions.stop
        if self._deviations is None and self.done >= min(AUDITED, self.images):
            self._deviations = self._audit()

    def _take_features(self, kind: str, space: FeatureSpace, positions: range, batch: Tensor, scored: int) -> None:
        with foreign(f"feature '{space.name}'"):
            features = space.extract(batch)
        self.dimensions[space.name] = features.shape[1]
        for owner in dict.fromkeys(self._owner.values()):
            grouped = self._of_sets[kind, space.name, owner]
            with foreign(f"metric '{owner}'"):
                grouped.update(positions[:scored], features[:scored])
                if scored < len(positions):
                    grouped.fixed.update(torch.zeros_like(features[scored:]))

    def _keep(self, kind: str, batch: Tensor) -> None:
        kept = self.first.get(kind, batch[:0].cpu())
        if len(kept) < AUDITED:
            self.first[kind] = torch.cat((kept, batch[: AUDITED - len(kept)].cpu()))

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` takes up."""
        return {
            "done": self.done,
            "seconds": self.seconds,
            "network_seconds": self.network_seconds,
            "first": self.first,
            "dimensions": self.dimensions,
            "deviations": self._deviations,
            "pairs": {key: grouped.state_dict() for key, grouped in self._of_pairs.items()},
            "sets": {key: grouped.state_dict() for key, grouped in self._of_sets.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.done, self.seconds, self.network_seconds = state["done"], state["seconds"], state["network_seconds"]
        self.first, self._deviations = dict(state["first"]), state["deviations"]
        self.dimensions = dict(state["dimensions"])
        for pair, grouped in self._of_pairs.items():
            grouped.load_state_dict(state["pairs"][pair])
        for key, grouped in self._of_sets.items():
            grouped.load_state_dict(state["sets"][key])

    def outcome(self) -> Outcome:
        """The numbers.

        Raises:
            BadInput: one of them is not finite.
            CheckFailed: an accumulator has not seen every image, once.
        """
        accumulators: Iterable[Grouped[Any]] = (*self._of_pairs.values(), *self._of_sets.values())
        for seen in (self.done, *(each.count for each in accumulators)):
            if seen != self.images:
                raise CheckFailed(f"{seen} images were measured instead of {self.images}")
        if self._deviations is None:
            raise CheckFailed("no image was audited")
        found = self._estimates()
        return Outcome(
            estimates=found,
            deviations=self._deviations,
            warnings=self._warnings(),
            gallery=self.first,
            seconds=self.seconds,
            network_seconds=self.network_seconds,
        )

    def _estimates(self) -> dict[Key, Estimate]:
        found: dict[Key, Estimate] = {}
        for metric in self._pairs:
            for method in self.methods:
                with foreign(f"metric '{metric.name}'"):
                    found[method, metric.name, ""] = estimate(_number(metric), self._of_pairs[method, metric.name])
        for space in self.spaces:
            for metric in self._sets:
                with foreign(f"metric '{metric.name}'"):
                    found |= self._distances(metric, space)
        for (method, name, _), each in found.items():
            if not math.isfinite(each.value):
                raise BadInput(
                    f"the {name} of {method} is not finite ({each.value}): the metric fails, the images equal their "
                    "originals, or the degradation, the start or the weights are unusable"
                )
        return dict(sorted(found.items(), key=lambda item: self.methods.index(item[0][0])))

    def _distances(self, metric: Metric, space: FeatureSpace) -> dict[Key, Estimate]:
        """The numbers of all methods in one space: what the side that they share costs, it costs once a replicate."""
        kinds = dict.fromkeys(kind for kind, name, _ in self._of_sets if name == space.name)
        grouped = {kind: self._of_sets[kind, space.name, self._owner[metric.name]] for kind in kinds}

        def distances(*totals: Any) -> dict[Key, float]:
            seen = dict(zip(grouped, totals, strict=True))
            against = seen[ORIGINAL] if self.references is None else self.references[space.name, metric.name]
            number = _number(metric)
            return {(method, metric.name, space.name): number(seen[method], against) for method in self.methods}

        return estimates(distances, *grouped.values())

    def _warnings(self) -> dict[Key, str]:
        warnings = {
            (method, metric.name, space.name): metric.warning(self.images, space.name, self.dimensions[space.name])
            for method in self.methods
            for space in self.spaces
            for metric in self._sets
        }
        return {key: warning for key, warning in warnings.items() if warning}

    def _audit(self) -> dict[Key, float | None]:
        """The first images once more, by other people's code."""
        deviations: dict[Key, float | None] = {}
        for method in self.methods:
            for metric in self._pairs:
                few = self.first[method], self.first[ORIGINAL]
                deviations[method, metric.name, ""] = audited(metric, *few, method)
            for space in self.spaces if self._sets else ():
                features = self._few(space, method)
                originals = self._few(space, ORIGINAL) if self.references is None else None
                for metric in self._sets:
                    against = originals if self.references is None else self.references[space.name, metric.name]
                    deviations[method, metric.name, space.name] = audited(metric, features, against, method, space.name)
        return deviations

    def _few(self, space: FeatureSpace, kind: str) -> Tensor:
        """The features of the audited images."""
        return space.extract(self.first[kind].to(self.device))


def _number(metric: Metric) -> Callable[..., float]:
    """The metric's result as a plain number, whatever kind of number it gives."""
    return lambda *seen: float(metric.result(*seen))


def _first_alike(metrics: Sequence[Metric], metric: Metric) -> str:
    """The name of the first metric with this metric's accumulator."""
    maker: Callable[[], Hashable] = metric.accumulator
    return next(each.name for each in metrics if each.accumulator == maker)
