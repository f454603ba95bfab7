"""Checkpoints of the released code: read safely, and turned into what our registry describes.

A released ``model.pt`` is a dict with the parameters of the network (``model``) and their average (``ema``), which is
what the paper evaluates; some also hold the degradation's own numbers, which tell what the network was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coldbench.degradations.blur import ROUTINES, gaussian_kernel
from coldbench.degradations.noise import cosine_schedule
from coldbench.errors import BadInput

#: What wraps the network in the released files.
_WRAPPERS = ("denoise_fn.", "defade_fn.")
_KERNEL = re.compile(r"gaussian_kernels\.(\d+)\.weight")
#: How far a stored buffer may be from ours: the average over a training run rounds it.
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Released:
    """What a released checkpoint holds.

    Attributes:
        weights: the averaged network, under its own parameter names.
        kernels: of a blur, (T, k, k); None for other degradations.
        alphas_cumprod: of a noise schedule, (T,); None for other degradations.
    """

    weights: Mapping[str, Tensor]
    kernels: Tensor | None
    alphas_cumprod: Tensor | None


def read_released(path: Path) -> Released:
    """Read a released ``model.pt`` without running any code that may be in it.

    Raises:
        BadInput: no such file, damaged, or no released checkpoint.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")["ema"]
        tensors = {_without_module(name): tensor for name, tensor in state.items()}
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # damaged archives and foreign pickles fail in many ways
        raise BadInput(f"{path} is no released checkpoint: it lacks a readable 'ema' state dict") from error
    weights = {
        name.removeprefix(wrapper): tensor.float()
        for name, tensor in tensors.items()
        for wrapper in _WRAPPERS
        if name.startswith(wrapper)
    }
    if not weights:
        raise BadInput(f"{path} holds no network under {' or '.join(_WRAPPERS)}")
    kernels = {int(match[1]): tensors[name][0, 0] for name in tensors if (match := _KERNEL.fullmatch(name))}
    stacked = torch.stack([kernels[i] for i in sorted(kernels)]) if kernels else None
    return Released(weights, stacked, tensors.get("alphas_cumprod"))


def _without_module(name: str) -> str:
    """Names as they are without DataParallel, wherever it was put."""
    return ".".join(part for part in name.split(".") if part != "module")


def infer_network(weights: Mapping[str, Tensor], image_size: int) -> dict[str, Any]:
    """The registry's description of the network that these parameters belong to.

    Raises:
        BadInput: neither of the paper's networks.
    """
    if "final_conv.1.weight" in weights and "time_mlp.3.weight" in weights:
        return _convnext_unet(weights)
    if "conv_in.weight" in weights and "temb.dense.0.weight" in weights:
        return _ddpm_unet(weights, image_size)
    raise BadInput("the parameters are those of neither of the paper's networks")


def _convnext_unet(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    dim = len(weights["time_mlp.3.weight"])
    widths = [len(weights[f"downs.{level}.0.net.3.weight"]) for level in range(_count(weights, "downs"))]
    return {
        "name": "convnext-unet",
        "dim": dim,
        "dim_mults": [width // dim for width in widths],
        "channels": len(weights["final_conv.1.weight"]),
    }


def _ddpm_unet(weights: Mapping[str, Tensor], image_size: int) -> dict[str, Any]:
    dim = len(weights["conv_in.weight"])
    levels = range(_count(weights, "down"))
    return {
        "name": "ddpm-unet",
        "image_size": image_size,
        "dim": dim,
        "dim_mults": [len(weights[f"down.{level}.block.0.conv1.weight"]) // dim for level in levels],
        "blocks": _count(weights, "down.0.block"),
        "attention": [image_size >> level for level in levels if f"down.{level}.attn.0.q.weight" in weights],
        "channels": len(weights["conv_out.weight"]),
    }


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered parts there are under a prefix."""
    numbers = {name[len(prefix) + 1 :].split(".")[0] for name in weights if name.startswith(f"{prefix}.")}
    return len(numbers)


def check_degradation(released: Released, degradation: Mapping[str, Any]) -> None:
    """Whether the numbers in the file are those of this degradation, as far as the file tells.

    Raises:
        BadInput: they are not; says what differs.
    """
    name, timesteps = degradation.get("name"), degradation.get("timesteps")
    if released.kernels is not None:
        _check_blur(released.kernels, degradation)
    elif name == "blur":
        raise BadInput("the file has no blur kernels, so it was not trained to deblur")
    if released.alphas_cumprod is not None:
        if name != "noise":
            raise BadInput(f"the file has a noise schedule of {len(released.alphas_cumprod)} steps, and is no {name}")
        if len(released.alphas_cumprod) != timesteps:
            raise BadInput(f"the file's noise schedule has {len(released.alphas_cumprod)} steps, not {timesteps}")
        difference = (released.alphas_cumprod - cosine_schedule(len(released.alphas_cumprod))).abs().max()
        if difference > _TOLERANCE:
            raise BadInput(f"the file's noise schedule differs from the cosine's by {difference:.1e}")


def _check_blur(kernels: Tensor, degradation: Mapping[str, Any]) -> None:
    steps, size = kernels.shape[:2]
    if degradation.get("name") != "blur" or degradation.get("timesteps") != steps:
        raise BadInput(f"the file has {steps} blur kernels of {size} taps: it restores a blur of {steps} steps")
    schedule, _ = ROUTINES[degradation["routine"]]
    taps, std = degradation.get("kernel_size", 11), degradation.get("std", 0.0)
    lines = [gaussian_kernel(taps, schedule(i, std)) for i in range(steps)]
    ours = torch.stack([torch.outer(kernel, kernel) for kernel in lines])
    if ours.shape != kernels.shape:
        raise BadInput(f"the file's blur kernels have {size} taps, not {ours.shape[1]}")
    difference = (ours - kernels).abs().amax(dim=(1, 2))
    if difference.max() > _TOLERANCE:
        worst = int(difference.argmax())
        raise BadInput(f"the file's blur kernel of step {worst} differs from ours by {difference[worst]:.1e}")
