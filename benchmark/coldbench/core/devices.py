"""Where to compute, and with what arithmetic."""

from __future__ import annotations

import torch

from coldbench.core.errors import Missing


def choose_device(name: str) -> torch.device:
    """``auto`` is the GPU where there is one.

    Also makes float32 mean float32: TF32 keeps 10 bits, and a blurred image lives below them (PROTOCOL 8).

    Raises:
        Missing: cuda was asked for and is not there.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    if name == "cuda" and not torch.cuda.is_available():
        raise Missing("no CUDA device here: use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """As stored with a number: the GPU's name, or ``cpu``."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
