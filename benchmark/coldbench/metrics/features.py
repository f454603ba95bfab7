"""Feature spaces: what maps images to the vectors that a distance of distributions is taken of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from coldbench.core.errors import BadInput, Missing, foreign
from coldbench.core.registry import Registry

if TYPE_CHECKING:  # names are listed without waiting for torch
    import torch
    from torch import Tensor

#: The feature space of the paper's FID.
FID_FEATURES = "inception-v3"

FEATURES = Registry(
    "feature",
    {
        "inception-v3": "coldbench.metrics.inception:inception",
        "inception-v3-compat": "coldbench.metrics.inception:inception_compat",
        "mnist-cnn": "coldbench.metrics.digits:mnist_cnn",
        "efficientnet-lite0": "coldbench.metrics.efficientnet:efficientnet_lite0",
        "vgg16": "coldbench.metrics.fidelity:vgg16",
        "dinov2-vit-s-14": "coldbench.metrics.dinov2:dinov2_vit_s_14",
        "dinov2-vit-b-14": "coldbench.metrics.dinov2:dinov2_vit_b_14",
        "dinov2-vit-l-14": "coldbench.metrics.dinov2:dinov2_vit_l_14",
        "clip-vit-b-32": "coldbench.metrics.fidelity:clip_vit_b_32",
        "clip-vit-b-16": "coldbench.metrics.fidelity:clip_vit_b_16",
        "clip-vit-l-14": "coldbench.metrics.fidelity:clip_vit_l_14",
        "clip-vit-l-14-336px": "coldbench.metrics.fidelity:clip_vit_l_14_336px",
        "clip-rn50": "coldbench.metrics.fidelity:clip_rn50",
        "clip-rn101": "coldbench.metrics.fidelity:clip_rn101",
        "clip-rn50x4": "coldbench.metrics.fidelity:clip_rn50x4",
        "clip-rn50x16": "coldbench.metrics.fidelity:clip_rn50x16",
        "clip-rn50x64": "coldbench.metrics.fidelity:clip_rn50x64",
    },
)


@dataclass(frozen=True)
class FeatureSpace:
    """A named map from images to feature vectors.

    Attributes:
        name: as printed with the number.
        sha256: of the extractor's weights.
        extract: images (B, C, S, S) in [0, 1], unclamped -> features (B, d).
        image_size: the only S it takes, in pixels; None if it takes any.
    """

    name: str
    sha256: str
    extract: Callable[[Tensor], Tensor]
    image_size: int | None = None


def feature_spaces(names: Sequence[str], device: torch.device, *, auto: Sequence[str] = ()) -> list[FeatureSpace]:
    """The feature spaces of these names.

    Args:
        names: in ``FEATURES``; ``none`` alone for none, ``auto`` alone for that of the FID and those of ``auto``, as
            far as they are at hand.
        device: where they compute.
        auto: the data set's own.

    Raises:
        BadInput: an unknown name.
        Missing: one asked for by name is absent.
    """
    if tuple(names) == ("none",):
        return []
    if tuple(names) != ("auto",):
        return [load_feature_space(name, device) for name in names]
    found = []
    for name in (FID_FEATURES, *auto):
        try:
            found.append(load_feature_space(name, device))
        except Missing:
            continue
    return found


def absence(name: str, device: torch.device) -> str:
    """Why a feature space is not at hand, and what supplies it; empty where it is."""
    try:
        load_feature_space(name, device)
    except Missing as error:
        return str(error)
    return ""


@cache
def load_feature_space(name: str, device: torch.device) -> FeatureSpace:
    """One feature space, loaded once for all that use it.

    Raises:
        BadInput: an unknown name, damaged weights, or no feature space.
        Missing: its weights are not on this machine.
    """
    make: Any = FEATURES[name]
    with foreign(f"feature '{name}'"):
        space = make(device)
    if not isinstance(space, FeatureSpace):
        raise BadInput(f"feature '{name}' gave {type(space).__name__} instead of a FeatureSpace")
    return space
