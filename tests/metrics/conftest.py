"""Fixtures of the tests of metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision

from coldbench.metrics import perceptual
from tests.helpers import written


@pytest.fixture
def random_alexnet(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights where those of AlexNet belong, which cannot ship; the layers that LPIPS does not use are zeros."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = torchvision.models.alexnet().state_dict()
    for name, tensor in state.items():
        if name.startswith("classifier"):
            state[name] = torch.zeros(1).expand(tensor.shape)  # one number in the file, instead of 55 million
    monkeypatch.setattr(perceptual, "WEIGHTS", written(perceptual.WEIGHTS, lambda path: torch.save(state, path)))
