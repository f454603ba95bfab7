"""What a measurement has seen so far: it can be stopped, saved, taken up again, and turned into numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from coldbench.core.errors import BadInput, CheckFailed, foreign
from coldbench.metrics.audit import AUDITED, audit_frechet, audit_rmse, audit_ssim, check_deviation
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.intervals import GROUPS, Estimate, Grouped, estimate, estimates
from coldbench.metrics.pixelwise import RMSE, SSIM

#: (method, metric, features); ``features`` is empty but for Frechet distances.
Key = tuple[str, str, str]
#: The name of the images that restored ones are compared with.
ORIGINAL = "original"


@dataclass(frozen=True)
class Outcome:
    """What one measurement gave.

    Attributes:
        estimates: each number with its replicates.
        deviations: of each metric from the reference's, on the first images; see ``coldbench.metrics.audit``.
        dimensions: feature space -> d.
        gallery: ``original``, where there are any, and each method -> the first images (n, C, S, S) in [0, 1].
        seconds: wall time, of all attempts if it was resumed.
        network_seconds: of that, inside the network's forward.
    """

    estimates: Mapping[Key, Estimate]
    deviations: Mapping[Key, float]
    dimensions: Mapping[str, int]
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


class Tally:
    """Accumulators of every method, and of the originals where there are any.

    Args:
        methods: that are measured.
        spaces: the feature spaces of the Frechet distances; may be empty.
        images: how many are to come.
        device: where the feature spaces compute.
        references: feature space -> what generated images are compared with; None where images have originals.
        groups: of images, for intervals (see ``metrics.jackknife``).
    """

    def __init__(
        self,
        methods: Sequence[str],
        spaces: Sequence[FeatureSpace],
        *,
        images: int,
        device: torch.device,
        references: Mapping[str, FeatureStatistics] | None = None,
        groups: int = GROUPS,
    ) -> None:
        self.methods, self.spaces, self.device, self.references = methods, spaces, device, references
        self.images = images
        self.done, self.seconds, self.network_seconds = 0, 0.0, 0.0
        self.first: dict[str, Tensor] = {}
        self._deviations: dict[Key, float] | None = None
        kinds = methods if references is not None else [ORIGINAL, *methods]
        self._features = {
            (kind, space.name): Grouped(FeatureStatistics, groups, images) for kind in kinds for space in spaces
        }
        compared = methods if references is None else []
        self._ssim = {method: Grouped(SSIM, groups, images) for method in compared}
        self._rmse = {method: Grouped(RMSE, groups, images) for method in compared}

    def update(self, positions: range, images: Mapping[str, Tensor], scored: int | None = None) -> None:
        """Take in a batch.

        Args:
            positions: of the images in the measurement.
            images: ``ORIGINAL``, where there is one, and each method -> (B, C, S, S) in [0, 1], unclamped.
            scored: of the images after the first so many, if it is given, the features are zeros.

        Raises:
            CheckFailed: on the first images a metric is not what its reference says.
        """
        drawn = len(positions) if scored is None else scored
        for kind, batch in images.items():
            for space in self.spaces:
                with foreign(f"feature '{space.name}'"):
                    features = space.extract(batch)
                self._features[kind, space.name].update(positions[:drawn], features[:drawn])
                if drawn < len(positions):
                    self._features[kind, space.name].fixed.update(torch.zeros_like(features[drawn:]))
            if kind in self._ssim:
                self._ssim[kind].update(positions, batch, images[ORIGINAL])
                self._rmse[kind].update(positions, batch, images[ORIGINAL])
            self._keep(kind, batch)
        self.done = positions.stop
        if self._deviations is None and self.done >= min(AUDITED, self.images):
            self._deviations = self._audit()

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
            "deviations": self._deviations,
            "features": {"/".join(key): grouped.state_dict() for key, grouped in self._features.items()},
            "ssim": {method: grouped.state_dict() for method, grouped in self._ssim.items()},
            "rmse": {method: grouped.state_dict() for method, grouped in self._rmse.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.done, self.seconds, self.network_seconds = state["done"], state["seconds"], state["network_seconds"]
        self.first, self._deviations = dict(state["first"]), state["deviations"]
        for key, grouped in self._features.items():
            grouped.load_state_dict(state["features"]["/".join(key)])
        for method in self._ssim:
            self._ssim[method].load_state_dict(state["ssim"][method])
            self._rmse[method].load_state_dict(state["rmse"][method])

    def outcome(self) -> Outcome:
        """The numbers.

        Raises:
            BadInput: one of them is not finite.
            CheckFailed: an accumulator has not seen every image.
        """
        counts = {each.count for each in self._features.values()} | {each.count for each in self._ssim.values()}
        fewest = min(counts | {self.done})
        if self._deviations is None or fewest != self.images:
            raise CheckFailed(f"{fewest} images were measured instead of {self.images}")
        return Outcome(
            estimates=self._estimates(),
            deviations=self._deviations,
            dimensions={
                space: max(len(group.mean) for group in grouped.groups)
                for (_, space), grouped in self._features.items()
            },
            gallery=self.first,
            seconds=self.seconds,
            network_seconds=self.network_seconds,
        )

    def _estimates(self) -> dict[Key, Estimate]:
        found: dict[Key, Estimate] = {}
        for method in self._ssim:
            found[method, "SSIM", ""] = estimate(SSIM.result, self._ssim[method])
            found[method, "RMSE", ""] = estimate(RMSE.result, self._rmse[method])
        for space in self.spaces:
            found |= self._distances(space)
        if not all(math.isfinite(each.value) for each in found.values()):
            raise BadInput("a measured value is not finite: degradation, start or weights are unusable")
        return dict(sorted(found.items(), key=lambda item: self.methods.index(item[0][0])))

    def _distances(self, space: FeatureSpace) -> dict[Key, Estimate]:
        """The Frechet distances of all methods: the side that they share is decomposed once a replicate."""
        grouped = {kind: each for (kind, name), each in self._features.items() if name == space.name}

        def distances(*totals: FeatureStatistics) -> dict[Key, float]:
            seen = dict(zip(grouped, totals, strict=True))
            against = seen[ORIGINAL] if self.references is None else self.references[space.name]
            return {
                (method, space.metric, space.name): frechet_distance(seen[method], against) for method in self.methods
            }

        return estimates(distances, *grouped.values())

    def _audit(self) -> dict[Key, float]:
        deviations: dict[Key, float] = {}
        against: Mapping[str, Tensor | FeatureStatistics] = self.references or {
            space.name: self._few(space, ORIGINAL) for space in self.spaces
        }
        for method in self.methods:
            if method in self._ssim:
                deviations[method, "SSIM", ""] = audit_ssim(self.first[method], self.first[ORIGINAL])
                deviations[method, "RMSE", ""] = audit_rmse(self.first[method], self.first[ORIGINAL])
            for space in self.spaces:
                deviation = audit_frechet(self._few(space, method), against[space.name])
                deviations[method, space.metric, space.name] = deviation
        for (method, metric, _), deviation in deviations.items():
            check_deviation(metric, deviation, method)
        return deviations

    def _few(self, space: FeatureSpace, kind: str) -> Tensor:
        """The features of the audited images."""
        return space.extract(self.first[kind].to(self.device))
