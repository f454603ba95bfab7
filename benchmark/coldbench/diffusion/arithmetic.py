"""The arithmetics that a network can compute in.

float32 means float32: ``core.devices.choose_device`` turns TF32 off. The others keep fewer digits, and are faster on
the devices made for them. TF32 rounds what a matrix product or a convolution reads to 10 bits of mantissa; bfloat16
keeps 7, and float16 10, with a range that ends at 65504.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import torch
from torch import nn

from coldbench.core.errors import Missing
from coldbench.diffusion import ARITHMETICS

#: Those that autocast computes in.
_HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def available(device: torch.device) -> tuple[str, ...]:
    """The names of the arithmetics that a device has, float32 first: TF32 is one of GPUs."""
    return tuple(name for name in ARITHMETICS if _has(device.type, name))


def check_available(name: str, device: torch.device) -> None:
    """Whether a device has an arithmetic.

    Raises:
        Missing: it does not; names those that it has.
    """
    if name not in available(device):
        raise Missing(f"no {name} on this {device.type}: use --dtype {' or '.join(available(device))}")


@cache
def _has(kind: str, name: str) -> bool:
    """Of a kind of device; autocast says by a warning, and by doing nothing, what it does not know."""
    if name not in _HALVES:
        return name == "float32" or kind == "cuda"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autocast(kind, _HALVES[name]):
            return torch.is_autocast_enabled(kind)


@contextmanager
def computing_in(name: str, network: nn.Module, device: torch.device) -> Iterator[None]:
    """Let a network compute in an arithmetic; what was switched is switched back, whatever happens.

    Args:
        name: one of ``ARITHMETICS``. ``float32-then-tf32`` computes in float32 until the first layer of normalisation
            has run: what a blurred image keeps in its last decimals is brought into reach of TF32 there.
        network: the network; its layers of normalisation are those without children that are called ``...Norm...``.
        device: where it runs.
    """
    with ExitStack() as switched:
        if name in _HALVES:
            switched.enter_context(torch.autocast(device.type, _HALVES[name]))
        elif name != "float32":
            switched.enter_context(_tf32_restored())
            _allow_tf32(name == "tf32")
            for layer in _normalisations(network) if name != "tf32" else ():
                hook = layer.register_forward_hook(lambda *_: _allow_tf32(True))
                switched.callback(hook.remove)
        yield


def _allow_tf32(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def _tf32_restored() -> Iterator[None]:
    """Let TF32 be as it was, in the end."""
    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul
        torch.backends.cudnn.allow_tf32 = convolution


def _normalisations(network: nn.Module) -> list[nn.Module]:
    """The layers that normalise, whoever wrote them; modules that only hold one are none."""
    return [module for module in network.modules() if "Norm" in type(module).__name__ and not [*module.children()]]
