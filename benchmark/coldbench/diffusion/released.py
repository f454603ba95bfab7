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
from torch import Tensor, nn

from coldbench.core.errors import BadInput, one_line
from coldbench.diffusion.building import build_network
from coldbench.diffusion.degradations.blur import ROUTINES, gaussian_kernel, takes_std
from coldbench.diffusion.degradations.noise import cosine_schedule
from coldbench.diffusion.state_dicts import read_state_dict

#: What wraps the network in the released files.
_WRAPPERS = ("denoise_fn.", "defade_fn.")
#: A layer that one of the paper's networks has, and no other: the ConvNeXt U-Net's last, the DDPM U-Net's first.
_LAST, _FIRST = "final_conv.1.weight", "conv_in.weight"
_KERNEL = re.compile(r"gaussian_kernels\.(\d{1,6})\.weight")
#: How far a stored buffer may be from ours: the average over a training run rounds it.
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Released:
    """What a released checkpoint holds.

    Attributes:
        weights: the averaged network, under its own parameter names.
        kernels: of a blur, (T, k, k); None for other degradations.
        alphas_cumprod: of a noise schedule, (T,); None for other degradations.
        bare: whether the file holds a network alone, and so tells nothing of any degradation.
    """

    weights: Mapping[str, Tensor]
    kernels: Tensor | None
    alphas_cumprod: Tensor | None
    bare: bool = False


def read_released(path: Path, key: str | None = None) -> Released:
    """Read a released ``model.pt``, or a state dict of such a network, without running any code that may be in it.

    Args:
        path: of the file.
        key: of the state dict in the file; see ``coldbench.diffusion.state_dicts``.

    Raises:
        BadInput: no such file, damaged, or no released checkpoint.
    """
    rest = read_state_dict(path, key)
    wrappers = [wrapper for wrapper in _WRAPPERS if any(name.startswith(wrapper) for name in rest)]
    if len(wrappers) > 1:
        raise BadInput(f"{path} holds two networks, under {' and '.join(_WRAPPERS)}")
    if not wrappers:
        if not is_network(rest):
            raise BadInput(f"{path} holds no network of the paper's, alone or under {' or '.join(_WRAPPERS)}")
        return Released(rest, None, None, bare=True)
    names = [name for name in rest if name.startswith(wrappers[0])]
    weights = {name.removeprefix(wrappers[0]): rest.pop(name) for name in names}
    kernels = _take_kernels(rest)
    schedule = _take_schedule(rest)
    if rest:
        raise BadInput(f"{path} holds what belongs to no degradation of ours: {', '.join(sorted(rest))}")
    return Released(weights, kernels, schedule)


def _take_kernels(rest: dict[str, Tensor]) -> Tensor | None:
    """The blur kernels out of the buffers, (T, k, k): (C, 1, k, k) each, the same for every channel."""
    found = {int(match[1]): rest.pop(name) for name in list(rest) if (match := _KERNEL.fullmatch(name))}
    if not found:
        return None
    shapes = {tuple(kernel.shape) for kernel in found.values()}
    if set(found) != set(range(len(found))) or len(shapes) > 1 or not _is_kernel(*shapes):
        raise BadInput(
            "the file's blur kernels are not (C, 1, k, k) each, k odd from 3, of one size, numbered from 0 on"
        )
    stacked = torch.stack([found[i] for i in range(len(found))])
    if (stacked - stacked[:, :1]).abs().max() > _TOLERANCE:
        raise BadInput("the file's blur kernels differ from channel to channel")
    return stacked[:, 0, 0]


def _is_kernel(shape: tuple[int, ...]) -> bool:
    """Whether it is (C, 1, k, k), with k odd and large enough to blur."""
    return len(shape) == 4 and shape[0] > 0 and shape[1] == 1 and shape[2] == shape[3] >= 3 and shape[2] % 2 == 1


def _take_schedule(rest: dict[str, Tensor]) -> Tensor | None:
    """The noise schedule out of the buffers, (T,), if the buffers that repeat it agree."""
    schedule = rest.pop("alphas_cumprod", None)
    if schedule is None:
        return None
    if schedule.ndim != 1 or not len(schedule):
        raise BadInput(f"the file's alphas_cumprod is {tuple(schedule.shape)}, no noise schedule of shape (T,)")
    for name, expected in (
        ("sqrt_alphas_cumprod", schedule.sqrt()),
        ("sqrt_one_minus_alphas_cumprod", (1 - schedule).sqrt()),
    ):
        buffer = rest.pop(name, expected)
        if buffer.shape != expected.shape or not (buffer - expected).abs().max() < _TOLERANCE:
            raise BadInput(f"the file's {name} is not that of its alphas_cumprod")
    return schedule


def is_network(weights: Mapping[str, Tensor]) -> bool:
    """Whether these are the parameters of one of the paper's networks, by the names of its last or first layer."""
    return _LAST in weights or _FIRST in weights


def infer_network(weights: Mapping[str, Tensor], image_size: int) -> dict[str, Any]:
    """The registry's description of the network that these parameters belong to.

    Raises:
        BadInput: neither of the paper's networks.
    """
    try:
        if _LAST in weights:
            return _convnext_unet(weights)
        if _FIRST in weights:
            return _ddpm_unet(weights, image_size)
    except (KeyError, TypeError, ZeroDivisionError, IndexError) as error:
        raise BadInput(f"the parameters are incomplete: {error}") from error
    raise BadInput("the parameters are those of neither of the paper's networks")


def network_with(weights: Mapping[str, Tensor], settings: Mapping[str, Any], whose: str) -> nn.Module:
    """A network with these parameters.

    Args:
        weights: of it, by their names.
        settings: that describe it, as ``infer_network`` gives them.
        whose: for messages.

    Raises:
        BadInput: they do not fit it.
    """
    with torch.device("meta"):  # what the file says of its size may be anything, and takes no memory yet
        network = build_network(settings, whose)
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        described = ", ".join(f"{key} {value}" for key, value in settings.items())
        raise BadInput(f"the parameters do not fit {described}: {one_line(error)[:300]}") from error
    return network


def _convnext_unet(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    dim = len(weights["time_mlp.3.weight"])
    widths = [len(weights[f"downs.{level}.0.net.3.weight"]) for level in range(_count(weights, "downs"))]
    return {
        "name": "convnext-unet",
        "dim": dim,
        "dim_mults": [width // dim for width in widths],
        "channels": len(weights[_LAST]),
    }


def _ddpm_unet(weights: Mapping[str, Tensor], image_size: int) -> dict[str, Any]:
    dim = len(weights[_FIRST])
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


@dataclass(frozen=True)
class Told:
    """What a file tells of its degradation.

    Attributes:
        settings: read off its buffers.
        assumed: settings that leave no trace in them, and why they are taken to be what they are.
    """

    settings: dict[str, Any]
    assumed: str = ""


def infer_degradation(released: Released, like: Mapping[str, Any]) -> Told:
    """What the file tells of its degradation: settings to put in the place of ``like``'s.

    A noise schedule tells T; blur kernels tell T, their size, and routine and std if ours has such a blur. Padding
    leaves no trace in a kernel: of two routines that differ in it alone, ``like``'s counts, or else the circular one.

    Args:
        released: the file.
        like: the degradation of a similar model, with its ``name``.
    """
    if released.bare:
        return Told({}, "the degradation, since a network alone does not tell it")
    if released.alphas_cumprod is not None and like.get("name") == "noise":
        return Told({"timesteps": len(released.alphas_cumprod)})
    if released.kernels is None or like.get("name") != "blur":
        return Told({})
    steps, taps = released.kernels.shape[:2]
    read = {"timesteps": steps, "kernel_size": taps}
    for routine in dict.fromkeys([str(like.get("routine")), *ROUTINES]):
        for std in (like.get("std"), *_stds(released.kernels)) if takes_std(routine) else (None,):
            if routine in ROUTINES and _difference(released.kernels, routine, std or 0.0).max() < _TOLERANCE:
                found = {**read, "routine": routine, **({} if std is None else {"std": std})}
                return Told(found, _padding(routine))
    return Told(read)


def _padding(routine: str) -> str:
    """Why a routine's padding is assumed, where another routine has the same kernels."""
    base = routine.removesuffix("-reflect")
    alike = [name for name in ROUTINES if name.removesuffix("-reflect") == base and name != routine]
    if not alike:
        return ""
    return f"{ROUTINES[routine][1]} padding (routine {routine}, not {alike[0]}), since kernels do not tell it"


def _stds(kernels: Tensor) -> tuple[float, float]:
    """What ``std`` would be, to four digits, if it were that of every kernel, or its growth rate."""
    centre = kernels.shape[1] // 2
    ratios = (kernels[:, centre, centre + 1] / kernels[:, centre, centre]).double()
    stds = (-0.5 / ratios.log()).sqrt()
    growth = float(stds[-1].log()) / max(len(stds) - 1, 1)
    return float(f"{float(stds[0]):.4g}"), float(f"{growth:.4g}")


def _difference(kernels: Tensor, routine: str, std: float) -> Tensor:
    """Of each step's kernel from that of a routine, at its worst: (T,)."""
    schedule, _ = ROUTINES[routine]
    try:
        lines = [gaussian_kernel(kernels.shape[1], schedule(i, std)) for i in range(len(kernels))]
    except (ZeroDivisionError, OverflowError):
        return torch.full((len(kernels),), torch.inf)
    ours = torch.stack([torch.outer(line, line) for line in lines])
    return (ours - kernels).abs().amax(dim=(1, 2)).nan_to_num(torch.inf)


def check_degradation(released: Released, degradation: Mapping[str, Any]) -> None:
    """Whether the numbers in the file are those of this degradation, as far as the file tells.

    Raises:
        BadInput: they are not; says what differs.
    """
    name, timesteps = degradation.get("name"), degradation.get("timesteps")
    if released.kernels is not None:
        _check_blur(released.kernels, degradation)
    elif name == "blur" and not released.bare:
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
    taps = degradation.get("kernel_size", 11)
    if taps != size:
        raise BadInput(f"the file's blur kernels have {size} taps, not {taps}")
    difference = _difference(kernels, degradation["routine"], degradation.get("std") or 0.0)
    if difference.max() > _TOLERANCE:
        worst = int(difference.argmax())
        raise BadInput(f"the file's blur kernel of step {worst} differs from ours by {difference[worst]:.1e}")
