"""Random numbers that depend on what they are for, never on the run.

Every draw comes from a counter-based generator keyed by (seed, purpose, index): batch size, order, device, number
of processes and resuming change nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def image_rng(seed: int, purpose: str, index: int) -> np.random.Generator:
    """The generator of one image (or training step).

    Args:
        seed: of the run.
        purpose: what is drawn, e.g. ``inpaint-offset``; different purposes are independent.
        index: the image's position in its data set, or the step's number.
    """
    key = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:16]
    # The index is the counter's top word: each image owns 2^192 draws, and streams cannot overlap.
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little"), counter=index << 192))


def training_seed(seed: int, stage: int = 0) -> int:
    """The seed that a training run draws under: far above those that evaluations are given.

    Training and evaluation share purposes (a degradation has one for each thing it draws), so under one seed a network
    would be scored on noise, snow and holes that it had met in its training.

    Args:
        seed: of the recipe.
        stage: how many runs came before, each going on from the weights of the one before it: none draws what another
            drew.
    """
    later = f"/{stage}" if stage else ""
    digest = hashlib.sha256(f"training/{seed}{later}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1 | 1 << 62


def normal_images(indices: Sequence[int], seed: int, purpose: str, shape: Sequence[int]) -> Tensor:
    """Standard normal numbers of ``shape`` for each image: float32 ``(B, *shape)``, on the CPU."""
    draws = [image_rng(seed, purpose, i).standard_normal(tuple(shape), dtype=np.float32) for i in indices]
    return torch.from_numpy(np.stack(draws))
