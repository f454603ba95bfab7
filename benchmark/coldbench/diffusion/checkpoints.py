"""From a registry entry to a network that restores, and from a network to a file that is what it says it is."""

from __future__ import annotations

import json

import torch
from torch import Tensor, nn

from coldbench.core.errors import Missing
from coldbench.core.paths import exists
from coldbench.core.provenance import RANDOM_WEIGHTS
from coldbench.core.weights import load_weights
from coldbench.diffusion.arithmetic import check_available, computing_in
from coldbench.diffusion.batch_sizes import START, cpu_batch, gpu_batch
from coldbench.diffusion.building import build_network
from coldbench.diffusion.catalog import Entry
from coldbench.diffusion.cuda_graphs import Forward, best_forward


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


def load_restorer(
    entry: Entry,
    device: torch.device,
    dtype: str = "float32",
    *,
    random: bool = False,
    image_size: int | None = None,
    batch_size: int | None = None,
) -> Restorer:
    """R of an entry.

    Args:
        entry: of the registry.
        device: where it runs.
        dtype: one of ``coldbench.diffusion.ARITHMETICS``.
        random: where the entry has no weights, take random ones, the same each time, whose hash is ``RANDOM``. Their
            numbers mean nothing; they show that everything else works.
        image_size: S of the images, in pixels; that of the entry's degradation unless given.
        batch_size: on a GPU, images at a time; found by trying unless given (see ``coldbench.diffusion.batch_sizes``).

    Raises:
        Missing, BadInput: see ``load_network``; and the device does not have the arithmetic.
    """
    check_available(dtype, device)
    if random and (entry.sha256 is None or not exists(entry.weights)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network, sha256 = build_network(entry.network, entry.name), RANDOM_WEIGHTS
    else:
        network, sha256 = load_network(entry), entry.sha256 or ""
    size = image_size or entry.degradation.get("image_size")
    restorer = Restorer(network, device, dtype, sha256=sha256, image_size=size)
    if device.type == "cuda":
        restorer.chunk = batch_size or _found_by_trying(restorer, entry, size)
    return restorer


def _found_by_trying(restorer: Restorer, entry: Entry, size: int | None) -> int:
    """Images at a time, on a GPU; of images of unknown size, the number that others begin with."""
    if size is None:
        return START
    card = torch.cuda.get_device_properties(restorer.device)
    settings = json.dumps(entry.network, sort_keys=True)
    facts = (card.name, f"{card.total_memory} bytes", torch.__version__, settings, f"{size} px", restorer.dtype)

    def run(number: int) -> None:
        with torch.inference_mode():
            x = torch.zeros(number, entry.channels, size, size, device=restorer.device)
            restorer.forward(x, torch.zeros(number, dtype=torch.int64, device=restorer.device))

    return gpu_batch(", ".join(facts), run)


class Restorer:
    """R(x_s, s): a network in eval mode, fed the 0-based time index s - 1 of the released checkpoints.

    The network always runs on the same number of images, filled up where there are fewer. Libraries choose their
    kernels by shape, and the last bit that changes with the kernel grows to 1e-5 over the steps of a deblurring: with
    one shape, an image's restoration does not depend on its batch. On a GPU the network is a CUDA graph where that is
    the same and faster.

    Args:
        network: takes images (B, C, S, S) and int64 indices (B,).
        device: where it runs; images come and go there.
        dtype: its arithmetic, one of ``coldbench.diffusion.ARITHMETICS``.
        sha256: of its weights, where they are known.
        image_size: S, in pixels, where it is known; images of another size may come all the same.

    Attributes:
        chunk: images at a time; a batch of a multiple of them computes no image that nobody asked for. Whoever finds
            that the memory does not hold them may lower it.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        dtype: str = "float32",
        *,
        sha256: str | None = None,
        image_size: int | None = None,
    ) -> None:
        self.sha256 = sha256
        self.identity = {"sha256": sha256 or "", "dtype": dtype}
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)
        self.device, self.dtype, self.image_size = device, dtype, image_size
        self.chunk = START if device.type == "cuda" else cpu_batch(image_size or 32)
        self._graphed: dict[torch.Size, Forward] = {}

    def in_arithmetic(self, dtype: str) -> Restorer:
        """The same network in another arithmetic.

        Raises:
            Missing: the device does not have it.
        """
        check_available(dtype, self.device)
        other = Restorer(self.network, self.device, dtype, sha256=self.sha256, image_size=self.image_size)
        other.chunk = self.chunk
        return other

    def __call__(self, x: Tensor, s: int) -> Tensor:
        chunk = self._chunk_of(x)
        return torch.cat([self._restore(each, s, chunk) for each in x.split(chunk)])

    def _chunk_of(self, x: Tensor) -> int:
        """Images at a time: on a CPU they go by the size of those that come."""
        other_size = self.device.type == "cpu" and x.shape[-1] != self.image_size
        return min(self.chunk, cpu_batch(x.shape[-1])) if other_size else self.chunk

    def _restore(self, x: Tensor, s: int, chunk: int) -> Tensor:
        filled = torch.cat((x, x.new_zeros(chunk - len(x), *x.shape[1:])))
        time = torch.full((chunk,), s - 1, dtype=torch.int64, device=x.device)
        filled = filled.contiguous(memory_format=torch.channels_last)
        return self.forward_for(filled, time)(filled, time)[: len(x)].contiguous()

    def forward_for(self, x: Tensor, time: Tensor) -> Forward:
        """The forward for inputs of this shape; on a GPU perhaps a graph, which serves nobody who wants gradients."""
        if x.device.type != "cuda" or not torch.is_inference_mode_enabled():
            return self.forward
        if x.shape not in self._graphed:
            self._graphed.clear()  # a graph holds on to the memory of its shape
            self._graphed[x.shape] = best_forward(self.forward, x, time)
        return self._graphed[x.shape]

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """The network's prediction in float32, (B, C, S, S), for images of any number and their time indices."""
        with computing_in(self.dtype, self.network, x.device):
            restored: Tensor = self.network(x, time)
        return restored.float()
