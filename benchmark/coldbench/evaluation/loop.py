"""The loop that restoring and generating share: batch after batch into the scores, saved as it goes, and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from coldbench.core.errors import BadInput, foreign
from coldbench.core.interrupts import interrupts_deferred
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import Outcome, Scores
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import Metric


def accumulate(
    scores: Scores,
    produce: Callable[[range], tuple[Mapping[str, Tensor], int | None]],
    restore: TimedRestore,
    *,
    batch_size: int,
    watch: Callable[[int], object] = lambda done: None,
    keeper: Keeper | None = None,
) -> Outcome:
    """The loop that restoring and generating share: batch after batch into the scores, saved as it goes.

    Args:
        scores: empty.
        produce: positions -> what ``Scores.update`` takes.
        restore: R, with its clock.
        batch_size: images at a time.
        watch: called with the number of images that a batch, or an earlier attempt, has added.
        keeper: where to go on from, and to leave what is done.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the batch was finished and saved.
    """
    if keeper and (finished := keeper.load(scores)):
        watch(scores.images)
        return finished
    if scores.done:
        watch(scores.done)
    with interrupts_deferred("batch") as interrupted:
        for positions in batches(scores.images, batch_size, first=scores.done):
            started, network = time.perf_counter(), restore.seconds
            scores.update(positions, *produce(positions))
            scores.seconds += time.perf_counter() - started
            scores.network_seconds += restore.seconds - network
            watch(len(positions))
            if keeper:
                keeper.save(scores, now=interrupted() or scores.done == scores.images)
            if interrupted():
                raise KeyboardInterrupt
    outcome = scores.outcome()
    if keeper:
        keeper.finish(outcome)
    return outcome


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


def batches(count: int, batch_size: int, first: int = 0) -> Iterator[range]:
    """``first``..count-1 in runs of ``batch_size``; the last may be shorter, none is dropped."""
    for start in range(first, count, batch_size):
        yield range(start, min(start + batch_size, count))


def check_finite(images: Tensor, what: str, positions: range) -> None:
    """Whether images (B, C, S, S) hold numbers only.

    Raises:
        BadInput: one does not; names the first.
    """
    broken = (~images.isfinite()).flatten(1).any(dim=1)
    if broken.any():
        first = positions[int(broken.nonzero()[0])]
        raise BadInput(f"{what} gave NaN or infinity instead of pixels, first in image {first}")


def to_unit(x: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1], unclamped."""
    return (x + 1) / 2


class TimedRestore:
    """R, with a clock on it."""

    def __init__(self, restore: Restore | None, device: torch.device) -> None:
        self.restore, self.device, self.seconds = restore, device, 0.0

    def __call__(self, x: Tensor, s: int) -> Tensor:
        if self.restore is None:
            raise BadInput("this method needs a restoration network")
        started = time.perf_counter()
        with foreign(f"R(x, {s})"):
            prediction = self.restore(x.clone(), s)  # a copy: R may work in place, and the sampler needs x
        images = isinstance(prediction, Tensor) and prediction.shape == x.shape and prediction.is_floating_point()
        if not images:
            tensor = isinstance(prediction, Tensor)
            found = f"{prediction.dtype} {tuple(prediction.shape)}" if tensor else type(prediction).__name__
            raise BadInput(f"R(x, s) must give images of the shape of x, {tuple(x.shape)}, not {found}")
        prediction = prediction.to(x)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - started
        return prediction
