"""Tables 1-4: degrade images, restore them, score what comes back. Knows no table and no file format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from coldbench.core import array_cache
from coldbench.core.devices import to_device
from coldbench.core.errors import BadInput, foreign
from coldbench.core.randomness import normal_images
from coldbench.core.steps import split_steps
from coldbench.data.decoding import Pixels
from coldbench.data.transforms import to_model_range
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.samplers import DEGRADED_IMAGE, Sampler
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.ahead import ahead
from coldbench.evaluation.checks import check_count, check_images, check_metrics
from coldbench.evaluation.details import NO_DETAILS, Details
from coldbench.evaluation.feature_files import FeatureFiles
from coldbench.evaluation.loop import accumulate, to_unit, whole_batch
from coldbench.evaluation.originals_cache import OriginalsCache
from coldbench.evaluation.protocols import Protocol
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import ORIGINAL, Outcome, Scores
from coldbench.evaluation.timed_restore import TimedRestore, checked_degradation
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import Metric


@dataclass(frozen=True)
class Task:
    """Everything that the measurement of restored images depends on.

    Attributes:
        pixels: the images, decoded; the first ``images`` of them are used, after those that the protocol skips.
        degradation: D, on ``device``.
        restore: R, on ``device``; None if only ``degraded`` is measured.
        metrics: what is measured of them.
        features: the feature spaces of those that need one; may be empty.
        methods: names of samplers.
        protocol: what exactly these are.
        images: N.
        seed: of everything drawn at random.
        batch_size: images at a time; changes no result.
        device: where to compute.
    """

    pixels: Pixels
    degradation: Degradation
    restore: Restore | None
    metrics: Sequence[Metric]
    features: Sequence[FeatureSpace]
    methods: Sequence[str]
    protocol: Protocol
    images: int
    seed: int
    batch_size: int
    device: torch.device


@torch.inference_mode()
def measure(
    task: Task,
    watch: Callable[[int], object] = lambda done: None,
    keeper: Keeper | None = None,
    details: Details = NO_DETAILS,
) -> Outcome:
    """Degrade, restore and score the first N images.

    Args:
        task: what to measure.
        watch, keeper: see ``coldbench.evaluation.loop.accumulate``.
        details: what is kept of every image; among those that are saved are the originals, the degraded images, and
            what was drawn for them.

    Raises:
        BadInput: images, degradation or restorer do not fit, or a number is not finite.
        CheckFailed: a metric is not what its reference says.
    """
    check(task)
    restore = TimedRestore(task.restore, task.device)
    cache = cache_of_originals(task)

    def blank(start: int, state: Path | None) -> Scores:
        return Scores(
            task.methods,
            task.metrics,
            task.features,
            images=task.images,
            start=start,
            zero_features=task.protocol.zero_features(task.images),
            files=FeatureFiles(state),
            cache=cache,
            skipped=task.protocol.skipped,
            each=details.each,
        )

    with (
        ahead(partial(_drawn, task), task.images, task.device) as drawn,
        checked_degradation(task.degradation, restore),
    ):

        def produce(positions: range) -> dict[str, Tensor]:
            return _restored_batch(task, restore, positions, *drawn(positions))

        return accumulate(
            blank,
            produce,
            restore,
            images=task.images,
            batch_size=task.batch_size,
            watch=watch,
            keeper=keeper,
            saved=details.saved,
        )


def cache_of_originals(task: Task) -> OriginalsCache:
    """Where the features of the originals of a measurement are found, and kept."""
    chunk = TimedRestore(task.restore, task.device).chunk
    pixels, first = task.pixels, task.protocol.skipped
    with_features = task.images - task.protocol.zero_features(task.images)
    return OriginalsCache(
        pixels.source,
        pixels.source.name,
        pixels.transform,
        image_size=pixels.image_size,
        channels=pixels.channels,
        images=range(first, first + with_features),
        batch_size=whole_batch(task.batch_size, chunk),
        device=task.device,
        seed=task.seed,
    )


def check(task: Task) -> None:
    """Find out what can be found out before the loop: enough images, and of the right kind.

    Raises:
        BadInput: too few images, or images that do not fit the degradation, the network or a metric.
    """
    size, degradation = task.pixels.image_size, task.degradation
    array_cache.limit()  # a wrong one is told now, not when the first features are looked for
    for method in task.methods:
        sampler = task.protocol.sampler(method)
        if not sampler.serves(DEGRADED_IMAGE):
            raise BadInput(f"{method} starts from {sampler.start}, not from a degraded image: it restores nothing")
    check_count(task.images, task.pixels.count, task.protocol.skipped, task.pixels.source.name)
    if size != degradation.image_size:
        raise BadInput(f"the degradation takes images of {degradation.image_size} pixels, not {size}")
    check_metrics(task.metrics, task.features, task.images, size)
    if task.features and task.protocol.zero_features(task.images) == task.images:
        raise BadInput(
            f"protocol {task.protocol.name} computes features in batches of {task.protocol.feature_batch}: give that "
            "many images, or --features none"
        )


def _indices(task: Task, positions: Sequence[int]) -> list[int]:
    """Where images of the measurement stand in their set."""
    return [position + task.protocol.skipped for position in positions]


def _drawn(task: Task, positions: Sequence[int]) -> tuple[Tensor, Tensor | None]:
    """The clean images of a batch in [-1, 1], and what D draws for them; on the CPU."""
    indices = _indices(task, positions)
    x0 = to_model_range(task.pixels.batch(indices, seed=task.seed))
    with foreign(f"degradation '{task.degradation.settings['name']}'"):
        return x0, task.degradation.draw(indices, task.seed)


def restored_images(task: Task, restore: TimedRestore, positions: Sequence[int]) -> dict[str, Tensor]:
    """What the measurement sees of some of its images: the clean ones, the degraded ones, and each method's.

    Args:
        task: the measurement.
        restore: R, with its clock.
        positions: of the images in the measurement.

    Returns:
        kind -> images (B, C, S, S) in [0, 1], unclamped.
    """
    return _restored_batch(task, restore, positions, *_drawn(task, positions))


def _restored_batch(
    task: Task, restore: TimedRestore, positions: Sequence[int], x0: Tensor, context: Tensor | None
) -> dict[str, Tensor]:
    """The clean and the degraded images of a batch and what each method makes of them, in [0, 1]; and the context."""
    degradation = task.degradation
    indices = _indices(task, positions)
    restore.begin(indices)
    x0 = to_device(x0, task.device)
    with foreign(f"degradation '{degradation.settings['name']}'"):
        context = context if context is None else to_device(context, task.device)
        x_T = check_images(degradation.observe(degradation(x0, degradation.timesteps, context)), x0, "the degradation")
    samplers = {method: task.protocol.sampler(method) for method in task.methods}
    outputs = restored(samplers, restore, degradation, x_T, context, seed=task.seed)
    drawn = {} if context is None else {degradation.context_name: degradation.context_as_images(context)}
    return {**drawn, **{kind: to_unit(x) for kind, x in {ORIGINAL: x0, DEGRADED_IMAGE: x_T, **outputs}.items()}}


def restored(
    samplers: Mapping[str, Sampler],
    restore: TimedRestore,
    degradation: Degradation,
    x_T: Tensor,
    context: Tensor | None,
    *,
    seed: int,
) -> dict[str, Tensor]:
    """What each method makes of degraded images, in [-1, 1].

    Args:
        samplers: the methods, by their names.
        restore: R, which was told which images they are.
        degradation: D, on the device.
        x_T: the images (B, C, S, S) in [-1, 1], degraded to its T.
        context: what D drew for them.
        seed: of what samplers draw.

    Raises:
        BadInput: a sampler fails or gives no images.
    """
    remembering = _remembering(restore, x_T, degradation.timesteps)
    outputs = {}
    for method, sampler in samplers.items():

        def noise(s: int, method: str = method) -> Tensor:
            purpose = f"{split_steps(method)[0]}-{s}"  # with fewer steps, the same method draws the same
            return normal_images(restore.indices, seed, purpose, x_T.shape[1:]).to(x_T.device)

        with foreign(f"sampler '{method}'"):
            sampled = sampler.sample(remembering, degradation, x_T, context, noise)
            outputs[method] = check_images(sampled, x_T, f"sampler '{method}'")
        restore.look(outputs[method], f"sampler '{method}', or the degradation in it,")
    return outputs


def _remembering(restore: Restore, x_T: Tensor, T: int) -> Restore:
    """R that computes R(x_T, T), which all methods begin with, once."""
    first: list[Tensor] = []

    def remembering(x: Tensor, s: int) -> Tensor:
        if x is not x_T or s != T:
            return restore(x, s)
        if not first:
            first.append(restore(x, s))
        return first[0]

    return remembering
