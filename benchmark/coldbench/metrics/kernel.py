"""KID: the squared maximum mean discrepancy of two sets of features (Binkowski et al. 2018), cubic kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.metrics.metric import Metric

#: Features whose kernel with all others is held at a time.
_BLOCK = 1024


class Features:
    """The features themselves, float32 (N, d): a kernel needs every pair of them."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self._own: float | None = None

    @property
    def count(self) -> int:
        """Images seen."""
        return sum(map(len, self.parts))

    def update(self, features: Tensor) -> None:
        """Take in the features (B, d) of a batch."""
        self.parts.append(features.float().cpu())
        self._own = None

    def merge(self, other: Self) -> None:
        """Take in what another accumulator has seen."""
        self.parts += other.parts
        self._own = None

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` takes up."""
        return {"features": self.all()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.parts, self._own = [state["features"]] if len(state["features"]) else [], None

    def all(self) -> Tensor:
        """float32 (N, d)."""
        return torch.cat(self.parts) if self.parts else torch.zeros(0, 0)

    def own(self) -> float:
        """The mean kernel of two different images of the set; kept, since several distances may need it.

        Raises:
            BadInput: fewer than two images.
        """
        if self.count < 2:
            raise BadInput("a kernel distance needs at least 2 images")
        if self._own is None:
            features = self.all()
            themselves = float(_kernel(features.double().square().sum(1), features).sum())
            self._own = (_kernel_sum(features, features) - themselves) / (self.count * (self.count - 1))
        return self._own


def kernel_distance(a: Features, b: Features) -> float:
    """KID = mean k(a, a') + mean k(b, b') - 2 mean k(a, b), the unbiased estimate; it may be negative.

    torch-fidelity and others take the mean over random subsets of 1,000 images. This is what that mean tends to, over
    all pairs: nothing is drawn, and of so many images no estimate varies less.
    """
    cross = _kernel_sum(a.all(), b.all()) / (a.count * b.count)
    return a.own() + b.own() - 2 * cross


def _kernel(products: Tensor, features: Tensor) -> Tensor:
    """(x.y / d + 1)^3, of inner products."""
    return (products / features.shape[1] + 1) ** 3


def _kernel_sum(a: Tensor, b: Tensor) -> float:
    """The kernel over all pairs, summed in float64."""
    columns = b.double().T
    return sum(float(_kernel(rows.double() @ columns, a).sum()) for rows in a.split(_BLOCK))


def audit_kernel(features: Tensor, against: Tensor | Features) -> float:
    """|our KID - torch-fidelity's| / the largest term, with one subset of all the features.

    torch-fidelity compares sets of one size: of more features on the other side, the first are taken.

    Args:
        features: (n, d).
        against: other features, or the accumulator of many.
    """
    from torch_fidelity.metric_kid import kid_features_to_metric

    other = against.all() if isinstance(against, Features) else against.cpu()
    size = min(len(features), len(other))
    a, b = Features(), Features()
    a.update(features[:size])
    b.update(other[:size])
    reference = kid_features_to_metric(
        a.all().double(), b.all().double(), kid_subsets=1, kid_subset_size=size, verbose=False
    )
    deviation = abs(kernel_distance(a, b) - float(reference["kernel_inception_distance_mean"]))
    return deviation / (a.own() + b.own())


#: With fewer images than this, a kernel distance of paired sets is hardly one of their distributions.
FEW = 1000


def few_images(images: int, space: str, dimensions: int) -> str:
    """A warning where there are few images; else nothing."""
    if images >= FEW:
        return ""
    return (
        f"KID of {images} images: it varies much below {FEW:,}, and of restored images and their own originals it is "
        "biased downwards in proportion to 1/N, since each pair is alike"
    )


KID = Metric(
    name="KID",
    accumulator=Features,
    result=kernel_distance,
    better="lower",
    reads="features",
    decimals=5,
    audit=audit_kernel,
    warning=few_images,
)
