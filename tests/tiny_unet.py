"""A UNet of diffusers' so small that a test can make one; it needs the extra [hub]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch


def save_tiny_unet(folder: Path, *, channels: int = 1, scheduler: dict[str, Any] | None = None, **changes: Any) -> Any:
    """Write a UNet with random weights, the same each time, and perhaps its scheduler; returns the UNet.

    Args:
        folder: to be made.
        channels: of the images.
        scheduler: arguments of DDPM's scheduler; no scheduler unless given.
        changes: other arguments of the UNet.
    """
    diffusers = pytest.importorskip("diffusers", reason="models from elsewhere need the extra [hub]")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = diffusers.UNet2DModel(
            **{
                "sample_size": 32,
                "in_channels": channels,
                "out_channels": channels,
                "block_out_channels": (8, 16),
                "layers_per_block": 1,
                "norm_num_groups": 4,
                "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
                "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
                **changes,
            }
        )
    unet.save_pretrained(folder)
    if scheduler is not None:
        diffusers.DDPMScheduler(**scheduler).save_pretrained(folder)
    return unet.eval()
