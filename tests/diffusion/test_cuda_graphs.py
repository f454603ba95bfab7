"""When a network's forward is replaced by its graph; the graph itself needs a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from coldbench.diffusion.cuda_graphs import Forward, best_forward

X, STEPS = torch.arange(1.0, 5.0).reshape(4, 1, 1, 1), torch.full((4,), 7)


def eager(x: Tensor, steps: Tensor) -> Tensor:
    time.sleep(0.002)
    return 2 * x + steps.reshape(-1, 1, 1, 1)


def quick(x: Tensor, steps: Tensor) -> Tensor:
    return 2 * x + steps.reshape(-1, 1, 1, 1)


def slow(x: Tensor, steps: Tensor) -> Tensor:
    time.sleep(0.02)
    return quick(x, steps)


def rounded(x: Tensor, steps: Tensor) -> Tensor:
    return quick(x, steps) * (1 + 2**-23)


def blind_to_images(x: Tensor, steps: Tensor) -> Tensor:
    return quick(X, steps)


def blind_to_time(x: Tensor, steps: Tensor) -> Tensor:
    return quick(x, STEPS)


def chosen(capture: Callable[[Forward, Tensor, Tensor], Forward]) -> Forward:
    return best_forward(eager, X, STEPS, capture, lambda: None)


def test_a_graph_that_is_the_same_and_faster_is_taken() -> None:
    assert chosen(lambda forward, x, steps: quick) is quick


@pytest.mark.parametrize("graph", [slow, rounded, blind_to_images, blind_to_time], ids=lambda graph: graph.__name__)
def test_one_that_is_slower_or_gives_anything_else_is_not(graph: Forward) -> None:
    assert chosen(lambda forward, x, steps: graph) is eager


def test_what_cannot_be_captured_runs_as_it_is() -> None:
    def capture(forward: Forward, x: Tensor, steps: Tensor) -> Forward:
        raise RuntimeError("operation not permitted when stream is capturing")

    assert chosen(capture) is eager


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA graph needs a GPU")
def test_a_graph_gives_what_the_forward_gives() -> None:
    from coldbench.diffusion.cuda_graphs import captured

    x, steps = X.cuda(), STEPS.cuda()
    graph = captured(quick, x, steps)
    assert torch.equal(graph(-x, steps // 2), quick(-x, steps // 2))
