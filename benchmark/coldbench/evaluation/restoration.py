"""Tables 1-4: degrade images, restore them, score what comes back. Knows no table and no file format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coldbench.core import array_cache
from coldbench.core.errors import BadInput, foreign
from coldbench.core.randomness import normal_images
from coldbench.data.decoding import Pixels
from coldbench.data.transforms import to_model_range
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.samplers import DEGRADED_IMAGE
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.feature_files import FeatureFiles
from coldbench.evaluation.loop import (
    TimedRestore,
    accumulate,
    check_count,
    check_finite,
    check_images,
    check_metrics,
    checked_degradation,
    to_unit,
)
from coldbench.evaluation.originals_cache import OriginalsCache
from coldbench.evaluation.protocols import Protocol
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import ORIGINAL, Outcome, Scores
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
def measure(task: Task, watch: Callable[[int], object] = lambda done: None, keeper: Keeper | None = None) -> Outcome:
    """Degrade, restore and score the first N images.

    Args:
        task: what to measure.
        watch, keeper: see ``coldbench.evaluation.loop.accumulate``.

    Raises:
        BadInput: images, degradation or restorer do not fit, or a number is not finite.
        CheckFailed: a metric is not what its reference says.
    """
    check(task)
    scores = Scores(
        task.methods,
        task.metrics,
        task.features,
        images=task.images,
        zero_features=task.protocol.zero_features(task.images),
        files=FeatureFiles(keeper.path if keeper else None),
        cache=_cache_of_originals(task),
        skipped=task.protocol.skipped,
    )
    restore = TimedRestore(task.restore, task.device)

    def produce(positions: range) -> dict[str, Tensor]:
        return {kind: to_unit(x) for kind, x in _restored_batch(task, restore, positions).items()}

    with checked_degradation(task.degradation, restore):
        return accumulate(scores, produce, restore, batch_size=task.batch_size, watch=watch, keeper=keeper)


def _cache_of_originals(task: Task) -> OriginalsCache:
    pixels, first = task.pixels, task.protocol.skipped
    with_features = task.images - task.protocol.zero_features(task.images)
    return OriginalsCache(
        pixels.source,
        pixels.source.name,
        pixels.transform,
        image_size=pixels.image_size,
        channels=pixels.channels,
        images=range(first, first + with_features),
        batch_size=task.batch_size,
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


def _restored_batch(task: Task, restore: TimedRestore, positions: range) -> dict[str, Tensor]:
    """The clean images of a batch and what each method makes of them, in [-1, 1]."""
    degradation, protocol = task.degradation, task.protocol
    indices = restore.indices = range(positions.start + protocol.skipped, positions.stop + protocol.skipped)
    x0 = to_model_range(task.pixels.batch(indices, seed=task.seed).to(task.device))
    with foreign(f"degradation '{degradation.settings['name']}'"):
        context = degradation.draw(indices, task.seed)
        context = context if context is None else context.to(task.device)
        x_T = check_images(degradation.observe(degradation(x0, degradation.timesteps, context)), x0, "the degradation")
    remembering = _remembering(restore, x_T, degradation.timesteps)
    outputs = {}
    for method in task.methods:

        def noise(s: int, method: str = method) -> Tensor:
            return normal_images(indices, task.seed, f"{method}-{s}", x0.shape[1:]).to(task.device)

        with foreign(f"sampler '{method}'"):
            sampled = protocol.sampler(method).sample(remembering, degradation, x_T, context, noise)
            outputs[method] = check_images(sampled, x0, f"sampler '{method}'")
        check_finite(outputs[method], f"sampler '{method}', or the degradation in it,", indices)
    return {ORIGINAL: x0, **outputs}


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
