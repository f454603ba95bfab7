"""Random numbers that depend on what they are for, never on the run.

Every draw comes from a counter-based generator keyed by (seed, purpose, index): batch size, order, device, number
of processes and resuming change nothing.
"""

from __future__ import annotations

import hashlib

import numpy as np


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
