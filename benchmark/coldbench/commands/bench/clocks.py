"""R, D, images, metrics and features of a measurement with a clock on each; they compute what they did without it."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from coldbench.data.decoding import Pixels
from coldbench.diffusion.checkpoints import Restorer
from coldbench.diffusion.degradations.base import Degradation
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import Metric

P = ParamSpec("P")
T = TypeVar("T")
#: The parts of a measurement; what none of them holds is everything else.
PARTS = ("network", "loading", "degrading", "features", "metrics", "audit", "intervals")
#: Those that leave the device alone. (On a GPU, images are loaded in a thread of their own, while the network works.)
_HOST_PARTS = ("loading", "audit", "intervals")
#: The floor, which is no part of the measurement.
FLOOR = "floor"
#: Of one turn of the floor.
_MOST_FORWARDS = 4


class Clock:
    """The seconds of each part of a measurement, one number a call; no part is called from another.

    Args:
        device: is waited for at both ends of a part, unless the part does not use it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._seconds: dict[str, list[float]] = {}

    def wait(self) -> None:
        """Let the device finish what was queued."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens in here for a part."""
        waits = name not in _HOST_PARTS
        if waits:
            self.wait()
        started = time.perf_counter()
        yield
        if waits:
            self.wait()
        self.add(name, time.perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds for a part."""
        self._seconds.setdefault(name, []).append(seconds)

    def timed(self, name: str, work: Callable[P, T]) -> Callable[P, T]:
        """A function that counts for a part."""

        @wraps(work)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.part(name):
                return work(*args, **kwargs)

        return run

    def total(self, name: str) -> float:
        """All seconds of a part."""
        return sum(self._seconds.get(name, ()))


class ClockedRestore:
    """R at the severities of ``SomeSteps``; between its calls, bare forwards of the network, which are the floor.

    Floor and measurement so take turns: whatever else the machine does slows both alike. After every n-th call come n
    forwards, n being the chunks of a call, up to four: the means of as many forwards have medians that can be compared.

    Args:
        restore: R at all severities.
        steps: D at some of them.
        clock: for ``network`` and the floor.

    Attributes:
        chunk: images at a time.
        forwards: so many chunks went through the network.
        last: the images that the last call was given.
        paces: for each call, the seconds of a chunk.
        floor_paces: for each turn of the floor, the seconds of a forward.
    """

    def __init__(self, restore: Restorer, steps: SomeSteps, clock: Clock) -> None:
        self.restore, self.steps, self.clock = restore, steps, clock
        self.chunk, self.forwards, self.last = restore.chunk, 0, torch.zeros(0)
        self.paces: list[float] = []
        self.floor_paces: list[float] = []
        self._calls = 0

    def __call__(self, x: Tensor, s: int) -> Tensor:
        severity, chunks = self.steps.severity(s), math.ceil(len(x) / self.chunk)
        self.clock.wait()
        started = time.perf_counter()
        restored = self.restore(x, severity)
        self.clock.wait()
        seconds = time.perf_counter() - started
        self.clock.add("network", seconds)
        self.paces.append(seconds / chunks)
        self.forwards += chunks
        self.last = x
        self._calls += 1
        turn = min(chunks, _MOST_FORWARDS)
        if self._calls % turn == 0:
            self._floor(x, severity, turn)
        return restored

    def _floor(self, x: Tensor, severity: int, forwards: int) -> None:
        """Forwards as ``Restorer`` calls them: as many images, in the same memory format and arithmetic."""
        filled = torch.cat((x, x.new_zeros(self.chunk, *x.shape[1:])))
        given = [
            filled[i * self.chunk : (i + 1) * self.chunk].contiguous(memory_format=torch.channels_last)
            for i in range(forwards)
        ]
        time_index = torch.full((self.chunk,), severity - 1, dtype=torch.int64, device=x.device)
        forward = self.restore.forward_for(given[0], time_index)
        self.clock.wait()
        started = time.perf_counter()
        for each in given:
            forward(each, time_index)
        self.clock.wait()
        seconds = time.perf_counter() - started
        self.clock.add(FLOOR, seconds)
        self.floor_paces.append(seconds / forwards)


class SomeSteps(Degradation):
    """Some of the T steps of a degradation, spread evenly, each of which costs what it costs among all of them.

    Step i of n is the step from s_i to s_i - 1, s_i = ceil(T (i - 1/2) / n). The mean of the s_i is that of 1..T, to
    half a step, and so is what a step costs, even where D(x, s) is s convolutions. (The harshest steps alone would be
    twice as dear there.) The images that come of it mean nothing, and both sides compute the same ones. With n = T,
    nothing changes.

    Args:
        whole: D with all of its steps.
        steps: n, 1..T.
        clock: for ``degrading``.
    """

    def __init__(self, whole: Degradation, steps: int, clock: Clock) -> None:
        super().__init__(timesteps=steps, image_size=whole.image_size)
        self._whole, self.clock, self.settings = whole, clock, dict(whole.settings)

    @property
    def whole(self) -> Degradation:
        return self._whole

    def severity(self, s: int) -> int:
        """s_i of step i; 0 of 0."""
        return math.ceil(self.whole.timesteps * (s - 0.5) / self.timesteps) if s else 0

    def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
        with self.clock.part("degrading"):
            return self.whole(x0, self.severity(int(s)), context)

    def pair(self, x0: Tensor, s: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        with self.clock.part("degrading"):
            return self.whole.pair(x0, self.severity(s), context)


def clocked_pixels(pixels: Pixels, clock: Clock) -> Pixels:
    """Images whose reading counts for ``loading``."""
    return dataclasses.replace(pixels, read=clock.timed("loading", pixels.read))


def clocked_space(space: FeatureSpace, clock: Clock) -> FeatureSpace:
    """A feature space that counts for ``features``."""
    return dataclasses.replace(space, extract=clock.timed("features", space.extract))


def clocked_metric(metric: Metric, clock: Clock) -> Metric:
    """A metric whose other implementation counts for ``audit``; and its accumulators, of pairs, for ``metrics``."""
    changes: dict[str, Any] = {
        name: clock.timed("audit", getattr(metric, name)) for name in ("reference", "audit") if getattr(metric, name)
    }
    if metric.reads == "pairs":
        changes["accumulator"] = partial(_clocked_accumulator, metric, clock)
    return dataclasses.replace(metric, **changes)


def _clocked_accumulator(metric: Metric, clock: Clock) -> Any:
    seen = metric.accumulator()
    seen.update = clock.timed("metrics", seen.update)
    return seen
