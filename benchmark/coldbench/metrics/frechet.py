"""The Frechet distance between two sets of features, each taken as a Gaussian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from coldbench.core.errors import BadInput


class FeatureStatistics:
    """Mean and scatter of features, accumulated batch by batch in float64.

    Centred sums are merged (Chan, Golub & LeVeque 1983) instead of raw moments, so that nothing cancels where the
    features hardly vary. Memory is one (d, d) matrix, whatever the number of images.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self.scatter = torch.zeros(0, 0, dtype=torch.float64)
        self._spectrum: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(cls, mean: Tensor, covariance: Tensor) -> Self:
        """Statistics that were taken elsewhere, of images whose number is not known: they can be merged with none.

        Args:
            mean: (d,).
            covariance: unbiased, (d, d).
        """
        statistics = cls()
        # Of two images, the scatter is the covariance.
        statistics.count, statistics.mean, statistics.scatter = 2, mean.double(), covariance.double()
        return statistics

    def update(self, features: Tensor) -> None:
        """Take in the features (B, d) of a batch."""
        batch = FeatureStatistics()
        values = features.double()
        batch.count, batch.mean = len(values), values.mean(dim=0).cpu()
        centred = values - values.mean(dim=0)
        batch.scatter = (centred.T @ centred).cpu()
        self.merge(batch)

    def merge(self, other: Self | FeatureStatistics) -> None:
        """Take in what another accumulator has seen."""
        self._spectrum = None
        if self.count == 0 or other.count == 0:
            if other.count:
                self.count, self.mean, self.scatter = other.count, other.mean.clone(), other.scatter.clone()
            return
        total = self.count + other.count
        delta = other.mean - self.mean
        self.mean = self.mean + delta * (other.count / total)
        self.scatter = self.scatter + other.scatter + torch.outer(delta, delta) * (self.count * other.count / total)
        self.count = total

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` takes up."""
        return {"count": self.count, "mean": self.mean, "scatter": self.scatter}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.count, self.mean, self.scatter = state["count"], state["mean"], state["scatter"]
        self._spectrum = None

    def covariance(self) -> Tensor:
        """Unbiased covariance, float64 (d, d).

        Raises:
            BadInput: fewer than two images.
        """
        check_enough(self.count)
        return self.scatter / (self.count - 1)

    def spectrum(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues (r,) and eigenvectors (d, r) of the covariance, r its numerical rank; its null space left out.

        Raises:
            BadInput: fewer than two images.
        """
        if self._spectrum is None:
            eigenvalues, vectors = torch.linalg.eigh(self.covariance())
            noise = len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps * eigenvalues.abs().max()
            kept = eigenvalues > noise
            self._spectrum = eigenvalues[kept], vectors[:, kept]
        return self._spectrum

    def factor(self) -> Tensor:
        """L (d, r) with L L^T = covariance and r its numerical rank; kept, since several distances may need it.

        Raises:
            BadInput: fewer than two images.
        """
        eigenvalues, vectors = self.spectrum()
        return vectors * eigenvalues.sqrt()


def check_enough(images: int) -> None:
    """Whether so many images have a covariance.

    Raises:
        BadInput: fewer than two have none.
    """
    if images < 2:
        raise BadInput("a Frechet distance needs at least 2 images")


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """``|mu_a - mu_b|^2 + tr C_a + tr C_b - 2 tr (C_a C_b)^(1/2)`` (Dowson & Landau 1982; Heusel et al. 2017).

    The last trace is the sum of the singular values of L_a^T L_b for any factors C = L L^T. Factors come from symmetric
    eigendecompositions without their null space, so rank-deficient covariances (fewer images than features, constant
    images) cost no accuracy.
    """
    cross = torch.linalg.svdvals(a.factor().T @ b.factor()).sum()
    traces = a.covariance().trace() + b.covariance().trace()
    distance = (a.mean - b.mean).square().sum() + traces - 2 * cross
    return max(float(distance), 0.0)


def few_images(images: int, space: str, dimensions: int) -> str:
    """A warning where there are too few images for a feature space of so many dimensions; else nothing.

    With N <= d no covariance of N features has full rank. The distance is biased upwards at any N, in proportion to
    1/N and the steeper the larger d is.
    """
    if images > dimensions:
        return ""
    return (
        f"{images} images are too few for the {dimensions} dimensions of {space}: the covariance lacks full "
        "rank, and the Frechet distance is biased upwards; compare it only with one of equally many images"
    )
