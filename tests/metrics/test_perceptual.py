"""LPIPS: what it says where something is absent, and that it runs where nothing is."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from coldbench.core.errors import BadInput, Missing
from coldbench.metrics import perceptual
from coldbench.metrics.perceptual import LPIPS, WEIGHTS, lpips_per_image, ready


def test_absent_weights_are_said_and_not_fetched(images: Tensor) -> None:
    for ask in (ready, LPIPS.ready, lambda: lpips_per_image(images, images)):
        with pytest.raises(Missing, match=r"^no LPIPS weights: coldbench fetch lpips$"):
            ask()
    assert not WEIGHTS.path.exists()


def test_an_absent_torchmetrics_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)  # as if it were not installed
    with pytest.raises(Missing, match=r"^LPIPS needs torchmetrics: pip install 'coldbench\[lpips\]'$"):
        ready()


def test_damaged_weights_are_refused(images: Tensor) -> None:
    WEIGHTS.path.parent.mkdir(parents=True)
    WEIGHTS.path.write_bytes(b"damaged")
    with pytest.raises(BadInput, match="is damaged"):
        lpips_per_image(images, images)


def test_lpips_runs_and_is_a_mean_over_images(random_alexnet: None, images: Tensor) -> None:
    """With random weights in the place of those that cannot ship: nothing of its value, all of the way to it."""
    LPIPS.ready()
    x, y = (images + 1) / 2, (images.flip(0) + 1) / 2
    with torch.inference_mode():
        each = lpips_per_image(x, y)
        assert each.shape == (2,)
        assert (each > 0).all()
        assert lpips_per_image(x, x).tolist() == [0, 0]
        meter = LPIPS.accumulator()
        meter.update(x, y)
        assert LPIPS.result(meter) == pytest.approx(each.mean().item(), rel=1e-6)
        alone = torch.cat([lpips_per_image(x[i : i + 1], y[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(each, alone, rtol=1e-4, atol=1e-7)


def test_grey_is_taken_for_colour_and_values_are_clamped(random_alexnet: None) -> None:
    x, y = torch.rand(2, 2, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.2
    with torch.inference_mode():
        grey = lpips_per_image(x, y)
        torch.testing.assert_close(lpips_per_image(x.clamp(0, 1).repeat(1, 3, 1, 1), y.repeat(1, 3, 1, 1)), grey)


def test_the_smallest_image_is_the_smallest(random_alexnet: None) -> None:
    smallest = perceptual.SMALLEST
    assert LPIPS.smallest == smallest
    with torch.inference_mode():
        lpips_per_image(torch.zeros(1, 1, smallest, smallest), torch.ones(1, 1, smallest, smallest))
        with pytest.raises(RuntimeError):
            lpips_per_image(torch.zeros(1, 1, smallest - 1, smallest - 1), torch.ones(1, 1, smallest - 1, smallest - 1))
