"""The network of CIFAR-10 in Tables 1-3: the released one, parameter by parameter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from coldbench.core.errors import BadInput
from coldbench.diffusion.networks.ddpm_unet import DdpmUnet
from coldbench.diffusion.released import read_released


def test_full_size_parameter_count() -> None:
    with torch.device("meta"):
        network = DdpmUnet()
    assert sum(p.numel() for p in network.parameters()) == 35_746_307


def test_outputs_equal_the_released_ones(shared: Path) -> None:
    folder = shared / "fixtures" / "released"
    network = DdpmUnet(dim=32).eval()
    network.load_state_dict(read_released(folder / "ddpm_unet.model.pt").weights)
    expected = load_file(folder / "ddpm_unet.safetensors")
    with torch.inference_mode():
        y = network(expected["x"], expected["t"])
    torch.testing.assert_close(y, expected["y"], atol=1e-5, rtol=0)


def test_dropout_is_for_training_only() -> None:
    torch.manual_seed(0)
    network = DdpmUnet(dim=32, dim_mults=(1, 2), image_size=16, dropout=0.5)
    x, time = torch.randn(1, 3, 16, 16), torch.tensor([3])
    with torch.inference_mode():
        assert not torch.equal(network(x, time), network(x, time))
        network.eval()
        assert torch.equal(network(x, time), network(x, time))


@pytest.mark.parametrize("arguments", [{"dim": 48}, {"image_size": 20}, {"dim_mults": ()}])
def test_impossible_widths(arguments: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="DdpmUnet needs"):
        DdpmUnet(**arguments)  # type: ignore[arg-type]


def test_other_sizes_are_refused() -> None:
    network = DdpmUnet(dim=32, dim_mults=(1,), image_size=16)
    with pytest.raises(BadInput, match="images of 16 pixels"):
        network(torch.zeros(1, 3, 32, 32), torch.tensor([0]))
