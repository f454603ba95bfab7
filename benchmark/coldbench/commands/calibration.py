"""What a row will take: a few of its images are measured in earnest, and the seconds are scaled to all of them."""

from __future__ import annotations

import dataclasses
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coldbench.commands.output import save_row, shared_claim
from coldbench.commands.plan import Plan
from coldbench.commands.recording import measure_plan
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.generation import Generation, generate
from coldbench.evaluation.restoration import Task, measure
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import Outcome
from coldbench.metrics.feature_sets import FeatureSet, set_estimates
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import Metric
from coldbench.tables.tables import Row

#: Seconds of a row's calibration that the network is asked in earnest; and after which what surrounds it has been
#: measured for long enough, too.
NETWORK_SECONDS, OTHER_SECONDS = 2.0, 0.7
#: A calibration takes no more images than this.
MOST_IMAGES = 128
#: Features whose intervals are timed; of more, the time is that of so many, times how it grows.
_ROWS = 2000


class Rationed:
    """R that is asked in earnest for some seconds, and from then on gives its last answer again, which takes no time.

    So a trajectory of many steps comes to its end, and everything but the network takes what it always takes.

    Args:
        restore: R.
        device: where it computes.

    Attributes:
        chunk: images at a time.
        paces: seconds of each chunk.
        seconds: spent in R.
        images: that R was given, whoever answered.
    """

    def __init__(self, restore: Restore, device: torch.device) -> None:
        self.restore, self.device = restore, device
        self.chunk = getattr(restore, "chunk", 1)
        self.paces: list[float] = []
        self.seconds, self.images = 0.0, 0
        self._last: Tensor | None = None

    def __call__(self, x: Tensor, s: int) -> Tensor:
        self.images += len(x)
        if self.seconds < NETWORK_SECONDS or self._last is None or self._last.shape != x.shape:
            self._last = self._asked(x, s)
        return self._last

    def _asked(self, x: Tensor, s: int) -> Tensor:
        started = time.perf_counter()
        restored = self.restore(x, s)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        seconds = time.perf_counter() - started
        self.paces.append(seconds / math.ceil(len(x) / self.chunk))
        self.seconds += seconds
        return restored


@dataclass(frozen=True)
class Calibration:
    """What a few images took.

    Attributes:
        evaluations: of the network, for each image.
        chunk: images that the network takes at a time.
        pace: seconds of the network for each of these chunks.
        fixed: seconds that the loop takes once, however many images there are.
        each: seconds that everything but the network takes for an image.
        originals: of these, what the features of its original take.
        saving: seconds from the numbers to files.
        dimensions: feature space -> d.
    """

    evaluations: float
    chunk: int
    pace: float
    fixed: float
    each: float
    originals: float
    saving: float
    dimensions: Mapping[str, int]

    def network(self, images: int) -> float:
        """Seconds in the network, which fills up its last chunk."""
        return self.evaluations * self.pace * math.ceil(images / self.chunk) if self.evaluations else 0.0

    def others(self, images: int, *, cached: bool) -> float:
        """Seconds of the loop in everything else; less where the features of the originals are in the cache."""
        return self.fixed + images * max(0.0, self.each - (self.originals if cached else 0.0))


@dataclass(frozen=True)
class _Run:
    """A few images, measured.

    Attributes:
        images: how many.
        others: seconds of the loop without the network.
        features: of these, in feature spaces.
        saving: seconds from the numbers to files.
        dimensions: feature space -> d.
    """

    images: int
    others: float
    features: float
    saving: float
    dimensions: Mapping[str, int]


def calibrated(small: Callable[[int], Plan], fewest: int, most: int, rows: Sequence[Row]) -> Calibration:
    """Measure few images of a row, then twice as many, and so on, until they have taken long enough.

    Args:
        small: plans the row with so many images.
        fewest: that can be measured.
        most: that there are.
        rows: those of the row's table.

    Raises:
        BadInput, CheckFailed: see ``evaluation.restoration.measure``.
    """
    most = max(fewest, min(most, MOST_IMAGES))
    plan = small(min(fewest, most))
    assert plan.task is not None
    rationed = Rationed(plan.task.restore, plan.device) if plan.task.restore is not None else None
    if rationed is not None:
        _warm_up(rationed, plan)
    runs: list[_Run] = []
    while not runs or (runs[-1].others < OTHER_SECONDS and runs[-1].images < most):
        plan = small(min(most, 2 * runs[-1].images)) if runs else plan
        runs.append(_run(plan, rationed, rows))
    fixed, each = _line(runs)
    seen, kinds = runs[-1], len(plan.methods) + 1
    images = sum(run.images for run in runs)
    return Calibration(
        evaluations=rationed.images / images if rationed else 0.0,
        chunk=rationed.chunk if rationed else 1,
        pace=statistics.median(rationed.paces) if rationed and rationed.paces else 0.0,
        fixed=fixed,
        each=each,
        originals=seen.features / kinds / seen.images,
        saving=seen.saving,
        dimensions=seen.dimensions,
    )


@torch.inference_mode()
def _warm_up(rationed: Rationed, plan: Plan) -> None:
    """The first forward takes longer than all others."""
    rationed.restore(torch.zeros(rationed.chunk, *plan.shape, device=plan.device), 1)


def _line(runs: Sequence[_Run]) -> tuple[float, float]:
    """Seconds once and seconds an image, from the last two runs."""
    last = runs[-1]
    if len(runs) == 1:
        return 0.0, last.others / last.images
    before = runs[-2]
    each = max(0.0, (last.others - before.others) / (last.images - before.images))
    return max(0.0, last.others - each * last.images), each


def _run(plan: Plan, rationed: Rationed | None, rows: Sequence[Row]) -> _Run:
    """Measure and save as ``coldbench run`` does, into a folder that is gone afterwards."""
    task, spaces = plan.task, _Spaces(plan.features)
    assert task is not None
    clocked: dict[str, Any] = {"restore": rationed, "features": spaces.clocked}
    task = dataclasses.replace(task, **clocked)
    before = rationed.seconds if rationed else 0.0
    watched = _Watched(task)
    with tempfile.TemporaryDirectory(prefix="coldbench-") as folder:
        output = Path(folder)
        with shared_claim(output, fresh=True) as claim:
            request = dataclasses.replace(plan.request, save_images=None)
            plan = dataclasses.replace(plan, measure=watched, request=request)
            measured = measure_plan(plan, claim, {"command": "run"}, "")
            save_row(measured.records, measured.figures(), output, plan.row, rows)
        saved = time.perf_counter()
    network = rationed.seconds - before if rationed else 0.0
    return _Run(
        images=task.images,
        others=watched.looped - watched.started - network,
        features=spaces.seconds,
        saving=saved - watched.ended,
        dimensions=spaces.dimensions,
    )


class _Watched:
    """A task as a plan runs it, which remembers when it began, when its last batch was done, and when it ended."""

    def __init__(self, task: Task | Generation) -> None:
        self.task, self.started, self.looped, self.ended = task, 0.0, 0.0, 0.0

    def __call__(self, watch: Callable[[int], object], keeper: Keeper | None, *others: Any, **more: Any) -> Outcome:
        def seen(images: int) -> None:
            self.looped = time.perf_counter()
            watch(images)

        self.started = time.perf_counter()
        run: Callable[..., Outcome] = generate if isinstance(self.task, Generation) else measure
        outcome = run(self.task, seen, keeper, *others, **more)
        self.ended = time.perf_counter()
        return outcome


class _Spaces:
    """Feature spaces that tell how long they took, and how many features they give."""

    def __init__(self, spaces: Sequence[FeatureSpace]) -> None:
        self.seconds = 0.0
        self.dimensions: dict[str, int] = {}
        self.clocked = [dataclasses.replace(space, extract=partial(self._extract, space)) for space in spaces]

    def _extract(self, space: FeatureSpace, images: Tensor) -> Tensor:
        started = time.perf_counter()
        features = space.extract(images)
        self.dimensions[space.name] = int(features.shape[1])
        self.seconds += time.perf_counter() - started
        return features


def interval_seconds(plan: Plan, dimensions: Mapping[str, int], images: int) -> float:
    """What the metrics of features will take with their intervals, when all features are there.

    They are taken of random numbers, as many as there will be features, or of as many as are quick.

    Args:
        plan: of the row.
        dimensions: feature space -> d.
        images: N.
    """
    sets = [metric for metric in plan.metrics if metric.reads == "features"]
    return sum(
        _growing(partial(_set_seconds, plan, metric, *item), images) for metric in sets for item in dimensions.items()
    )


def _growing(seconds: Callable[[int], float], images: int) -> float:
    """Seconds of so many images, or of fewer and on along the power of N by which they have grown."""
    few = min(images, _ROWS)
    found = seconds(few)
    if few == images:
        return found
    power = min(2.0, max(0.0, math.log2(found / max(seconds(few // 2), 1e-6))))
    return found * float(images / few) ** power


def _set_seconds(plan: Plan, metric: Metric, space: str, dimensions: int, images: int) -> float:
    rows = np.random.default_rng(0).random((images, dimensions), dtype=np.float32)
    ours = {method: FeatureSet(rows) for method in plan.methods}
    against: Any = FeatureSet(rows)
    if isinstance(plan.task, Generation):
        against = plan.task.references[space, metric.name]
    started = time.perf_counter()
    set_estimates(metric, ours, against)
    return time.perf_counter() - started
