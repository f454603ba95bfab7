"""What is looked at before and while something is measured: enough images, of the right kind, with numbers in them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import Metric


def check_count(images: int, present: int, skipped: int, name: str) -> None:
    """Whether so many images can be scored out of those present, of which the first are skipped.

    Raises:
        BadInput: they cannot.
    """
    available = present - skipped
    if images > available:
        raise BadInput(f"{name} has {available} images, not {images}: lower --images")
    if images < 1:
        raise BadInput(f"{name} has no image to score: {present} are there, and {skipped} are skipped")


def check_metrics(metrics: Sequence[Metric], spaces: Sequence[FeatureSpace], images: int, image_size: int) -> None:
    """Whether these metrics, in these feature spaces, can score that many images of that size.

    Raises:
        BadInput: they cannot.
    """
    for metric in metrics:
        if metric.reads == "features" and spaces and images < 2:
            raise BadInput(f"{metric.name} needs at least 2 images: give more, or --features none")
        if image_size < metric.smallest:
            raise BadInput(f"{metric.name} needs images of {metric.smallest} pixels or more, not {image_size}")
    for space in spaces:
        if space.image_size not in (None, image_size):
            raise BadInput(
                f"{space.name} takes images of {space.image_size} pixels, not {image_size}: choose other --features"
            )


def check_images(given: object, x: Tensor, what: str) -> Tensor:
    """What somebody's code gave for images x, if it is images like them.

    Raises:
        BadInput: it is something else than floating-point images of the shape of x.
    """
    if not isinstance(given, Tensor):
        found = type(given).__name__
    elif given.shape != x.shape or not given.is_floating_point():
        found = f"{given.dtype} {tuple(given.shape)}"
    elif given.layout != torch.strided or given.is_meta:
        found = f"a tensor of {'no numbers' if given.is_meta else given.layout}"
    else:
        return given.as_subclass(Tensor)  # a class of somebody's own could not be saved
    raise BadInput(f"{what} must give images of the shape of x, {tuple(x.shape)}, not {found}")


def not_finite(images: Tensor) -> Tensor:
    """Which of the images (B, C, S, S) hold something else than numbers: bool (B,)."""
    return (~images.isfinite()).flatten(1).any(dim=1)


def check_finite(broken: Tensor, what: str, indices: Sequence[int]) -> None:
    """Whether no image is broken.

    Args:
        broken: see ``not_finite``.
        what: gave the images.
        indices: of the images, where they are known; else their places in the batch will do.

    Raises:
        BadInput: one is; names the first.
    """
    if broken.any():
        first = int(broken.nonzero()[0])
        first = indices[first] if len(indices) == len(broken) else first
        raise BadInput(f"{what} gave NaN or infinity instead of pixels, first in image {first}")
