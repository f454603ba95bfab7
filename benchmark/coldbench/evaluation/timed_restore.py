"""R and D as the engine calls them: with a clock, and with a look at everything that goes in and comes out.

On a GPU nobody waits for it in the middle of a batch: clocks and looks are queued behind the work, and read at its end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from coldbench.core.errors import BadInput, foreign
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.checks import check_finite, check_images, not_finite


class TimedRestore:
    """R, with a clock on it; what goes in and what comes out is checked.

    Args:
        restore: R; None where no method needs it.
        device: where it computes.

    Attributes:
        seconds: spent in R.
        indices: of the images that are at work, for messages.
    """

    def __init__(self, restore: Restore | None, device: torch.device) -> None:
        self.restore, self.seconds = restore, 0.0
        self.indices: Sequence[int] = ()
        self._queued = device.type == "cuda"
        self._clocks: list[tuple[Any, Any]] = []
        self._looks: list[tuple[Tensor, str]] = []

    @property
    def chunk(self) -> int:
        """How many images R takes at a time; 1 where it takes any number."""
        found = getattr(self.restore, "chunk", 1)
        return found if type(found) is int and found > 0 else 1

    def shrink(self, images: int) -> None:
        """Let R take no more images at a time than these, where it takes a number of its own."""
        if self.chunk > images:
            vars(self.restore)["chunk"] = images

    def begin(self, indices: Sequence[int]) -> None:
        """Say which images come next, and forget what was queued for a batch that came to no end."""
        self.indices = indices
        self._clocks, self._looks = [], []

    def look(self, images: Tensor, what: str) -> None:
        """Find out whether images hold numbers only: at once, or by the end of the batch.

        Args:
            images: (B, C, S, S), of the batch.
            what: gave them.

        Raises:
            BadInput: one does not; see ``check_finite``.
        """
        if self._queued:
            self._looks.append((not_finite(images), what))
        else:
            check_finite(not_finite(images), what, self.indices)

    def settle(self) -> None:
        """Wait for the end of the batch, and read what was queued.

        Raises:
            BadInput: see ``look``.
        """
        for begun, ended in self._clocks:
            ended.synchronize()
            self.seconds += begun.elapsed_time(ended) / 1000
        for broken, what in self._looks:
            check_finite(broken, what, self.indices)
        self.begin(self.indices)

    def __call__(self, x: Tensor, s: int) -> Tensor:
        if self.restore is None:
            raise BadInput("this method needs a restoration network")
        self.look(x, f"the degradation, or the sampler on its way to R(x, {s}),")
        with self._clock(), foreign(f"R(x, {s})"):
            # A copy goes in: R may work in place, and the sampler needs x.
            prediction = check_images(self.restore(x.clone(), s), x, "R(x, s)").to(x)
        self.look(prediction, f"R(x, {s})")
        return prediction

    @contextmanager
    def _clock(self) -> Iterator[None]:
        if self._queued:
            begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begun.record()
            yield
            ended.record()
            self._clocks.append((begun, ended))
        else:
            started = time.perf_counter()
            yield
            self.seconds += time.perf_counter() - started


class Traced(TimedRestore):
    """R that remembers what it was asked and what it said.

    Args:
        restore, device: see ``TimedRestore``.
        wanted: the s that are remembered; where R is not asked at one of them, the next lower s at which it is asked
            takes its place. All unless given.

    Attributes:
        steps: (s, x_s, R(x_s, s)), on the CPU.
    """

    def __init__(self, restore: Restore | None, device: torch.device, wanted: Sequence[int] | None = None) -> None:
        super().__init__(restore, device)
        self.steps: list[tuple[int, Tensor, Tensor]] = []
        self._wanted = wanted

    def __call__(self, x: Tensor, s: int) -> Tensor:
        estimate = super().__call__(x, s)
        if self._wants(s):
            self.steps.append((s, x.cpu(), estimate.cpu()))
        return estimate

    def _wants(self, s: int) -> bool:
        last = self.steps[-1][0] if self.steps else math.inf
        return self._wanted is None or any(s <= each < last for each in self._wanted)


@contextmanager
def checked_degradation(degradation: Degradation, restore: TimedRestore) -> Iterator[None]:
    """Let whatever D gives be checked where it is called; ``restore`` knows which images it gives.

    Raises:
        BadInput: from the call: something else than images like those it was given, or NaN.
    """

    name = f"degradation '{degradation.settings.get('name', type(degradation).__name__)}'"

    def check(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], found: object) -> None:
        x0 = given[0] if given else next(iter(named.values()))
        restore.look(check_images(found, x0, f"D(x, s), the {name},"), f"the {name}")

    hook = degradation.whole.register_forward_hook(check, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
