"""What a measurement has seen so far: it can be stopped, saved, taken up again, and turned into numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from coldbench.errors import BadInput, foreign
from coldbench.metrics.audit import AUDITED, audit_frechet, audit_rmse, audit_ssim, check_deviation
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.jackknife import GROUPS, Estimate, Grouped, estimate
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
        """
        for kind, batch in images.items():
            for space in self.spaces:
                with foreign(f"feature '{space.name}'"):
                    features = space.extract(batch)
                if scored is not None:
                    features[scored:] = 0
                self._features[kind, space.name].update(positions, features)
            if kind in self._ssim:
                self._ssim[kind].update(positions, batch, images[ORIGINAL])
                self._rmse[kind].update(positions, batch, images[ORIGINAL])
            self._keep(kind, batch)
        self.done = positions.stop

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
            "features": {"/".join(key): grouped.state_dict() for key, grouped in self._features.items()},
            "ssim": {method: grouped.state_dict() for method, grouped in self._ssim.items()},
            "rmse": {method: grouped.state_dict() for method, grouped in self._rmse.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.done, self.seconds, self.network_seconds = state["done"], state["seconds"], state["network_seconds"]
        self.first = dict(state["first"])
        for key, grouped in self._features.items():
            grouped.load_state_dict(state["features"]["/".join(key)])
        for method in self._ssim:
            self._ssim[method].load_state_dict(state["ssim"][method])
            self._rmse[method].load_state_dict(state["rmse"][method])

    def outcome(self) -> Outcome:
        """The numbers.

        Raises:
            BadInput: one of them is not finite.
            CheckFailed: a metric is not what its reference says.
        """
        return Outcome(
            estimates=self._estimates(),
            deviations=self._audit(),
            dimensions={
                space: max(len(group.mean) for group in grouped.groups)
                for (_, space), grouped in self._features.items()
            },
            gallery=self.first,
            seconds=self.seconds,
            network_seconds=self.network_seconds,
        )

    def _estimates(self) -> dict[Key, Estimate]:
        estimates: dict[Key, Estimate] = {}
        for method in self.methods:
            if method in self._ssim:
                estimates[method, "SSIM", ""] = estimate(SSIM.result, self._ssim[method])
                estimates[method, "RMSE", ""] = estimate(RMSE.result, self._rmse[method])
            for space in self.spaces:
                ours = self._features[method, space.name]
                estimates[method, space.metric, space.name] = (
                    estimate(frechet_distance, ours, self._features[ORIGINAL, space.name])
                    if self.references is None
                    else estimate(partial(frechet_distance, self.references[space.name]), ours)
                )
        if not all(math.isfinite(each.value) for each in estimates.values()):
            raise BadInput("a measured value is not finite: degradation, start or weights are unusable")
        return estimates

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
