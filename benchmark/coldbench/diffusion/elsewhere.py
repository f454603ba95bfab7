"""Networks that others trained, as restorers: whatever they predict, and at whatever times, becomes R(x_s, s).

A network of diffusers' is called at the time index at which its own noise schedule is nearest to D's, where D is
Gaussian noise and its folder tells the schedule; else, as the paper's networks are, at s - 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from coldbench.core.errors import BadInput
from coldbench.core.paths import expanded
from coldbench.diffusion import hub_models
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.degradations.noise import GaussianNoise
from coldbench.diffusion.diffusers_unet import FolderUnet, read_unet
from coldbench.diffusion.released import infer_network, network_with, read_released
from coldbench.diffusion.state_dicts import WHOLE

Prediction = Literal["x0", "eps", "v"]
_FOLDER = "diffusers:"


class Predictor(nn.Module):
    """x0_hat of a network that predicts x0, eps or v of x_s = a x0 + b eps, where v = a eps - b x0.

    From eps, x0_hat = (x_s - b eps) / a (Ho et al. 2020, equation 9 solved for x0); from v, x0_hat = a x_s - b v
    (Salimans & Ho 2022, appendix D).

    Args:
        found: the network, and how it was trained.
        degradation: D; for eps and v, Gaussian noise.
        prediction: what the network predicts; what its training says, or else x0, unless given.
        name: for messages.

    Attributes:
        facts: what decides, beside the parameters, what it gives: for its hash.

    Raises:
        BadInput: a prediction that is unknown, or means nothing for D.
    """

    times: Tensor
    signal: Tensor
    noise: Tensor

    def __init__(self, found: FolderUnet, degradation: Degradation, prediction: str | None, name: str) -> None:
        super().__init__()
        self.network, self.channels, self.name = found.network, found.channels, name
        self.prediction = prediction or (found.training.predicts if found.training else "x0")
        _check_prediction(self.prediction, degradation, name)
        self.bound = found.training.bound if found.training and self.prediction != "x0" else None
        self.facts: Mapping[str, Any] = {**found.facts, "prediction": self.prediction}
        steps = torch.arange(1, degradation.timesteps + 1)
        self.register_buffer("times", _times(found, degradation, steps), persistent=False)
        if isinstance(degradation, GaussianNoise):
            signal, noise = degradation.scales(steps, degradation.alphas_cumprod)
            self.register_buffer("signal", signal, persistent=False)
            self.register_buffer("noise", noise, persistent=False)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x0_hat (B, C, S, S), float32.

        Args:
            x: x_s (B, C, S, S) in [-1, 1].
            time: s - 1, int64 (B,).

        Raises:
            BadInput: images of other channels than the network's.
        """
        if x.shape[1] != self.channels:
            raise BadInput(f"{self.name} takes images of {self.channels} channels: --channels {self.channels}")
        predicted = self.network(x, self.times[time]).float()
        if self.prediction == "x0":
            return predicted
        a, b = self.signal[time], self.noise[time]
        x0_hat = (x - b * predicted) / a if self.prediction == "eps" else a * x - b * predicted
        return x0_hat if self.bound is None else x0_hat.clamp(-self.bound, self.bound)

    def __str__(self) -> str:
        """What is made of the network, for people."""
        clipped = "" if self.bound is None else f", and its x0 is clipped to {self.bound:g}"
        return f"{self.name} predicts {self.prediction}, at its times {self.times[0]} to {self.times[-1]}{clipped}"


def _check_prediction(prediction: str, degradation: Degradation, name: str) -> None:
    known = get_args(Prediction)
    if prediction not in known:
        raise BadInput(f"{name} predicts {prediction!a:.60}, and coldbench knows {', '.join(known)}: see --prediction")
    if prediction != "x0" and not isinstance(degradation, GaussianNoise):
        raise BadInput(
            f"{name} predicts {prediction}, which tells x0 of Gaussian noise alone, not of "
            f"{degradation.settings['name']}: name one that is noise, or --prediction x0 if it predicts images"
        )


def _times(found: FolderUnet, degradation: Degradation, steps: Tensor) -> Tensor:
    """The network's time index at s = 1..T, int64 (T,)."""
    if found.training is None or not isinstance(degradation, GaussianNoise):
        return steps - 1
    ours = degradation.alphas_cumprod.cpu().double()
    return (found.training.alphas_cumprod - ours[:, None]).abs().argmin(dim=1)


def is_elsewhere(name: str) -> bool:
    """Whether a restorer's name is ``diffusers:PATH``, ``hub:owner/name`` or ``hub:owner/name:file``."""
    return name.startswith((_FOLDER, hub_models.PREFIX))


def load_elsewhere(name: str, degradation: Degradation, prediction: str | None = None) -> Predictor:
    """The network of this name, as one that predicts x0, on the CPU.

    Args:
        name: see ``is_elsewhere``.
        degradation: D.
        prediction: see ``Predictor``.

    Raises:
        BadInput: nothing usable there, or a prediction that does not fit.
        Missing: it was not fetched, or the libraries that read it are not installed.
    """
    if name.startswith(_FOLDER):
        path = name.removeprefix(_FOLDER)
        if not path:
            raise BadInput(f"'{name}' names no path: give {_FOLDER}PATH")
        return Predictor(read_unet(expanded(path)), degradation, prediction, name)
    model = hub_models.hub_model(name)
    path_there = model.path()
    found = _from_file(path_there, degradation.image_size, name) if model.file else read_unet(path_there)
    return Predictor(found, degradation, prediction, name)


def _from_file(path: Path, image_size: int, name: str) -> FolderUnet:
    """A network of the paper's with the weights of one file, as ``train`` and the released code write them."""
    released = read_released(path, WHOLE if path.suffix == ".safetensors" else None)
    settings = infer_network(released.weights, image_size)
    network = network_with(released.weights, settings, name)
    return FolderUnet(network, settings["channels"], None, {"network": settings})
