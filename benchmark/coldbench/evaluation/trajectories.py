"""Some images of a measurement once more, for pictures: what each method makes of them, and the way that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from coldbench.diffusion.degradations.strided import severities
from coldbench.evaluation.generation import Generation, generated_images
from coldbench.evaluation.loop import to_unit
from coldbench.evaluation.restoration import Task, restored_images
from coldbench.evaluation.timed_restore import Traced, checked_degradation

#: A trajectory of more steps is shown at every T/10-th.
LONGEST = 10


@dataclass(frozen=True)
class Trajectory:
    """The way of some images from x_T to x_0, in the manner of the paper's Figure 2.

    Attributes:
        steps: the t that are shown, from T down.
        states: x_t at each of them, and behind these the result of the method: each (n, C, S, S) in [0, 1], unclamped.
        estimates: R(x_t, t) at each of them, likewise.
    """

    steps: tuple[int, ...]
    states: tuple[Tensor, ...]
    estimates: tuple[Tensor, ...]


@dataclass(frozen=True)
class Revisited:
    """Some images of a measurement, on the CPU.

    Attributes:
        images: what ``restored_images`` or ``generated_images`` give.
        trajectories: method -> the way that it took; none of a method that does not go step by step.
    """

    images: Mapping[str, Tensor]
    trajectories: Mapping[str, Trajectory]


def shown_steps(timesteps: int) -> tuple[int, ...]:
    """The t at which a trajectory is shown, from T down to 1: all, or where T is large, every T/10-th and the last.

    Args:
        timesteps: T.
    """
    return tuple(sorted({1, *severities(timesteps, min(timesteps, LONGEST))} - {0}, reverse=True))


@torch.inference_mode()
def revisit(task: Task | Generation, positions: Sequence[int]) -> Revisited:
    """Restore or generate some images of a measurement again, and remember the way.

    Nothing random depends on the batch, so these are the images that were measured.

    Args:
        task: the measurement.
        positions: of the images in it, 0 to N - 1.

    Raises:
        BadInput: see ``coldbench.evaluation.restoration.measure``.
    """
    traced = Traced(task.restore, task.device, shown_steps(task.degradation.timesteps))
    images: dict[str, Tensor] = {}
    trajectories = {}
    with checked_degradation(task.degradation, traced):
        for method in task.methods:
            traced.steps.clear()
            images |= _images(task, method, traced, positions)
            traced.settle()
            if len(traced.steps) > 1:
                trajectories[method] = _trajectory(traced, images[method])
    return Revisited(images, trajectories)


def _images(task: Task | Generation, method: str, traced: Traced, positions: Sequence[int]) -> dict[str, Tensor]:
    if isinstance(task, Generation):
        found = generated_images(replace(task, methods=(method,)), traced, positions)
    else:
        found = restored_images(replace(task, methods=(method,)), traced, positions)
    return {kind: batch.cpu() for kind, batch in found.items()}


def _trajectory(traced: Traced, result: Tensor) -> Trajectory:
    steps, states, estimates = zip(*traced.steps, strict=True)
    return Trajectory(steps, (*map(to_unit, states), result), tuple(map(to_unit, estimates)))
