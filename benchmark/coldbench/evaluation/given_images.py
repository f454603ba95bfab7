"""Images that others have degraded, restored or generated: the engine for what is not made of a data set here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coldbench.core.interrupts import interrupts_deferred
from coldbench.data.float_images import suffix, write_image
from coldbench.diffusion.degradations.part import Part
from coldbench.diffusion.samplers import Sampler
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.details import NO_DETAILS, Details, SavedImages
from coldbench.evaluation.feature_files import FeatureFiles
from coldbench.evaluation.loop import accumulate, fitting, to_unit, whole_batch
from coldbench.evaluation.restoration import restored
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import ORIGINAL, Outcome, Scores
from coldbench.evaluation.timed_restore import TimedRestore, Traced, checked_degradation
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import Metric

#: positions -> float32 (B, C, H, W) in [0, 1], on the CPU.
Read = Callable[[Sequence[int]], Tensor]
#: Of a folder of restored images, the folder that receives what led to them.
TRAJECTORY = "trajectory"


@dataclass(frozen=True, kw_only=True)
class GivenScores:
    """Restored images and their originals, or generated images and what they are compared with.

    Attributes:
        kind: what the images are called, ``restored`` or ``generated``.
        images: reads them.
        originals: reads their originals; None where there are none.
        references: see ``Scores``; None where there are originals.
        metrics, features: what is measured.
        count: N.
        batch_size: images at a time; changes no result.
        device: where to compute.
    """

    kind: str
    images: Read
    originals: Read | None
    references: Mapping[tuple[str, str], Any] | None
    metrics: Sequence[Metric]
    features: Sequence[FeatureSpace]
    count: int
    batch_size: int
    device: torch.device


@torch.inference_mode()
def score_given(
    task: GivenScores,
    watch: Callable[[int], object] = lambda done: None,
    keeper: Keeper | None = None,
    details: Details = NO_DETAILS,
) -> Outcome:
    """Score images that are there.

    Args:
        task: what to score.
        watch, keeper, details: see ``coldbench.evaluation.restoration.measure``.

    Raises:
        BadInput: images that cannot be read, or a number that is not finite.
        CheckFailed: a metric is not what its reference says.
    """

    def blank(start: int, state: Path | None) -> Scores:
        return Scores(
            (task.kind,),
            task.metrics,
            task.features,
            images=task.count,
            start=start,
            references=task.references,
            files=FeatureFiles(state),
            each=details.each,
        )

    def produce(positions: range) -> dict[str, Tensor]:
        found = {task.kind: task.images(positions)}
        if task.originals is not None:
            found[ORIGINAL] = task.originals(positions)
        return {kind: images.to(task.device) for kind, images in found.items()}

    return accumulate(
        blank,
        produce,
        TimedRestore(None, task.device),
        images=task.count,
        batch_size=task.batch_size,
        watch=watch,
        keeper=keeper,
        saved=details.saved,
    )


@dataclass(frozen=True, kw_only=True)
class GivenDegraded:
    """Images that are degraded already, and what restores them.

    Attributes:
        images: reads them.
        context: reads what files keep of what was random about them; None where there is nothing, or nobody knows.
        degradation: what they have undergone, on ``device``.
        restore: R, on ``device``; None where no method needs it.
        samplers: the methods, by their names.
        seed: of what samplers draw.
        batch_size: images at a time; changes no result.
        device: where to compute.
    """

    images: Read
    context: Read | None
    degradation: Part
    restore: Restore | None
    samplers: Mapping[str, Sampler]
    seed: int
    batch_size: int
    device: torch.device


@torch.inference_mode()
def restore_given(
    task: GivenDegraded,
    todo: Sequence[range],
    saved: SavedImages,
    *,
    trajectory: bool = False,
    watch: Callable[[int], object] = lambda done: None,
) -> None:
    """Restore images, and save what each method makes of them.

    Args:
        task: what to restore.
        todo: positions of the images.
        saved: receives what comes out.
        trajectory: whether every x_s and R(x_s, s) on the way is saved, too.
        watch: called with the number of images that a batch has restored.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the batch was finished and saved.
        BadInput: images, context, sampler or restorer do not fit; or out of memory with a single image.
    """
    restore = Traced(task.restore, task.device) if trajectory else TimedRestore(task.restore, task.device)
    size = whole_batch(task.batch_size, restore.chunk)
    with interrupts_deferred("batch") as interrupted, checked_degradation(task.degradation, restore):
        for run in todo:
            start = run.start
            while start < run.stop:
                positions = range(start, min(start + size, run.stop))
                found = fitting(lambda batch: _restored(task, restore, batch, saved), positions, restore)
                if found is None:
                    size = len(positions) // 2
                    restore.shrink(size)
                    continue
                saved.write(positions, found)
                watch(len(positions))
                start = positions.stop
                if interrupted():
                    raise KeyboardInterrupt


def _restored(task: GivenDegraded, restore: TimedRestore, positions: range, saved: SavedImages) -> dict[str, Tensor]:
    """What each method makes of some of the images, in [0, 1]."""
    restore.begin(positions)
    degradation = task.degradation
    x = task.images(positions).to(task.device) * 2 - 1
    context = None
    if task.context is not None:
        kept = task.context(positions).to(task.device)
        context = degradation.context_from_images(kept, degradation.timesteps)
    if not isinstance(restore, Traced):
        return _in_unit(restored(task.samplers, restore, degradation, x, context, seed=task.seed))
    found: dict[str, Tensor] = {}
    for method, sampler in task.samplers.items():
        restore.steps.clear()
        found |= _in_unit(restored({method: sampler}, restore, degradation, x, context, seed=task.seed))
        _save_steps(restore.steps, method, positions, saved)
    return found


def _in_unit(images: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {kind: to_unit(x) for kind, x in images.items()}


def _save_steps(steps: Sequence[tuple[int, Tensor, Tensor]], method: str, positions: range, saved: SavedImages) -> None:
    """Every x_s as ``x-SSSS``, every estimate as ``estimate-SSSS``, in a folder an image."""
    style = "npy" if saved.style == "npz" else saved.style
    for s, x, estimate in steps:
        for row, position in enumerate(positions):
            folder = saved.folder / TRAJECTORY / method / saved.name(position)
            write_image(to_unit(x[row]), folder / f"x-{s:04d}{suffix(style)}", style)
            write_image(to_unit(estimate[row]), folder / f"estimate-{s:04d}{suffix(style)}", style)
