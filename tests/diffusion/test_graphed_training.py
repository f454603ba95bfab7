"""Training on a GPU: forward and backward as CUDA graphs give what they give without."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from coldbench.core.devices import choose_device
from coldbench.data.datasets import open_mnist
from coldbench.data.decoding import Pixels, decode
from coldbench.data.transforms import TRANSFORMS
from coldbench.diffusion.catalog import Entry
from coldbench.diffusion.training import Run

ENTRY = Entry(
    name="tiny",
    dataset="mnist",
    network={"name": "convnext-unet", "dim": 8, "dim_mults": [1, 2], "channels": 1},
    degradation={"name": "inpaint", "image_size": 16, "timesteps": 4, "kernel_std": 1, "initial_mask": 1},
    training={"steps": 12, "batch_size": 4, "lr": 1e-3, "ema": 0.5, "seed": 0},
    weights=Path("tiny.safetensors"),
)


@pytest.fixture(scope="module")
def digits() -> Pixels:
    source = open_mnist(Path("nowhere"))
    return decode(source, transform=TRANSFORMS["native"], image_size=16, channels=1, count=40)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_graphs_give_the_gradients_of_the_network(accumulate: int, digits: Pixels) -> None:
    """Of every step: what a graph holds on to from one step must not leak into the next."""
    device = choose_device("cuda")  # which makes float32 mean float32
    entry = dataclasses.replace(ENTRY, training={**ENTRY.training, "accumulate": accumulate, "lr": 1e-12})
    graphed, plain = (Run(entry, digits, device) for _ in range(2))
    forward = graphed.forward(compile_network=False)
    for batch in graphed.remaining_batches():
        graphed.update(forward, batch)
        plain.update(plain.network, batch)
        assert graphed.losses[-1] == pytest.approx(plain.losses[-1], rel=1e-5)
        for (name, ours), theirs in zip(graphed.network.named_parameters(), plain.network.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=name)
