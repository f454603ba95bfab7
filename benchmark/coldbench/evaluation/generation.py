"""Images from nothing: the generators of Section 5, and their Frechet distance to the training images (Table 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coldbench.core.randomness import normal_images
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.sampling import Restore, Step, ddpm_step, estimated_noise_step, improved_step, sample
from coldbench.diffusion.starts import constant_start, noise_start
from coldbench.evaluation.restoration import TimedRestore, accumulate, check_features, to_unit
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import Outcome, Tally
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.frechet import FeatureStatistics

#: Images of each cell of Table 5 (PROTOCOL 5.5).
PAPER_IMAGES = 6400


@dataclass(frozen=True)
class Generator:
    """One way to generate.

    Attributes:
        start: what x_T is, the ``name`` of a registry entry's ``start``: ``noise`` (hot) or ``channel-means`` (cold).
        step: (image indices, seed, their shape) -> how to go from x_s to x_{s-1}.
        symmetry_noise: std of the white noise on a constant start, in units of [-1, 1].
    """

    start: str
    step: Callable[[Sequence[int], int, Sequence[int]], Step]
    symmetry_noise: float = 0.0


def _ddpm(indices: Sequence[int], seed: int, shape: Sequence[int]) -> Step:
    return ddpm_step(lambda s: normal_images(indices, seed, f"ddpm-{s}", shape))


#: Every generator by the name that Table 5 and ``coldbench compare`` know it by.
GENERATORS = {
    "fixed-noise": Generator("noise", lambda *image: improved_step),
    "estimated-noise": Generator("noise", lambda *image: estimated_noise_step),
    "ddpm": Generator("noise", _ddpm),
    "perfect-symmetry": Generator("channel-means", lambda *image: improved_step),
    "broken-symmetry": Generator("channel-means", lambda *image: improved_step, symmetry_noise=0.002),
}


@dataclass(frozen=True)
class Generation:
    """Everything that the measurement of generated images depends on.

    Attributes:
        degradation: D, on ``device``.
        start: of the registry entry.
        restore: R, on ``device``.
        features: the feature spaces of the Frechet distances; may be empty.
        references: feature space -> the statistics of the training images there.
        methods: names in ``GENERATORS``, all with this start.
        images: N.
        channels: C of the images.
        seed: of everything drawn at random.
        batch_size: images at a time; changes no result.
        device: where to compute.
    """

    degradation: Degradation
    start: Mapping[str, Any]
    restore: Restore
    features: Sequence[FeatureSpace]
    references: Mapping[str, FeatureStatistics]
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
    task: Generation, watch: Callable[[int], object] = lambda done: None, keeper: Keeper | None = None
) -> Outcome:
    """Generate N images with each method, and compare them with the training images.

    Args:
        task: what to measure.
        watch, keeper: see ``coldbench.evaluation.restoration.measure``.

    Raises:
        BadInput: a feature space that does not take these images, a start that was not fitted, a number not finite.
        CheckFailed: a metric is not what its reference says.
    """
    check_generation(task)
    tally = Tally(
        task.methods,
        task.features,
        images=task.images,
        device=task.device,
        references=task.references,
    )
    restore = TimedRestore(task.restore, task.device)

    def produce(positions: range) -> tuple[dict[str, Tensor], None]:
        generated = ((method, _generated(task, restore, method, positions)) for method in task.methods)
        return {method: as_file(to_unit(images)) for method, images in generated}, None

    return accumulate(tally, produce, restore, batch_size=task.batch_size, watch=watch, keeper=keeper)


def check_generation(task: Generation) -> None:
    """Find out what can be found out before the loop.

    Raises:
        BadInput: see ``generate``.
    """
    check_features(task.features, task.images, task.degradation.image_size)
    for method in task.methods:
        _start(task, GENERATORS[method], range(1))


def as_file(images: Tensor) -> Tensor:
    """Images as an 8-bit file keeps them, which is what Table 5 scores: clamped to [0, 1] and rounded."""
    return (images.clamp(0, 1) * 255).round() / 255


def _generated(task: Generation, restore: TimedRestore, method: str, positions: range) -> Tensor:
    """x_0 of these images, in [-1, 1]."""
    generator = GENERATORS[method]
    x_T = _start(task, generator, positions).to(task.device)
    step = generator.step(positions, task.seed, task.shape)
    # Hot diffusion's context is the noise it starts from; blur has none and ignores it.
    return sample(restore, task.degradation, x_T, x_T, step).sampled


def _start(task: Generation, generator: Generator, positions: range) -> Tensor:
    if generator.start == "noise":
        return noise_start(positions, task.seed, task.shape)
    return constant_start(task.start, generator.symmetry_noise, positions, task.seed, task.shape)
