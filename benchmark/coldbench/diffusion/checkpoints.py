"""From a registry entry to a network that restores, and from a network to a file that is what it says it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from coldbench.core.errors import BadInput, Missing, foreign
from coldbench.core.files import sha256_of, write_atomically
from coldbench.diffusion.catalog import DEGRADATIONS, NETWORKS, Entry, Registry
from coldbench.diffusion.degradations.base import Degradation
from coldbench.records.record import RANDOM


def build_degradation(entry: Entry, settings: Mapping[str, Any] | None = None) -> Degradation:
    """D of this entry, with the entry's settings and, over them, those of a protocol."""
    degradation: Degradation = make(entry.name, DEGRADATIONS, {**entry.degradation, **(settings or {})})
    return degradation


def build_network(entry: Entry) -> nn.Module:
    """The entry's network with fresh weights; nothing scores these."""
    network: nn.Module = make(entry.name, NETWORKS, entry.network)
    return network


def make(whose: str, registry: Registry, spec: Mapping[str, Any]) -> Any:
    """The thing that ``spec`` names and parametrises.

    Args:
        whose: for messages.
        registry: that ``spec["name"]`` is looked up in.
        spec: the name, and arguments.

    Raises:
        BadInput: unknown name, or arguments that it does not take.
    """
    arguments = dict(spec)
    build = registry[arguments.pop("name", "")]
    with foreign(f"building the {registry.kind} of {whose}"):
        made = build(**arguments)
    if isinstance(made, Degradation):
        made.settings = dict(spec)
    return made


def load_network(entry: Entry) -> nn.Module:
    """The entry's trained network, in eval mode, on the CPU.

    Raises:
        Missing: the entry has no weights, or their file is gone.
        BadInput: the file is not the one the registry names, or does not fit the network.
    """
    if entry.sha256 is None or not entry.weights.exists():
        raise Missing(f"no weights for {entry.name}: coldbench train {entry.name}")
    network = build_network(entry)
    load_weights(network, entry.weights, entry.sha256)
    return network.eval()


def load_restorer(entry: Entry, device: torch.device, dtype: str = "float32", *, random: bool = False) -> Restorer:
    """R of an entry.

    Args:
        entry: of the registry.
        device: where it runs.
        dtype: ``float32`` or ``bfloat16``.
        random: where the entry has no weights, take random ones, the same each time, whose hash is ``RANDOM``. Their
            numbers mean nothing; they show that everything else works.

    Raises:
        Missing, BadInput: see ``load_network``.
    """
    arithmetic: torch.dtype = getattr(torch, dtype)
    if random and (entry.sha256 is None or not entry.weights.exists()):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Restorer(build_network(entry), device, arithmetic, sha256=RANDOM)
    return Restorer(load_network(entry), device, arithmetic, sha256=entry.sha256)


def load_weights(network: nn.Module, path: Path, sha256: str) -> None:
    """Load a .safetensors file into ``network``, checking first that it is the file expected.

    Raises:
        BadInput: another file, a corrupt one, or parameters of other names or shapes.
    """
    found = sha256_of(path)
    if found != sha256:
        raise BadInput(
            f"{path} has sha256 {found[:12]}..., but the registry expects {sha256[:12]}...; restore the file"
        )
    try:
        weights = {name: tensor.float() for name, tensor in load_file(path).items()}
        network.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        raise BadInput(f"{path} does not fit its network: {str(error).splitlines()[0]}") from error


def save_weights(network: nn.Module, path: Path) -> str:
    """Write the parameters as float32 .safetensors, atomically; returns the file's SHA-256."""
    weights: dict[str, Tensor] = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    write_atomically(path, lambda temporary: save_file(weights, temporary))
    return sha256_of(path)


#: Images the network restores at a time, by device: as many as it takes to be fast.
CHUNK = {"cpu": 16, "cuda": 64}


class Restorer:
    """R(x_s, s): a network in eval mode, fed the 0-based time index s - 1 of the released checkpoints.

    The network always runs on the same number of images, filled up where there are fewer. Libraries choose their
    kernels by shape, and the last bit that changes with the kernel grows to 1e-5 over the steps of a deblurring: with
    one shape, an image's restoration does not depend on its batch.

    Args:
        network: takes images (B, C, S, S) and int64 indices (B,).
        device: where it runs; images come and go there.
        dtype: ``torch.float32``, or a faster one by autocast.
        sha256: of its weights, where they are known.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        *,
        sha256: str | None = None,
    ) -> None:
        self.sha256 = sha256
        self.identity = {"sha256": sha256 or "", "dtype": str(dtype).removeprefix("torch.")}
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)
        self.dtype = dtype
        self.chunk = CHUNK[device.type]

    def __call__(self, x: Tensor, s: int) -> Tensor:
        return torch.cat([self._restore(chunk, s) for chunk in x.split(self.chunk)])

    def _restore(self, x: Tensor, s: int) -> Tensor:
        filled = torch.cat((x, x.new_zeros(self.chunk - len(x), *x.shape[1:])))
        time = torch.full((self.chunk,), s - 1, dtype=torch.int64, device=x.device)
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype != torch.float32):
            restored: Tensor = self.network(filled.contiguous(memory_format=torch.channels_last), time)
        return restored[: len(x)].float().contiguous()
