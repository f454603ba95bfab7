"""The network: parameter names and counts of the released one, and per-image independence."""

from __future__ import annotations

import pytest
import torch

from coldbench.diffusion.networks.convnext_unet import ConvNextUnet, LinearAttention


@pytest.mark.parametrize(("channels", "parameters"), [(3, 56_615_708), (1, 56_612_916)])
def test_full_size_parameter_count(channels: int, parameters: int) -> None:
    with torch.device("meta"):
        network = ConvNextUnet(dim=64, dim_mults=(1, 2, 4, 8), channels=channels)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_released_parameter_names() -> None:
    names = set(ConvNextUnet(dim=8, dim_mults=(1, 2), channels=3).state_dict())
    assert {"time_mlp.1.weight", "downs.0.0.mlp.1.weight", "downs.1.0.net.0.g", "ups.0.3.bias"} <= names
    assert {"downs.0.2.fn.fn.to_qkv.weight", "mid_attn.fn.norm.b", "final_conv.0.ds_conv.weight"} <= names
    assert not {"downs.0.0.net.0.g", "final_conv.0.mlp.1.weight", "downs.1.3.weight"} & names


def test_images_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    network = ConvNextUnet(dim=8, dim_mults=(1, 2), channels=1).eval()
    x, time = torch.randn(3, 1, 16, 16), torch.tensor([0, 3, 7])
    with torch.inference_mode():
        together = network(x, time)
        alone = torch.cat([network(x[i : i + 1], time[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_attention_equals_its_definition() -> None:
    """The (C, C) form against queries, keys and values written out."""
    torch.manual_seed(0)
    attention = LinearAttention(16).double()
    x = torch.randn(2, 16, 6, 5, dtype=torch.float64)
    q, k, v = attention.to_qkv(x).reshape(2, 3, 4, 32, 30).unbind(dim=1)
    context = torch.einsum("bhdn,bhen->bhde", k.softmax(dim=-1), v)
    out = torch.einsum("bhde,bhdn->bhen", context, q * 32**-0.5).reshape(2, 128, 6, 5)
    torch.testing.assert_close(attention(x), attention.to_out(out))
