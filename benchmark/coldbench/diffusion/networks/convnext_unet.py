"""The ConvNeXt U-Net of the paper: the restoration network R(x, t) of every row but CIFAR-10 in Tables 1-3.

Parameter names equal those of the released checkpoints, so that their state dicts load unchanged. That is why
some attributes keep the names the released files use (``ds_conv``, ``fn.fn.to_qkv``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coldbench.core.errors import BadInput
from coldbench.diffusion.networks.embedding import SinusoidalEmbedding


class ConvNextUnet(nn.Module):
    """U-Net of ConvNeXt blocks and linear attention.

    Args:
        dim: width of the first level; also the width of the time embedding. The paper uses 64.
        dim_mults: width of each level as a multiple of ``dim``. The paper uses (1, 2, 4, 8).
        channels: image channels C, in and out.

    Images are float tensors (B, C, H, W) in [-1, 1]; H and W must divide by 2 ** (levels - 1).

    Raises:
        BadInput: widths that the network cannot have.
    """

    def __init__(self, dim: int = 64, dim_mults: Sequence[int] = (1, 2, 4, 8), channels: int = 3) -> None:
        super().__init__()
        if dim < 4 or dim % 2 or not dim_mults or dim_mults[0] != 1:
            # The head takes ``dim`` channels, and the embedding is half sines, half cosines.
            raise BadInput(
                f"ConvNextUnet needs an even dim of 4 or more and dim_mults that begin with 1, not {dim}, {dim_mults}"
            )
        widths = [channels, *(dim * mult for mult in dim_mults)]
        levels = list(pairwise(widths))

        self.time_mlp = nn.Sequential(
            SinusoidalEmbedding(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)
        )
        self.downs = nn.ModuleList(
            nn.ModuleList(
                [
                    # The raw image enters the first block unnormalised, as in the released network.
                    ConvNextBlock(d_in, d_out, time_dim=dim, norm=level > 0),
                    ConvNextBlock(d_out, d_out, time_dim=dim),
                    residual_attention(d_out),
                    nn.Conv2d(d_out, d_out, 4, 2, 1) if level < len(levels) - 1 else nn.Identity(),
                ]
            )
            for level, (d_in, d_out) in enumerate(levels)
        )
        bottom = widths[-1]
        self.ups = nn.ModuleList(
            nn.ModuleList(
                [
                    ConvNextBlock(2 * d_out, d_in, time_dim=dim),
                    ConvNextBlock(d_in, d_in, time_dim=dim),
                    residual_attention(d_in),
                    nn.ConvTranspose2d(d_in, d_in, 4, 2, 1),
                ]
            )
            for d_in, d_out in reversed(levels[1:])
        )
        self.mid_block1 = ConvNextBlock(bottom, bottom, time_dim=dim)
        self.mid_attn = residual_attention(bottom)
        self.mid_block2 = ConvNextBlock(bottom, bottom, time_dim=dim)
        self.final_conv = nn.Sequential(ConvNextBlock(dim, dim), nn.Conv2d(dim, channels, 1))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Predict the clean image.

        Args:
            x: degraded images (B, C, H, W).
            time: int64 time indices (B,), 0-based: ``s - 1`` for an image degraded s times.

        Returns:
            x0 estimates (B, C, H, W), unclamped.
        """
        temb = self.time_mlp(time)
        skips = []
        for block1, block2, attention, downsample in map(_stages, self.downs):
            x = attention(block2(block1(x, temb), temb))
            skips.append(x)
            x = downsample(x)
        x = self.mid_block2(self.mid_attn(self.mid_block1(x, temb)), temb)
        # zip stops one level short: the released network computes the full-resolution skip and never reads it.
        for level, skip in zip(self.ups, reversed(skips), strict=False):
            block1, block2, attention, upsample = _stages(level)
            x = block1(torch.cat((x, skip), dim=1), temb)
            x = upsample(attention(block2(x, temb)))
        return self.final_conv(x)


class ConvNextBlock(nn.Module):
    """Depthwise 7x7 (+ time) -> norm -> 3x3 -> GELU -> 3x3, plus the block's input."""

    def __init__(self, d_in: int, d_out: int, *, time_dim: int | None = None, norm: bool = True) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.GELU(), nn.Linear(time_dim, d_in)) if time_dim else None
        self.ds_conv = nn.Conv2d(d_in, d_in, 7, padding=3, groups=d_in)
        self.net = nn.Sequential(
            ChannelLayerNorm(d_in) if norm else nn.Identity(),
            nn.Conv2d(d_in, 2 * d_out, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * d_out, d_out, 3, padding=1),
        )
        self.res_conv = nn.Conv2d(d_in, d_out, 1) if d_in != d_out else nn.Identity()

    def forward(self, x: Tensor, temb: Tensor | None = None) -> Tensor:
        h = self.ds_conv(x)
        if self.mlp is not None and temb is not None:
            h = h + self.mlp(temb)[:, :, None, None]
        return self.net(h) + self.res_conv(x)


class ChannelLayerNorm(nn.Module):
    """Layer norm over the channels of each pixel: biased variance, eps 1e-5."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, dim, 1, 1))
        self.b = nn.Parameter(torch.zeros(1, dim, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        pixels = F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],), self.g.flatten(), self.b.flatten(), eps=1e-5)
        return pixels.permute(0, 3, 1, 2)


class LinearAttention(nn.Module):
    """Attention linear in the number of pixels: softmax over positions on the keys only.

    With X the pixels (N, C) and K = softmax(W_k X^T) one head's keys, a head gives
    W_o (K X W_v^T)^T W_q X^T / sqrt(head_dim). Everything but X^T on the right is a (C, C) matrix an image, so queries
    and values, hundreds of channels at full resolution, are never formed: several times less memory traffic.
    """

    heads, head_dim = 4, 32

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = self.heads * self.head_dim
        self.to_qkv = nn.Conv2d(dim, 3 * hidden, 1, bias=False)
        self.to_out = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, dim, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(batch, height * width, dim)
        w_q, w_k, w_v = self.to_qkv.weight.reshape(3, self.heads, self.head_dim, dim)
        w_o = self.to_out.weight.reshape(dim, self.heads, self.head_dim).transpose(0, 1)

        # bmm, because matmul would fold the batch into the pixels and then copy the keys to transpose them.
        w_k = w_k.reshape(1, -1, dim).expand(batch, -1, -1)
        keys = torch.bmm(w_k, pixels.transpose(1, 2)).softmax(dim=-1)
        gathered = (keys @ pixels).reshape(batch, self.heads, self.head_dim, dim)
        context = gathered @ w_v.transpose(1, 2)
        per_head = w_o @ context.transpose(2, 3) @ w_q * self.head_dim**-0.5
        out = pixels @ per_head.sum(dim=1).transpose(1, 2) + self.to_out.bias
        return out.reshape(batch, height, width, dim).permute(0, 3, 1, 2)


class PreNorm(nn.Module):
    def __init__(self, dim: int, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn
        self.norm = ChannelLayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(self.norm(x))


class Residual(nn.Module):
    """fn(x) + x."""

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x) + x


def _stages(level: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
    """The two blocks, the attention and the resampling of one level."""
    block1, block2, attention, resample = level.children()
    return block1, block2, attention, resample


def residual_attention(dim: int) -> Residual:
    """x + attention(norm(x)), nested so that parameters are named as in the released files."""
    return Residual(PreNorm(dim, LinearAttention(dim)))
