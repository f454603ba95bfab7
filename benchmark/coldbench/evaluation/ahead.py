"""Preparing the next images while the GPU is busy with those at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")


@contextmanager
def ahead(prepare: Callable[[range], T], images: int, device: torch.device) -> Iterator[Callable[[range], T]]:
    """``prepare`` as it was; on a GPU, one that a thread runs for the following positions, too, before they are wanted.

    On a CPU the thread would take its time from the network.

    Args:
        prepare: positions -> what they need; depends on nothing else.
        images: positions are below this.
        device: where the rest of the work is done.
    """
    if device.type == "cpu":
        yield prepare
        return
    with prepared_ahead(prepare, images) as prepared:
        yield prepared


@contextmanager
def prepared_ahead(prepare: Callable[[range], T], images: int) -> Iterator[Callable[[range], T]]:
    """``ahead``, whatever the device."""
    coming: dict[range, Future[T]] = {}
    with ThreadPoolExecutor(1, "coldbench-ahead") as thread:

        def prepared(positions: range) -> T:
            known = coming.pop(positions, None)
            coming.clear()  # a guess that was wrong
            found = prepare(positions) if known is None else known.result()
            following = range(positions.stop, min(positions.stop + len(positions), images))
            if following:
                coming[following] = thread.submit(prepare, following)
            return found

        yield prepared
