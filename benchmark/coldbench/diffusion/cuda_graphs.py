"""A network's forward as a CUDA graph, where that is the same and faster; in training, its backward pass too.

A small network spends much of its time on launching one kernel after the other. A graph launches all of them at once,
but only ever for the shapes that it was captured with.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

#: (images (B, C, S, S), time indices (B,)) -> images.
Forward = Callable[[Tensor, Tensor], Tensor]
#: Forwards before a capture, as torch asks for, and of each kind before and while it is timed.
_WARM_UP, _TIMED = 3, 5


def captured(forward: Forward, x: Tensor, steps: Tensor) -> Forward:
    """The forward as a CUDA graph for inputs of this shape.

    Args:
        forward: computes on the GPU alone, the same whatever the inputs hold.
        x, steps: inputs, on the GPU.

    Raises:
        RuntimeError: something in the forward cannot be captured, or the memory does not hold it.
    """
    static_x, static_steps = x.clone(), steps.clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM_UP):
            forward(static_x, static_steps)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    # Other threads may go on copying images meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        static_output = forward(static_x, static_steps)

    def replay(x: Tensor, steps: Tensor) -> Tensor:
        static_x.copy_(x)
        static_steps.copy_(steps)
        graph.replay()
        return static_output.clone()

    return replay


def graphed_for_training(network: nn.Module, x: Tensor, steps: Tensor) -> Forward:
    """The network, whose forward and backward passes are CUDA graphs for inputs of this shape.

    Where something in it cannot be captured, the network as it is.

    Args:
        network: in training mode, on the GPU.
        x, steps: inputs, on the GPU.
    """
    _silence_stream_mismatch()
    try:
        graphed: Forward = torch.cuda.make_graphed_callables(network, (x, steps), allow_unused_input=True)  # type: ignore[assignment]
        return graphed
    except RuntimeError:
        return network


def _silence_stream_mismatch() -> None:
    """For the rest of the process, keep torch from warning that a graph's gradients come from another stream.

    They are the right ones: a test that needs a GPU compares them with the network's own. torch 2.11 warns of it at the
    first backward pass.
    """
    silence = getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None)
    if silence:
        silence(False)


def best_forward(
    forward: Forward,
    x: Tensor,
    steps: Tensor,
    capture: Callable[[Forward, Tensor, Tensor], Forward] = captured,
    wait: Callable[[], object] = torch.cuda.synchronize,
) -> Forward:
    """The forward as a graph, if its output is the same bit for bit and it is faster; else the forward itself.

    Args:
        forward, x, steps: see ``captured``.
        capture: makes the graph.
        wait: for the device to finish.
    """
    try:
        graphed = capture(forward, x, steps)
        others = -x, steps // 2  # what a capture takes for constant shows on other inputs
        same = torch.equal(graphed(*others), forward(*others))
    except (MemoryError, RuntimeError):  # what cannot be captured, or does not fit beside the forward itself
        return forward
    if same and _seconds(graphed, x, steps, wait) < _seconds(forward, x, steps, wait):
        return graphed
    return forward


def _seconds(forward: Forward, x: Tensor, steps: Tensor, wait: Callable[[], object]) -> float:
    forward(x, steps)
    wait()
    started = time.perf_counter()
    for _ in range(_TIMED):
        forward(x, steps)
    wait()
    return time.perf_counter() - started
