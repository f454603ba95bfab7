"""Where to compute, and with what arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor

from coldbench.core import processes
from coldbench.core.errors import Missing


def choose_device(name: str) -> torch.device:
    """``auto`` is the GPU where there is one.

    Also makes float32 mean float32: TF32 keeps 10 bits, and a blurred image lives below them (PROTOCOL 8).

    Raises:
        Missing: cuda was asked for and is not there, or there are more processes than GPUs.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    if name == "cuda" and not torch.cuda.is_available():
        raise Missing("no CUDA device here: use --device cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return _own_gpu() if processes.size() > 1 else torch.device("cuda")


def _own_gpu() -> torch.device:
    """The GPU of this process among several.

    Raises:
        Missing: this machine has fewer GPUs than processes.
    """
    number, gpus = processes.local_rank(), torch.cuda.device_count()
    if number >= gpus:
        raise Missing(f"this machine has {gpus} GPUs, one a process: start torchrun with --nproc-per-node {gpus}")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device; a copy to a GPU is queued there, and nobody waits for it."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def device_name(device: torch.device) -> str:
    """As stored with a number: the GPU's name, or ``cpu``."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
