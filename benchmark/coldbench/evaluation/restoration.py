"""The loop: batch -> degrade -> restore -> accumulate. Knows no table and no file format."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coldbench.core.errors import BadInput, foreign
from coldbench.core.interrupts import interrupts_deferred
from coldbench.data.decoding import Pixels
from coldbench.data.transforms import to_model_range
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.sampling import Restore, sample
from coldbench.evaluation.protocols import Protocol
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import ORIGINAL, Outcome, Tally
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.pixelwise import SSIM_TAPS

#: What can be measured of a restoration: x_T, Algorithm 2, R(x_T, T), Algorithm 1.
METHODS = ("degraded", "sampled", "direct", "naive")


@dataclass(frozen=True)
class Task:
    """Everything that the measurement of restored images depends on.

    Attributes:
        pixels: the images, decoded; the first ``images`` of them are used, after those that the protocol skips.
        degradation: D, on ``device``.
        restore: R, on ``device``; None if only ``degraded`` is measured.
        features: the feature spaces of the Frechet distances; may be empty.
        methods: of ``METHODS``.
        protocol: what exactly these are.
        images: N.
        seed: of everything drawn at random.
        batch_size: images at a time; changes no result.
        device: where to compute.
    """

    pixels: Pixels
    degradation: Degradation
    restore: Restore | None
    features: Sequence[FeatureSpace]
    methods: Sequence[str]
    protocol: Protocol
    images: int
    seed: int
    batch_size: int
    device: torch.device


@torch.inference_mode()
def measure(task: Task, watch: Callable[[int], object] = lambda done: None, keeper: Keeper | None = None) -> Outcome:
    """Degrade, restore and score the first N images.

    Args:
        task: what to measure.
        watch: called with the number of images that a batch, or an earlier attempt, has added.
        keeper: where to go on from, and to leave what is done.

    Raises:
        BadInput: images, degradation or restorer do not fit, or a number is not finite.
        CheckFailed: a metric is not what its reference says.
    """
    check(task)
    tally = Tally(task.methods, task.features, images=task.images, device=task.device)
    restore = TimedRestore(task.restore, task.device)
    with_features = task.images - task.protocol.zero_features(task.images)

    def produce(positions: range) -> tuple[dict[str, Tensor], int]:
        images = {kind: to_unit(x) for kind, x in _restored_batch(task, restore, positions).items()}
        return images, max(0, min(len(positions), with_features - positions.start))

    return accumulate(tally, produce, restore, batch_size=task.batch_size, watch=watch, keeper=keeper)


def accumulate(
    tally: Tally,
    produce: Callable[[range], tuple[Mapping[str, Tensor], int | None]],
    restore: TimedRestore,
    *,
    batch_size: int,
    watch: Callable[[int], object],
    keeper: Keeper | None,
) -> Outcome:
    """The loop that restoring and generating share: batch after batch into the tally, saved as it goes.

    Args:
        tally: empty.
        produce: positions -> what ``Tally.update`` takes.
        restore: R, with its clock.
        batch_size: images at a time.
        watch, keeper: see ``measure``.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the batch was finished and saved.
    """
    if keeper and (finished := keeper.load(tally)):
        watch(tally.images)
        return finished
    if tally.done:
        watch(tally.done)
    with interrupts_deferred("batch") as interrupted:
        for positions in batches(tally.images, batch_size, first=tally.done):
            started, network = time.perf_counter(), restore.seconds
            tally.update(positions, *produce(positions))
            tally.seconds += time.perf_counter() - started
            tally.network_seconds += restore.seconds - network
            watch(len(positions))
            if keeper:
                keeper.save(tally, now=interrupted() or tally.done == tally.images)
            if interrupted():
                raise KeyboardInterrupt
    outcome = tally.outcome()
    if keeper:
        keeper.finish(outcome)
    return outcome


def check(task: Task) -> None:
    """Find out what can be found out before the loop: enough images, and of the right kind.

    Raises:
        BadInput: too few images, or images that do not fit the degradation, the network or a metric.
    """
    size, degradation = task.pixels.image_size, task.degradation
    for method in task.methods:
        if method not in METHODS:
            raise BadInput(f"unknown method '{method}'; known: {', '.join(METHODS)}")
    check_count(task.images, task.pixels.count, task.protocol, task.pixels.source.name)
    if size != degradation.image_size:
        raise BadInput(f"the degradation takes images of {degradation.image_size} pixels, not {size}")
    check_features(task.features, task.images, size)
    if size < SSIM_TAPS:
        raise BadInput(f"SSIM needs images of {SSIM_TAPS} pixels or more, not {size}")
    if task.features and task.protocol.zero_features(task.images) == task.images:
        raise BadInput(
            f"protocol {task.protocol.name} computes features in batches of {task.protocol.feature_batch}: give that "
            "many images, or --features none"
        )


def check_count(images: int, present: int, protocol: Protocol, name: str) -> None:
    """Whether so many images can be scored out of those present.

    Raises:
        BadInput: they cannot.
    """
    available = present - protocol.skipped
    if images > available:
        raise BadInput(f"{name} has {available} images, not {images}: lower --images")
    if images < 1:
        raise BadInput(f"{name} has no image that protocol {protocol.name} scores")


def check_features(spaces: Sequence[FeatureSpace], images: int, image_size: int) -> None:
    """Whether these feature spaces can score that many images of that size.

    Raises:
        BadInput: they cannot.
    """
    if spaces and images < 2:
        raise BadInput("a Frechet distance needs at least 2 images: give more, or --features none")
    for space in spaces:
        if space.image_size not in (None, image_size):
            raise BadInput(
                f"{space.name} takes images of {space.image_size} pixels, not {image_size}: choose other --features"
            )


def batches(count: int, batch_size: int, first: int = 0) -> Iterator[range]:
    """``first``..count-1 in runs of ``batch_size``; the last may be shorter, none is dropped."""
    for start in range(first, count, batch_size):
        yield range(start, min(start + batch_size, count))


def to_unit(x: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1], unclamped."""
    return (x + 1) / 2


class TimedRestore:
    """R, with a clock on it."""

    def __init__(self, restore: Restore | None, device: torch.device) -> None:
        self.restore, self.device, self.seconds = restore, device, 0.0

    def __call__(self, x: Tensor, s: int) -> Tensor:
        if self.restore is None:
            raise BadInput("sampled and direct need a restoration network")
        started = time.perf_counter()
        with foreign(f"R(x, {s})"):
            prediction = self.restore(x.clone(), s)  # a copy: R may work in place, and the sampler needs x
        images = isinstance(prediction, Tensor) and prediction.shape == x.shape and prediction.is_floating_point()
        if not images:
            found = f"{prediction.dtype} {tuple(prediction.shape)}" if isinstance(prediction, Tensor) else prediction
            raise BadInput(f"R(x, s) must give images of the shape of x, {tuple(x.shape)}, not {found!r}")
        prediction = prediction.to(x)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - started
        return prediction


def _restored_batch(task: Task, restore: TimedRestore, positions: range) -> dict[str, Tensor]:
    """The clean images of a batch and what each method makes of them, in [-1, 1]."""
    degradation, protocol = task.degradation, task.protocol
    indices = range(positions.start + protocol.skipped, positions.stop + protocol.skipped)
    x0 = to_model_range(task.pixels.batch(indices, seed=task.seed).to(task.device))
    context = degradation.draw(indices, task.seed)
    context = context if context is None else context.to(task.device)
    x_T = degradation.observe(degradation(x0, degradation.timesteps, context))
    outputs = _outputs(task, restore, x_T, context)
    return {ORIGINAL: x0, **{method: images for method, images in outputs.items() if method in task.methods}}


def _outputs(task: Task, restore: TimedRestore, x_T: Tensor, context: Tensor | None) -> dict[str, Tensor]:
    """At least the methods of the task, as images in [-1, 1]."""
    degradation, protocol, methods = task.degradation, task.protocol, task.methods
    outputs = {"degraded": x_T}
    if "sampled" in methods or (protocol.late_degraded and "degraded" in methods):
        restored = sample(restore, degradation, x_T, context, protocol.step)
        outputs |= {
            "degraded": restored.first_update if protocol.late_degraded else x_T,
            "direct": restored.direct,
            "sampled": restored.last_prediction if protocol.early_sampled else restored.sampled,
        }
    if "naive" in methods:
        restored = sample(restore, degradation, x_T, context, protocol.naive)
        outputs |= {"direct": restored.direct, "naive": restored.sampled}
    if "direct" in methods and "direct" not in outputs:
        outputs["direct"] = restore(x_T, degradation.timesteps)
    return outputs
