"""Images from nothing: the generators of Section 5, and their distances to the training images (Table 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coldbench.core.devices import to_device
from coldbench.core.errors import BadInput, foreign
from coldbench.core.randomness import normal_images
from coldbench.core.steps import split_steps
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.generators import start_images
from coldbench.diffusion.samplers import Sampler, find_sampler
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.checks import check_finite, check_images, check_metrics, not_finite
from coldbench.evaluation.details import NO_DETAILS, Details
from coldbench.evaluation.feature_files import FeatureFiles
from coldbench.evaluation.loop import accumulate, to_unit
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import Outcome, Scores
from coldbench.evaluation.timed_restore import TimedRestore, checked_degradation
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import Metric

#: Images of each cell of Table 5 (PROTOCOL 5.5).
PAPER_IMAGES = 6400


@dataclass(frozen=True)
class Generation:
    """Everything that the measurement of generated images depends on.

    Attributes:
        degradation: D, on ``device``.
        start: of the registry entry.
        restore: R, on ``device``.
        metrics: what is measured of them.
        features: the feature spaces of the metrics.
        references: (feature space, metric) -> the accumulator of the training images.
        methods: names of samplers, all with this start.
        images: N.
        channels: C of the images.
        seed: of everything drawn at random.
        batch_size: images at a time; changes no result.
        device: where to compute.
    """

    degradation: Degradation
    start: Mapping[str, Any]
    restore: Restore
    metrics: Sequence[Metric]
    features: Sequence[FeatureSpace]
    references: Mapping[tuple[str, str], Any]
    methods: Sequence[str]
    images: int
    channels: int
    seed: int
    batch_size: int
    device: torch.device

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, S, S)."""
        return self.channels, self.degradation.image_size, self.degradation.image_size


@torch.inference_mode()
def generate(
    task: Generation,
    watch: Callable[[int], object] = lambda done: None,
    keeper: Keeper | None = None,
    details: Details = NO_DETAILS,
) -> Outcome:
    """Generate N images with each method, and compare them with the training images.

    Args:
        task: what to measure.
        watch, keeper: see ``coldbench.evaluation.loop.accumulate``.
        details: what is kept of every image.

    Raises:
        BadInput: a feature space that does not take these images, a start that was not fitted, a number not finite.
        CheckFailed: a metric is not what its reference says.
    """
    check_generation(task)
    restore = TimedRestore(task.restore, task.device)

    def blank(start: int, state: Path | None) -> Scores:
        return Scores(
            task.methods,
            task.metrics,
            task.features,
            images=task.images,
            start=start,
            references=task.references,
            files=FeatureFiles(state),
        )

    with checked_degradation(task.degradation, restore):
        return accumulate(
            blank,
            partial(generated_images, task, restore),
            restore,
            images=task.images,
            batch_size=task.batch_size,
            watch=watch,
            keeper=keeper,
            saved=details.saved,
        )


def generated_images(task: Generation, restore: TimedRestore, positions: Sequence[int]) -> dict[str, Tensor]:
    """What the measurement sees of some of its images.

    Args:
        task: the measurement.
        restore: R, with its clock.
        positions: of the images in the measurement.

    Returns:
        method -> images (B, C, S, S) in [0, 1], as 8-bit files keep them.
    """
    restore.begin(positions)
    return {method: as_file(to_unit(_generated(task, restore, method, positions))) for method in task.methods}


def _generated(task: Generation, restore: Restore, method: str, positions: Sequence[int]) -> Tensor:
    return generated(
        restore,
        task.degradation,
        task.start,
        method,
        positions,
        seed=task.seed,
        channels=task.channels,
        device=task.device,
    )


def check_generation(task: Generation) -> None:
    """Find out what can be found out before the loop.

    Raises:
        BadInput: see ``generate``.
    """
    check_metrics(task.metrics, task.features, task.images, task.degradation.image_size)
    for method in task.methods:
        noise = fitting_sampler(method, task.start).symmetry_noise
        start_images(task.start, noise, range(1), task.seed, task.shape)


def as_file(images: Tensor) -> Tensor:
    """Images as an 8-bit file keeps them, which is what Table 5 scores: clamped to [0, 1] and rounded."""
    return (images.clamp(0, 1) * 255).round() / 255


def fitting_sampler(method: str, start: Mapping[str, Any]) -> Sampler:
    """The sampler of this name, which must fit what the model starts from.

    Raises:
        BadInput: it does not, or there is none.
    """
    sampler = find_sampler(method)
    if not sampler.serves(start["name"]):
        raise BadInput(f"{method} generates from {sampler.start}, and this model from {start['name']}")
    return sampler


def generated(
    restore: Restore,
    degradation: Degradation,
    start: Mapping[str, Any],
    method: str,
    positions: Sequence[int],
    *,
    seed: int,
    channels: int,
    device: torch.device,
) -> Tensor:
    """New images x_0, (B, C, S, S) in [-1, 1], unclamped.

    Args:
        restore, degradation: R and D, on the device.
        start: of the registry entry, fitted.
        method: the name of a sampler.
        positions: of the images; with the seed, they decide everything that is drawn.
        seed: of the run.
        channels: C.
        device: where to compute.

    Raises:
        BadInput: a sampler that does not fit the start or gives no images, or a start that was not fitted.
    """
    shape = (channels, degradation.image_size, degradation.image_size)
    sampler = fitting_sampler(method, start)
    x_T = to_device(start_images(start, sampler.symmetry_noise, positions, seed, shape), device)

    def noise(s: int) -> Tensor:
        purpose = f"{split_steps(method)[0]}-{s}"  # with fewer steps, the same method draws the same
        return normal_images(positions, seed, purpose, shape).to(device)

    # Hot diffusion's context is the noise it starts from; blur has none and ignores it.
    with foreign(f"sampler '{method}'"):
        images = check_images(sampler.sample(restore, degradation, x_T, x_T, noise), x_T, f"sampler '{method}'")
    check_finite(not_finite(images), f"sampler '{method}', or the degradation in it,", positions)
    return images
