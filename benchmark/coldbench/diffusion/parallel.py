"""A training step on several devices: each process takes its part of the batch, and the gradients are averaged.

The gradient is that of the mean over the whole batch, whatever the lengths of the parts. Alone, a process does what it
would do without this module, to the last bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from coldbench.core.errors import BadInput
from coldbench.core.processes import rank, size, total

#: A network as a step calls it: (x_t, t) -> R(x_t, t).
Forward = Callable[..., Tensor]


def as_called(network: nn.Module, *, compile_network: bool) -> Forward:
    """What a step calls: the network, which of several processes averages the gradients over all of them.

    Args:
        network: on its device, the same on every process.
        compile_network: fuse it with torch.compile, which works on the network inside, as torch advises.
    """
    forward = torch.compile(network) if compile_network else network
    if size() == 1:
        return forward
    device = next(network.parameters()).device
    # Of 1 x 1 convolutions the order of axes can be told in two ways, which torch takes for two.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    # What is sent are the gradients themselves, no copies.
    return DistributedDataParallel(
        forward, device_ids=[device] if device.type == "cuda" else None, gradient_as_bucket_view=True
    )


def own_part(count: int) -> slice:
    """Which of ``count`` images are this process'; neighbours, as many on every process, give or take one."""
    return slice(rank() * count // size(), (rank() + 1) * count // size())


def own_weight(count: int) -> float:
    """What the mean over this process' part counts in the mean of all processes; 1 for a process that is alone."""
    part = own_part(count)
    return (part.stop - part.start) * size() / count


def own_purpose(purpose: str) -> str:
    """What random numbers are drawn for that belong to no image: other ones on every process, the first's as alone."""
    return f"{purpose} of process {rank()}" if rank() else purpose


def mean_of_all(value: float) -> float:
    """The mean of what each process has, on every process."""
    return total([value])[0] / size()


def anyone(said: bool) -> bool:
    """Whether a process says so; all get the same answer."""
    return total([float(said)])[0] > 0


def check_parts(batch_size: int) -> None:
    """Whether each process gets an image of every batch.

    Raises:
        BadInput: there are more processes than images.
    """
    if batch_size < size():
        raise BadInput(
            f"batch_size = {batch_size} is too few images for {size()} processes: start fewer, or --set "
            f"batch_size={size()}"
        )


@contextmanager
def gradients_of(forward: Forward, network: nn.Module, *, complete: bool) -> Iterator[None]:
    """Let a forward and a backward pass add to the gradients of the network.

    Args:
        forward: see ``as_called``.
        network: inside it.
        complete: whether the gradients are whole afterwards, and are averaged over the processes; else more are added.

    Raises:
        BadInput: of several processes, that the network has parameters without a gradient: these are not averaged.
    """
    if not isinstance(forward, DistributedDataParallel):
        yield
        return
    if not complete:
        with forward.no_sync():
            yield
        return
    yield
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            raise BadInput(f"nothing depends on {name} of the network: it can be trained by one process alone")
