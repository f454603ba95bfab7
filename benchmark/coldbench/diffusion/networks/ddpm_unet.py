"""The U-Net of DDPM (Ho et al. 2020): the paper's network for CIFAR-10 in Tables 1-3.

Parameter names equal those of the released checkpoints, so that their state dicts load unchanged. That is why
some attributes keep the names the released files use (``temb.dense``, ``nin_shortcut``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coldbench.core.errors import BadInput
from coldbench.diffusion.networks.embedding import SinusoidalEmbedding

_GROUPS = 32


class DdpmUnet(nn.Module):
    """U-Net of residual blocks with group norm, and softmax attention at one resolution.

    Args:
        image_size: S, the only size of image it takes, in pixels.
        channels: image channels C, in and out.
        dim: width of the first level, a multiple of 32; a quarter of the time embedding's. The paper uses 128.
        dim_mults: width of each level as a multiple of ``dim``. The paper uses (1, 2, 2, 2).
        blocks: residual blocks of a level on the way down; the way up has one more.
        attention: the resolutions that have attention, in pixels.
        dropout: within the residual blocks, while training. The paper trains with .1.

    Raises:
        BadInput: widths or a size that the network cannot have.
    """

    def __init__(
        self,
        *,
        image_size: int = 32,
        channels: int = 3,
        dim: int = 128,
        dim_mults: Sequence[int] = (1, 2, 2, 2),
        blocks: int = 2,
        attention: Sequence[int] = (16,),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if dim % _GROUPS or not dim_mults or image_size % 2 ** (len(dim_mults) - 1):
            raise BadInput(
                f"DdpmUnet needs a dim that is a multiple of {_GROUPS} and an image size that can be halved at every "
                f"level, not {dim}, {image_size} and {dim_mults}"
            )
        self.image_size = image_size
        widths = [dim * mult for mult in dim_mults]
        last = len(widths) - 1

        def stage(level: int, widths_in: Sequence[int], resample: type[Downsample | Upsample] | None) -> Stage:
            attend = image_size >> level in attention
            return Stage(widths_in, widths[level], time_dim=4 * dim, attend=attend, dropout=dropout, resample=resample)

        self.temb = TimeEmbedding(dim)
        self.conv_in = nn.Conv2d(channels, dim, 3, padding=1)
        width, skips, down = dim, [dim], []
        for level in range(len(widths)):
            down.append(stage(level, [width, *[widths[level]] * (blocks - 1)], Downsample if level < last else None))
            width = widths[level]
            skips += [width] * (blocks + (level < last))
        self.down = nn.ModuleList(down)
        self.mid = Middle(width, time_dim=4 * dim, dropout=dropout)
        up: list[Stage] = []
        for level in reversed(range(len(widths))):
            ins = [skips.pop() + (width if block == 0 else widths[level]) for block in range(blocks + 1)]
            up.insert(0, stage(level, ins, Upsample if level > 0 else None))  # stored by level, run backwards
            width = widths[level]
        self.up = nn.ModuleList(up)
        self.norm_out = group_norm(width)
        self.conv_out = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Predict the clean image.

        Args:
            x: degraded images (B, C, S, S) in [-1, 1].
            time: int64 time indices (B,), 0-based: ``s - 1`` for an image degraded s times.

        Returns:
            x0 estimates (B, C, S, S), unclamped.

        Raises:
            BadInput: images of another size.
        """
        if x.shape[-2:] != (self.image_size, self.image_size):
            raise BadInput(f"this network takes images of {self.image_size} pixels, not {tuple(x.shape[-2:])}")
        temb = self.temb(time)
        x = self.conv_in(x)
        skips = [x]
        for stage in stages(self.down):
            for block, attention in stage.pairs():
                x = attention(block(x, temb))
                skips.append(x)
            if stage.resampling:
                x = stage.resample(x)
                skips.append(x)
        x = self.mid(x, temb)
        for stage in reversed(stages(self.up)):
            for block, attention in stage.pairs():
                x = attention(block(torch.cat((x, skips.pop()), dim=1), temb))
            x = stage.resample(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class TimeEmbedding(nn.Module):
    """(B,) -> (B, 4 dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.sinusoids = SinusoidalEmbedding(dim)
        self.dense = nn.ModuleList([nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, 4 * dim)])

    def forward(self, time: Tensor) -> Tensor:
        first, second = self.dense
        return second(F.silu(first(self.sinusoids(time))))


class Stage(nn.Module):
    """One resolution: residual blocks, each followed by attention where there is any, and a way to the next.

    Args:
        widths_in: of each block.
        width: that they give.
        time_dim: of the time embedding.
        attend: whether attention follows each block.
        dropout: see ``DdpmUnet``.
        resample: to the next resolution; None at the last.
    """

    def __init__(
        self,
        widths_in: Sequence[int],
        width: int,
        *,
        time_dim: int,
        attend: bool,
        dropout: float,
        resample: type[Downsample | Upsample] | None,
    ) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResidualBlock(d_in, width, time_dim=time_dim, dropout=dropout) for d_in in widths_in)
        self.attn = nn.ModuleList(Attention(width) for _ in widths_in if attend)
        self.resampling = resample.__name__.lower() if resample else ""
        if resample is not None:
            self.add_module(self.resampling, resample(width))

    def resample(self, x: Tensor) -> Tensor:
        """To the next resolution, if there is one."""
        return self.get_submodule(self.resampling)(x) if self.resampling else x

    def pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Each block with its attention, or with nothing."""
        return list(zip(self.block, self.attn or [nn.Identity()] * len(self.block), strict=True))


class Middle(nn.Module):
    """Block, attention, block at the lowest resolution."""

    def __init__(self, width: int, *, time_dim: int, dropout: float) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(width, width, time_dim=time_dim, dropout=dropout)
        self.attn_1 = Attention(width)
        self.block_2 = ResidualBlock(width, width, time_dim=time_dim, dropout=dropout)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x, temb)), temb)


class ResidualBlock(nn.Module):
    """norm -> 3x3 (+ time) -> norm -> dropout -> 3x3, plus the block's input."""

    def __init__(self, d_in: int, d_out: int, *, time_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = group_norm(d_in)
        self.conv1 = nn.Conv2d(d_in, d_out, 3, padding=1)
        self.temb_proj = nn.Linear(time_dim, d_out)
        self.norm2 = group_norm(d_out)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(d_out, d_out, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(d_in, d_out, 1) if d_in != d_out else nn.Identity()

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.temb_proj(F.silu(temb))[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return self.nin_shortcut(x) + h


class Attention(nn.Module):
    """Softmax attention among all positions, one head, plus its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = group_norm(width)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        return x + self.proj_out(attended)


class Downsample(nn.Module):
    """A 3x3 convolution of stride 2, padded to the right and below only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Every pixel doubled, then a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def stages(modules: nn.ModuleList) -> list[Stage]:
    """A list of stages, typed as such."""
    return cast("list[Stage]", list(modules))


def group_norm(width: int) -> nn.GroupNorm:
    """32 groups, eps 1e-6."""
    return nn.GroupNorm(_GROUPS, width, eps=1e-6)
