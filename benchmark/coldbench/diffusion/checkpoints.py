"""From a registry entry to a network that restores, and from a network to a file that is what it says it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from coldbench.core.errors import Missing
from coldbench.core.paths import exists
from coldbench.core.provenance import RANDOM_WEIGHTS
from coldbench.core.weights import load_weights
from coldbench.diffusion.building import build_network
from coldbench.diffusion.catalog import Entry


def load_network(entry: Entry) -> nn.Module:
    """The entry's trained network, in eval mode, on the CPU.

    Raises:
        Missing: the entry has no weights, or their file is gone.
        BadInput: the file is not the one the registry names, or does not fit the network.
    """
    if entry.sha256 is None or not exists(entry.weights):
        raise Missing(f"no weights for {entry.name}: coldbench train {entry.name}")
    network = build_network(entry.network, entry.name)
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
    if random and (entry.sha256 is None or not exists(entry.weights)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Restorer(build_network(entry.network, entry.name), device, arithmetic, sha256=RANDOM_WEIGHTS)
    return Restorer(load_network(entry), device, arithmetic, sha256=entry.sha256)


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
