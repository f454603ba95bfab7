"""The loop: batch -> degrade -> restore -> accumulate. Knows no table and no file format."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coldbench.degradations.base import Degradation
from coldbench.errors import BadInput
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.jackknife import Estimate, Grouped, estimate
from coldbench.metrics.pixelwise import RMSE, SSIM, SSIM_TAPS
from coldbench.pixels import Pixels
from coldbench.protocols import Protocol
from coldbench.sampling import Restore, sample
from coldbench.transforms import to_model_range

#: What can be measured of a restoration: x_T, Algorithm 2, R(x_T, T), Algorithm 1.
METHODS = ("degraded", "sampled", "direct", "naive")
#: Images kept for the picture of a run.
GALLERY = 8


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
        groups: of images, for intervals (see ``metrics.jackknife``); 1 for none.
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
    groups: int = 1


@dataclass(frozen=True)
class Outcome:
    """What one measurement gave.

    Attributes:
        estimates: (method, metric, features) -> number; ``features`` is empty but for Frechet distances.
        gallery: ``original``, where there are any, and each method -> the first images (n, C, S, S) in [0, 1].
        seconds: wall time of the whole loop and of the metrics' results.
        network_seconds: of that, inside the network's forward.
    """

    estimates: Mapping[tuple[str, str, str], Estimate]
    gallery: Mapping[str, Tensor]
    seconds: float
    network_seconds: float

    @property
    def values(self) -> dict[tuple[str, str, str], float]:
        """The bare numbers."""
        return {key: each.value for key, each in self.estimates.items()}


@torch.inference_mode()
def measure(task: Task, watch: Callable[[int], object] = lambda done: None) -> Outcome:
    """Degrade, restore and score the first N images.

    Args:
        task: what to measure.
        watch: called after each batch with its number of images.

    Raises:
        BadInput: the source has fewer than N images.
    """
    check(task)
    started = time.perf_counter()
    restore = TimedRestore(task.restore, task.device)
    originals = FeatureMeters(task.features, task.groups, task.images)
    meters = {method: _Meters(task.features, task.groups, task.images) for method in task.methods}
    gallery: dict[str, Tensor] = {}
    scored = task.images - task.protocol.zero_features(task.images)
    for positions in batches(task.images, task.batch_size):
        x0, outputs = _restored_batch(task, restore, positions)
        target = to_unit(x0)
        with_features = max(0, min(len(positions), scored - positions.start))
        originals.update(positions, target, with_features)
        for method, images in outputs.items():
            meters[method].update(positions, to_unit(images), target, with_features)
        collect(gallery, {"original": target, **{method: to_unit(images) for method, images in outputs.items()}})
        watch(len(positions))
    estimates = {
        (method, metric, features): found
        for method, meter in meters.items()
        for (metric, features), found in meter.results(originals).items()
    }
    return Outcome(estimates, gallery, time.perf_counter() - started, restore.seconds)


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


def batches(count: int, batch_size: int) -> Iterator[range]:
    """0..count-1 in runs of ``batch_size``; the last may be shorter, none is dropped."""
    for start in range(0, count, batch_size):
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
        prediction = self.restore(x, s)
        if not isinstance(prediction, Tensor) or prediction.shape != x.shape:
            found = tuple(prediction.shape) if isinstance(prediction, Tensor) else type(prediction).__name__
            raise BadInput(f"R(x, s) must give images of the shape of x, {tuple(x.shape)}, not {found}")
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - started
        return prediction


class FeatureMeters:
    """The statistics of one set of images in every feature space."""

    def __init__(self, spaces: Sequence[FeatureSpace], groups: int, images: int) -> None:
        self.spaces = spaces
        self.statistics = [Grouped(FeatureStatistics, groups, images) for _ in spaces]

    def update(self, positions: range, images: Tensor, scored: int | None = None) -> None:
        """Take in a batch; of the images after the first ``scored``, if that is given, the features are zeros."""
        for space, statistics in zip(self.spaces, self.statistics, strict=True):
            features = space.extract(images)
            if scored is not None:
                features[scored:] = 0
            statistics.update(positions, features)


class _Meters:
    """All metrics of one method."""

    def __init__(self, spaces: Sequence[FeatureSpace], groups: int, images: int) -> None:
        self.ssim, self.rmse = Grouped(SSIM, groups, images), Grouped(RMSE, groups, images)
        self.features = FeatureMeters(spaces, groups, images)

    def update(self, positions: range, prediction: Tensor, target: Tensor, with_features: int) -> None:
        self.ssim.update(positions, prediction, target)
        self.rmse.update(positions, prediction, target)
        self.features.update(positions, prediction, with_features)

    def results(self, originals: FeatureMeters) -> dict[tuple[str, str], Estimate]:
        estimates = {("SSIM", ""): estimate(SSIM.result, self.ssim), ("RMSE", ""): estimate(RMSE.result, self.rmse)}
        if not all(math.isfinite(each.value) for each in estimates.values()):
            raise BadInput("a measured value is not finite: degradation or weights are unusable")
        ours, theirs = self.features.statistics, originals.statistics
        for space, statistics, original in zip(self.features.spaces, ours, theirs, strict=True):
            estimates[space.metric, space.name] = estimate(frechet_distance, statistics, original)
        return estimates


def _restored_batch(task: Task, restore: TimedRestore, positions: range) -> tuple[Tensor, dict[str, Tensor]]:
    """The clean images of a batch and what each method makes of them, in [-1, 1]."""
    degradation, protocol = task.degradation, task.protocol
    indices = range(positions.start + protocol.skipped, positions.stop + protocol.skipped)
    x0 = to_model_range(task.pixels.batch(indices, seed=task.seed).to(task.device))
    context = degradation.draw(indices, task.seed)
    context = context if context is None else context.to(task.device)
    x_T = degradation.observe(degradation(x0, degradation.timesteps, context))
    outputs = _outputs(task, restore, x_T, context)
    return x0, {method: images for method, images in outputs.items() if method in task.methods}


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


def collect(gallery: dict[str, Tensor], images: Mapping[str, Tensor]) -> None:
    """Keep the first ``GALLERY`` images of each kind, in [0, 1]."""
    for name, batch in images.items():
        kept = gallery.get(name, batch[:0].cpu())
        if len(kept) < GALLERY:
            gallery[name] = torch.cat((kept, batch[: GALLERY - len(kept)].cpu()))
