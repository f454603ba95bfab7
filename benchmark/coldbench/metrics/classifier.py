"""Training of ``mnist-cnn``: cross-entropy, shifted digits, a cosine learning rate. Minutes on two cores."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coldbench.core.randomness import image_rng
from coldbench.data.datasets import mnist_labels, open_mnist
from coldbench.data.decoding import decode
from coldbench.data.transforms import TRANSFORMS
from coldbench.metrics.digits import IMAGE_SIZE, MnistCnn


@dataclass(frozen=True)
class ClassifierRun:
    """A trained classifier.

    Attributes:
        network: in eval mode.
        loss: cross-entropy, mean of the last hundred steps.
        seconds: of training.
        test_accuracy: a fraction, on the 10,000 test images.
    """

    network: nn.Module
    loss: float
    seconds: float
    test_accuracy: float


#: How the shipped weights were trained.
RECIPE: dict[str, Any] = {"steps": 3000, "batch_size": 128, "lr": 2e-3, "seed": 0}


def train_classifier(
    root: Path, watch: Callable[[int, float], None], recipe: Mapping[str, Any] = RECIPE
) -> ClassifierRun:
    """Train the classifier on the MNIST training images under ``root``.

    Args:
        root: data folder; see ``coldbench.data.datasets.open_mnist``.
        watch: called with the step and the loss after each step.
        recipe: ``steps``, ``batch_size``, ``lr`` and ``seed``.
    """
    torch.manual_seed(recipe["seed"])
    network = MnistCnn()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe["lr"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe["steps"])
    images, labels = _load(root, train=True)
    losses: list[float] = []
    started = time.monotonic()
    for step in range(recipe["steps"]):
        rng = image_rng(recipe["seed"], "classifier-batch", step)
        batch = rng.integers(0, len(images), recipe["batch_size"])
        loss = F.cross_entropy(network(_shifted(images[batch], rng)), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        watch(step + 1, losses[-1])
    seconds = time.monotonic() - started
    return ClassifierRun(network.eval(), float(np.mean(losses[-100:])), seconds, accuracy(network, root))


def accuracy(network: nn.Module, root: Path) -> float:
    """Fraction of the 10,000 test digits that the classifier names."""
    images, labels = _load(root, train=False)
    with torch.inference_mode():
        hits = [(network(x).argmax(1) == y).sum() for x, y in zip(images.split(500), labels.split(500), strict=True)]
    return float(sum(hits)) / len(images)


def _load(root: Path, *, train: bool) -> tuple[Tensor, Tensor]:
    source = open_mnist(root, train=train)
    pixels = decode(source, transform=TRANSFORMS["native"], image_size=IMAGE_SIZE, channels=1)
    images = pixels.batch(range(source.count)).float() / 255
    return images, torch.from_numpy(mnist_labels(root, train=train))


def _shifted(images: Tensor, rng: np.random.Generator) -> Tensor:
    """The batch, moved as one by up to two pixels: keeps 60,000 digits from being learnt by heart."""
    rows, columns = rng.integers(-2, 3, size=2)
    return torch.roll(images, (int(rows), int(columns)), dims=(2, 3))
