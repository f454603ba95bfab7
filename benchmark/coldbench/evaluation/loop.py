"""The loop that restoring and generating share: batch after batch into the scores, saved as it goes, and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from coldbench.core.errors import BadInput, foreign, out_of_memory
from coldbench.core.interrupts import interrupts_deferred
from coldbench.core.progress import tell
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import Outcome, Scores
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import Metric


def accumulate(
    scores: Scores,
    produce: Callable[[range], Mapping[str, Tensor]],
    restore: TimedRestore,
    *,
    batch_size: int,
    watch: Callable[[int], object] = lambda done: None,
    keeper: Keeper | None = None,
) -> Outcome:
    """The loop that restoring and generating share: batch after batch into the scores, saved as it goes.

    Where the memory of a device does not hold what a batch needs, it goes on with half as many images at a time.

    Args:
        scores: empty.
        produce: positions -> images, as ``Scores.update`` takes them.
        restore: R, with its clock.
        batch_size: images at a time.
        watch: called with the number of images that a batch, or an earlier attempt, has added.
        keeper: where to go on from, and to leave what is done.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the batch was finished and saved.
        BadInput: out of memory: that of the host, or of a device with a single image.
    """
    if keeper and (finished := keeper.load(scores)):
        watch(scores.images)
        return finished
    if scores.done:
        watch(scores.done)
    with interrupts_deferred("batch") as interrupted:
        while scores.done < scores.images:
            positions = range(scores.done, min(scores.done + batch_size, scores.images))
            started, network = time.perf_counter(), restore.seconds
            produced = fitting(produce, positions)
            if produced is None:
                batch_size = len(positions) // 2
                scores.halved = True
                continue
            with memory_heeded():
                scores.update(positions, produced)
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
    scores.close()
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


def batches(count: int, batch_size: int) -> Iterator[range]:
    """0..count-1 in runs of ``batch_size``; the last may be shorter, none is dropped."""
    for start in range(0, count, batch_size):
        yield range(start, min(start + batch_size, count))


def fitting(produce: Callable[[range], Mapping[str, Tensor]], positions: range) -> Mapping[str, Tensor] | None:
    """What a batch gave; None where the memory of the device does not hold it, and half of it may do.

    Raises:
        BadInput: see ``accumulate``.
    """
    try:
        return produce(positions)
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error) != "device" or len(positions) == 1:
            with memory_heeded():
                raise
    tell(f"out of memory with {len(positions)} images at a time: going on with {len(positions) // 2}")
    return None


@contextmanager
def memory_heeded() -> Iterator[None]:
    """Let the end of the memory say what takes less of it.

    Raises:
        BadInput: in the place of the library's own error.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        where = out_of_memory(error)
        if not where:
            raise
        raise BadInput(f"the {where} is out of memory: lower --batch-size") from error


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


def check_finite(images: Tensor, what: str, indices: Sequence[int]) -> None:
    """Whether images (B, C, S, S) hold numbers only.

    Args:
        images: of these.
        what: gave them.
        indices: of the images, where they are known; else their places in the batch will do.

    Raises:
        BadInput: one does not; names the first.
    """
    broken = (~images.isfinite()).flatten(1).any(dim=1)
    if broken.any():
        first = int(broken.nonzero()[0])
        first = indices[first] if len(indices) == len(images) else first
        raise BadInput(f"{what} gave NaN or infinity instead of pixels, first in image {first}")


def to_unit(x: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1], unclamped."""
    return (x + 1) / 2


class TimedRestore:
    """R, with a clock on it; what goes in and what comes out is checked.

    Args:
        restore: R; None where no method needs it.
        device: where it computes.

    Attributes:
        seconds: spent in R.
        indices: of the images that are at work, for messages; whoever starts a batch sets them.
    """

    def __init__(self, restore: Restore | None, device: torch.device) -> None:
        self.restore, self.device, self.seconds = restore, device, 0.0
        self.indices: Sequence[int] = ()

    def __call__(self, x: Tensor, s: int) -> Tensor:
        if self.restore is None:
            raise BadInput("this method needs a restoration network")
        check_finite(x, f"the degradation, or the sampler on its way to R(x, {s}),", self.indices)
        started = time.perf_counter()
        with foreign(f"R(x, {s})"):
            # A copy goes in: R may work in place, and the sampler needs x.
            prediction = check_images(self.restore(x.clone(), s), x, "R(x, s)").to(x)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - started
        check_finite(prediction, f"R(x, {s})", self.indices)
        return prediction


@contextmanager
def checked_degradation(degradation: Degradation, restore: TimedRestore) -> Iterator[None]:
    """Let whatever D gives be checked where it is called; ``restore`` knows which images it gives.

    Raises:
        BadInput: from the call: something else than images like those it was given, or NaN.
    """

    name = f"degradation '{degradation.settings.get('name', type(degradation).__name__)}'"

    def check(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], found: object) -> None:
        x0 = given[0] if given else next(iter(named.values()))
        check_finite(check_images(found, x0, f"D(x, s), the {name},"), f"the {name}", restore.indices)

    hook = degradation.register_forward_hook(check, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
