"""The sides of a workload in one process, in turns: the floor, our run and the plain implementation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from coldbench.commands.bench.clocks import FLOOR, PARTS
from coldbench.commands.bench.plain import Numbers, measure_plainly
from coldbench.commands.bench.workloads import Job, Workload, prepared
from coldbench.core.errors import CheckFailed
from coldbench.evaluation.generation import Generation, generate
from coldbench.evaluation.restoration import measure

#: How far apart the images may be that the last step of each side begins with: the median image, root mean square in
#: units of [-1, 1]. (Some are further apart: what deblurring starts from lives in its last decimals, where a chain of
#: convolutions rounds otherwise than one product, and twenty steps amplify that.) SSIM and RMSE of all images, too.
TOLERANCE = 1e-4
#: How far their Frechet distances may be apart, relative to ours: few images leave them near singular.
DISTANCE_TOLERANCE = 5e-3
#: What happens once an image, or once a measurement, however many steps there are.
_ONCE = ("loading", "features", "metrics", "audit", "intervals")


def compared(workload: Workload, rounds: int) -> dict[str, Any]:
    """Run both sides in turns.

    Args:
        workload: what is measured.
        rounds: how often; the medians count.

    Returns:
        What ``performance.json`` holds of it.

    Raises:
        CheckFailed: the sides do not compute the same.
    """
    _warm_up(workload)
    sides: dict[str, list[dict[str, Any]]] = {"ours": [], "plain": []}
    apart = 0.0
    for _ in range(rounds):
        ours, our_job = _timed(workload, _ours)
        plain, plain_job = _timed(workload, measure_plainly)
        sides["ours"].append(_facts(our_job, ours[1]))
        sides["plain"].append(_facts(plain_job, plain[1]))
        apart = max(apart, _agree(ours[0], our_job.restore.last, plain[0], plain_job.restore.last))
    found = {name: _medians(each) for name, each in sides.items()}
    job = prepared(workload)
    return {
        "title": workload.title,
        "images": workload.images,
        "T": job.steps.whole.timesteps,
        "steps": job.steps.timesteps,
        "image_size": job.steps.image_size,
        "methods": list(workload.methods),
        "images_at_a_time": job.restore.chunk,
        "rounds": rounds,
        "apart": apart,
        **found,
        "over_floor": _ratios(found["ours"], job),
        "over_floor_plain": _ratios(found["plain"], job),
    }


@torch.inference_mode()
def _warm_up(workload: Workload) -> None:
    job = prepared(workload)
    x = torch.zeros(job.restore.chunk, *job.shape, device=job.clock.device)
    for _ in range(2):
        job.restore(x, 1)


def _timed(workload: Workload, run: Callable[[Job], Numbers]) -> tuple[tuple[Numbers, float], Job]:
    """The numbers of one side and its seconds, without the floor's; and its job, whose clock knows the parts."""
    job = prepared(workload)
    started = time.perf_counter()
    numbers = run(job)
    job.clock.wait()
    return (numbers, time.perf_counter() - started - job.clock.total(FLOOR)), job


def _ours(job: Job) -> Numbers:
    """The engine; what comes after the last batch is what the intervals take."""
    ended = [0.0]

    def watch(done: int) -> None:
        ended[0] = time.perf_counter()

    outcome = generate(job.task, watch) if isinstance(job.task, Generation) else measure(job.task, watch)
    job.clock.add("intervals", time.perf_counter() - ended[0])
    return {(method, metric): value for (method, metric, _), value in outcome.values.items()}


def _facts(job: Job, seconds: float) -> dict[str, Any]:
    """One side of one round.

    The network and the floor are taken at the median of their calls, so that a call that the machine held up counts for
    neither.
    """
    parts = {name: job.clock.total(name) for name in PARTS}
    parts["everything else"] = seconds - sum(parts.values())
    parts["network"] = statistics.median(job.restore.paces) * job.restore.forwards
    return {
        "seconds": sum(parts.values()),
        "floor_seconds": statistics.median(job.restore.floor_paces) * job.restore.forwards,
        "forwards": job.restore.forwards,
        "wall_seconds": seconds,
        "parts": parts,
    }


def _medians(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The round of the median time."""
    return sorted(rounds, key=lambda each: each["seconds"] / each["floor_seconds"])[(len(rounds) - 1) // 2]


def plain_over_ours(found: Mapping[str, Any], steps: str) -> float:
    """How many times as long the plain side takes as ours, each against the floor that took turns with it.

    Args:
        found: see ``compared``.
        steps: ``as_run`` or ``all_steps``.
    """
    return float(found["over_floor_plain"][steps] / found["over_floor"][steps])


def _ratios(side: Mapping[str, Any], job: Job) -> dict[str, float]:
    floor = side["floor_seconds"] * job.steps.whole.timesteps / job.steps.timesteps
    return {"as_run": side["seconds"] / side["floor_seconds"], "all_steps": _all_steps(side, job) / floor}


def _all_steps(side: Mapping[str, Any], job: Job) -> float:
    """The seconds that all T steps would take: what happens once an image happens once, all else at every step."""
    once = sum(side["parts"][name] for name in _ONCE)
    return float(once + (side["seconds"] - once) * job.steps.whole.timesteps / job.steps.timesteps)


def _agree(ours: Numbers, x: Tensor, plain: Numbers, y: Tensor) -> float:
    """How far apart the images are that the last step of our last batch begins with: the median image.

    Raises:
        CheckFailed: they, or the numbers, are too far apart for a comparison of times to mean anything.
    """
    apart = float((x - y[-len(x) :]).square().mean(dim=(1, 2, 3)).sqrt().median())
    if not apart <= TOLERANCE:
        raise CheckFailed(f"the plain side's images are {apart:.1e} from ours, more than {TOLERANCE:g}")
    for key, value in ours.items():
        allowed = DISTANCE_TOLERANCE * abs(value) if key[1] == "FID" else TOLERANCE
        if not abs(plain[key] - value) <= allowed:
            raise CheckFailed(f"the plain side's {key[1]} of {key[0]} is {plain[key]:.6g}, and ours {value:.6g}")
    return apart
