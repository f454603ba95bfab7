"""How many images a network restores at a time: on a CPU by their size, on a GPU by trying, once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import torch

from coldbench.core.doubling import largest
from coldbench.core.errors import BadInput
from coldbench.core.files import locked, write_text
from coldbench.core.paths import exists, writable_home
from coldbench.core.progress import tell

#: On a GPU, the first number that is tried, and the largest.
START, MOST = 64, 4096
#: Of the user's folder, what is remembered.
_MEMORY = "batch-sizes.json"


def cpu_batch(image_size: int) -> int:
    """Images at a time on a CPU: 16 of 32 pixels or fewer, of larger ones as many as have no more pixels together.

    So many images fit into a core's cache with what the network makes of them, and more of them are slower: of 128
    pixels, 16 at a time take twice as long each as one.

    Args:
        image_size: S, in pixels.
    """
    return max(1, 16 * 32**2 // max(image_size, 32) ** 2)


def gpu_batch(key: str, run: Callable[[int], object]) -> int:
    """Images at a time on a GPU: found by doubling, and remembered in ``$COLDBENCH_HOME/batch-sizes.json``.

    What was found once is taken from then on, so that a measurement repeats bit for bit. Where it cannot be kept, it is
    found each time, which is told.

    Args:
        key: everything that the number depends on.
        run: restores so many images, on the GPU.
    """

    def seconds(number: int) -> float:
        run(number)
        torch.cuda.synchronize()
        started = time.perf_counter()
        run(number)
        torch.cuda.synchronize()
        return time.perf_counter() - started

    return remembered(key, lambda: largest(seconds, START, MOST))


def remembered(key: str, find: Callable[[], int]) -> int:
    """What was found for a key, now or earlier; several processes wait for the one that finds it."""
    try:
        path = writable_home() / _MEMORY
        with locked(path.with_suffix(".lock"), "another command is finding the batch size: waiting for it"):
            known = _known(path.read_text(encoding="utf-8", errors="replace") if exists(path) else "")
            if key not in known:
                known[key] = find()
                write_text(path, json.dumps(known, indent=1) + "\n")
            return known[key]
    except (BadInput, OSError) as error:
        tell(f"the batch size is found each time, since it cannot be kept: {error}")
        return find()


def _known(text: str) -> dict[str, int]:
    """What a file holds; what is damaged in it counts as never found."""
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: number for key, number in content.items() if type(number) is int and number >= 1}
