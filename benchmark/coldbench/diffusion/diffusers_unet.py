"""A ``UNet2DModel`` of diffusers' in a local folder, and what the folder says of how it was trained."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coldbench.core.errors import BadInput, foreign
from coldbench.core.extras import require
from coldbench.core.paths import exists, is_folder
from coldbench.core.weights import check_values

#: What a scheduler calls a prediction -> what ``--prediction`` calls it.
_PREDICTIONS = {"sample": "x0", "epsilon": "eps", "v_prediction": "v"}
#: The part of a scheduler's configuration that makes its noise schedule.
_SCHEDULE = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)


@dataclass(frozen=True)
class Training:
    """What a folder's ``scheduler_config.json`` says of the training.

    Attributes:
        predicts: ``x0``, ``eps`` or ``v``; whatever else it says as it says it.
        alphas_cumprod: abar of its noise schedule, float64 (N,), by its own 0-based time index.
        bound: to which it clips an estimate of x0 that follows from eps or v; None where it does not.
    """

    predicts: str
    alphas_cumprod: Tensor
    bound: float | None


@dataclass(frozen=True)
class FolderUnet:
    """What a folder holds.

    Attributes:
        network: takes images (B, C, S, S) in [-1, 1] and time indices (B,); gives (B, C, S, S).
        channels: C.
        training: None where the folder does not tell.
        facts: both configurations, as the folder has them.
    """

    network: nn.Module
    channels: int
    training: Training | None
    facts: dict[str, Any]


class _Sample(nn.Module):
    """A UNet that gives its tensor alone, not in a structure of diffusers'."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        predicted: Tensor = self.unet(x, time, return_dict=False)[0]
        return predicted


def read_unet(folder: Path) -> FolderUnet:
    """The UNet in a folder of diffusers' (``config.json`` in it), or in a folder of a pipeline (in ``unet``).

    No code in the folder is run, nothing is downloaded, and pickled weights are not read.

    Raises:
        BadInput: no such folder, or nothing in it that fits; says what.
        Missing: diffusers is not installed.
    """
    if not is_folder(folder):
        raise BadInput(f"{folder} is no folder: diffusers:PATH names one that save_pretrained wrote")
    inner = folder if exists(folder / "config.json") or not exists(folder / "unet") else folder / "unet"
    config = _json(inner / "config.json")
    if config.get("_class_name") != "UNet2DModel":
        raise BadInput(f"{inner} holds {config.get('_class_name', 'no class')!a:.60}, and coldbench reads UNet2DModel")
    diffusers = _library()
    unet = _loaded(diffusers, inner)
    channels = int(unet.config.in_channels)
    if unet.config.out_channels != channels:
        raise BadInput(
            f"the UNet in {inner} makes {unet.config.out_channels} channels of {channels}: coldbench needs as many"
        )
    if unet.class_embedding is not None:
        raise BadInput(f"the UNet in {inner} needs the class of each image, and coldbench gives none")
    scheduler = _scheduler_config(folder)
    training = None if scheduler is None else _training(diffusers, scheduler, folder)
    return FolderUnet(_Sample(unet), channels, training, {"network": config, "scheduler": scheduler})


def _loaded(diffusers: Any, folder: Path) -> Any:
    """The network with all of its weights, float32.

    Raises:
        BadInput: some are absent, of other shapes, or no weights.
    """
    if not any(folder.glob("diffusion_pytorch_model*.safetensors")):
        raise BadInput(f"{folder} has no diffusion_pytorch_model.safetensors: coldbench reads no pickles")
    with foreign(f"reading the UNet in {folder}"):
        unet, info = diffusers.UNet2DModel.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info[problem]:
            first = min(map(str, info[problem]))
            raise BadInput(f"the weights in {folder} do not fit its config.json: {first} ({problem.replace('_', ' ')})")
    for name, tensor in unet.state_dict().items():
        check_values(name, tensor, folder)
    return unet


def _scheduler_config(folder: Path) -> dict[str, Any] | None:
    for path in (folder / "scheduler_config.json", folder / "scheduler" / "scheduler_config.json"):
        if exists(path):
            return _json(path)
    return None


def _training(diffusers: Any, config: dict[str, Any], folder: Path) -> Training:
    """What a scheduler's configuration tells, in the terms of DDPM's scheduler, whose schedule others share."""
    if "beta_start" not in config and not config.get("trained_betas"):
        name = config.get("_class_name", "the scheduler")
        raise BadInput(f"{name!a:.60} in {folder} has no betas, and coldbench knows schedules of betas alone")
    with foreign(f"building the scheduler in {folder}"):
        scheduler = diffusers.DDPMScheduler(**{key: config[key] for key in _SCHEDULE if key in config})
        alphas_cumprod = scheduler.alphas_cumprod.double()
        # Where the file does not say, diffusers takes eps: its oldest files do not.
        predicts = str(config.get("prediction_type", "epsilon"))
        bound = float(config.get("clip_sample_range", 1.0)) if config.get("clip_sample") else None
    return Training(_PREDICTIONS.get(predicts, predicts), alphas_cumprod, bound)


def _json(path: Path) -> dict[str, Any]:
    """What a configuration holds, but for the version of diffusers that wrote it.

    Raises:
        BadInput: it is absent, or no configuration.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} is no configuration: it holds {type(content).__name__}")
    content.pop("_diffusers_version", None)
    return content


def _library() -> Any:
    """``diffusers``.

    Raises:
        Missing: it is not installed.
    """
    require("UNets of diffusers' need", "diffusers", extra="hub")
    import diffusers

    return diffusers
