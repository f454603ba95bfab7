"""The arithmetics of a network: which there are, what each switches, and that it is switched back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from coldbench.core.devices import choose_device
from coldbench.core.errors import Missing
from coldbench.diffusion import ARITHMETICS
from coldbench.diffusion.arithmetic import available, check_available, computing_in
from coldbench.diffusion.building import build_network

CPU, GPU = torch.device("cpu"), torch.device("cuda")
CONVNEXT = {"name": "convnext-unet", "dim": 8, "dim_mults": [1, 2], "channels": 1}
DDPM = {"name": "ddpm-unet", "image_size": 16, "dim": 32, "dim_mults": [1, 2], "channels": 1}


def tf32() -> tuple[bool, bool]:
    """Whether TF32 is on, of matrix products and of convolutions."""
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def float32_means_float32() -> None:
    choose_device("cpu")
    assert tf32() == (False, False)


def test_a_cpu_has_no_tf32() -> None:
    assert available(CPU) == ("float32", "bfloat16", "float16")
    for name in ("tf32", "float32-then-tf32"):
        with pytest.raises(Missing, match=f"^no {name} on this cpu: use --dtype float32 or bfloat16 or float16$"):
            check_available(name, CPU)
    assert {"tf32", "float32-then-tf32"} < set(available(GPU))


class Watched(nn.Module):
    """Convolution, normalisation inside of a module that only holds it, convolution; notes when TF32 is on."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 1)
        self.pre_norm = nn.Sequential(nn.GELU(), nn.GroupNorm(2, 4))
        self.last = nn.Conv2d(4, 1, 1)
        self.seen: list[tuple[bool, bool]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (self.first, *self.pre_norm, self.last):
            self.seen.append(tf32())
            x = layer(x)
        return x


@pytest.mark.parametrize(
    ("name", "on"),
    [
        ("float32", [False] * 4),
        ("tf32", [True] * 4),
        ("float32-then-tf32", [False, False, False, True]),
        ("bfloat16", [False] * 4),
    ],
)
def test_tf32_is_on_where_its_name_says(name: str, on: list[bool]) -> None:
    network = Watched()
    for _ in range(2):  # the second forward begins as the first did
        network.seen.clear()
        with computing_in(name, network, CPU):
            network(torch.zeros(1, 1, 2, 2))
        assert network.seen == [(each, each) for each in on]
        assert tf32() == (False, False)


@pytest.mark.parametrize("name", ARITHMETICS)
def test_what_was_switched_is_switched_back_after_an_error(name: str) -> None:
    network = Watched()
    with pytest.raises(RuntimeError, match="expected input"), computing_in(name, network, CPU):
        network(torch.zeros(1, 2, 2, 2))
    assert tf32() == (False, False)
    assert not torch.is_autocast_enabled("cpu")
    assert not any(module._forward_hooks for module in network.modules())


def test_where_tf32_is_on_it_stays_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever switched it on without us."""
    torch.backends.cudnn.allow_tf32 = True
    with computing_in("float32-then-tf32", Watched(), CPU):
        assert tf32() == (False, False)
    assert tf32() == (False, True)


@pytest.mark.parametrize(("settings", "exact"), [(CONVNEXT, 5), (DDPM, 1)], ids=["convnext-unet", "ddpm-unet"])
def test_the_first_convolutions_of_a_network_are_exact(settings: dict[str, Any], exact: int) -> None:
    """They see the image as it came; the first block of the ConvNeXt network has no normalisation."""
    network = build_network(settings, "").eval()
    seen: dict[nn.Module, bool] = {}

    def note(module: nn.Module, given: object) -> None:
        seen.setdefault(module, tf32()[1])

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(note)
    with torch.inference_mode(), computing_in("float32-then-tf32", network, CPU):
        network(torch.zeros(1, 1, 16, 16), torch.zeros(1, dtype=torch.int64))
    assert [*seen.values()] == [False] * exact + [True] * (len(seen) - exact)
    assert len(seen) > 10


@pytest.mark.parametrize(("name", "digits"), [("bfloat16", 8), ("float16", 11)])
def test_halves_keep_so_many_digits(name: str, digits: int) -> None:
    layer = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(layer.weight)
    x = torch.tensor([1 + 2.0 ** (1 - digits), 1 + 2.0**-digits]).reshape(2, 1, 1, 1)
    with torch.inference_mode(), computing_in(name, layer, CPU):
        kept, rounded = layer(x).float().flatten().tolist()
    assert (kept, rounded) == (float(x[0]), 1.0)
