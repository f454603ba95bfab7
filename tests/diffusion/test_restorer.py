"""R of a network: how many images it is given at a time, and that no image's restoration depends on that."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from coldbench.core.errors import Missing
from coldbench.diffusion.catalog import find_entry
from coldbench.diffusion.checkpoints import Restorer, load_restorer

CPU = torch.device("cpu")


class Counting(nn.Module):
    """A convolution that knows how many images it was given each time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)
        self.given: list[int] = []

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        assert len(x) == len(time)
        self.given.append(len(x))
        restored: Tensor = self.layer(x) + time.reshape(-1, 1, 1, 1)
        return restored


def images(count: int, size: int) -> Tensor:
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "count", "given"), [(32, 5, [16]), (32, 17, [16, 16]), (64, 5, [4, 4]), (64, 4, [4]), (128, 3, [1, 1, 1])]
)
def test_large_images_come_few_at_a_time(size: int, count: int, given: list[int]) -> None:
    network = Counting()
    restore = Restorer(network, CPU, image_size=size)
    assert restore.chunk == given[0], "known before the first call"
    assert restore(images(count, size), 3).shape == (count, 1, size, size)
    assert network.given == given


def test_images_of_a_size_that_was_not_told_come_few_at_a_time_too() -> None:
    network = Counting()
    restore = Restorer(network, CPU)
    restore(images(2, 128), 1)
    restore(images(2, 16), 1)
    assert network.given == [1, 1, 16]


@pytest.mark.parametrize(("name", "size"), [("celeba-superres", 128), ("mnist-superres", 32)])
def test_a_checkpoint_knows_its_images(name: str, size: int) -> None:
    quick = find_entry(name).with_preset("quick") if name == "celeba-superres" else find_entry(name)
    restore = load_restorer(quick, CPU, random=True)
    assert (restore.chunk, restore.image_size) == ({128: 1, 32: 16}[size], size)
    assert load_restorer(quick, CPU, random=True, image_size=64).chunk == 4


@pytest.mark.parametrize("size", [32, 64, 128])
def test_company_changes_no_image(size: int) -> None:
    quick = find_entry("celeba-superres").with_preset("quick")
    restore = load_restorer(quick, CPU, random=True, image_size=size)
    x = torch.randn(5, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = restore(x, 2)
        assert torch.equal(together, torch.cat([restore(x[:2], 2), restore(x[2:], 2)]))
        assert torch.equal(together[3:4], restore(x[3:4], 2))


def test_fewer_at_a_time_give_the_same_images() -> None:
    """Whoever runs out of memory may lower the number."""
    network = Counting()
    restore = Restorer(network, CPU, image_size=32)
    x = images(6, 32)
    expected = restore(x, 2)
    restore.chunk = 4
    torch.testing.assert_close(restore(x, 2), expected)
    assert network.given == [16, 4, 4]


def test_the_same_network_in_another_arithmetic() -> None:
    exact = load_restorer(find_entry("mnist-superres"), CPU)
    half = exact.in_arithmetic("bfloat16")
    assert half.network is exact.network
    assert (half.dtype, half.sha256, half.chunk, half.identity["dtype"]) == ("bfloat16", exact.sha256, 16, "bfloat16")
    with torch.inference_mode():
        a, b = exact(images(1, 32), 1), half(images(1, 32), 1)
    assert 1e-4 < (a - b).abs().max() < 0.1
    with pytest.raises(Missing, match="no tf32 on this cpu"):
        exact.in_arithmetic("tf32")
    with pytest.raises(Missing, match="no tf32 on this cpu"):
        load_restorer(find_entry("mnist-superres"), CPU, "tf32")
