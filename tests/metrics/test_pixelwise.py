"""SSIM, PSNR and RMSE against scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from coldbench.metrics.audit import audited
from coldbench.metrics.pixelwise import PSNR, RMSE, SSIM, SquaredError, psnr_per_image, ssim_per_image

SSIM_CASES = {
    "noise": lambda g: (torch.rand(2, 3, 32, 32, generator=g), torch.rand(2, 3, 32, 32, generator=g)),
    "out of range": lambda g: (torch.rand(1, 1, 20, 27, generator=g) * 3 - 1, torch.rand(1, 1, 20, 27, generator=g)),
    "identical": lambda g: (torch.full((1, 1, 16, 16), 0.3), torch.full((1, 1, 16, 16), 0.3)),
    "constant": lambda g: (torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)),
    "smallest": lambda g: (torch.rand(1, 1, 11, 11, generator=g), torch.rand(1, 1, 11, 11, generator=g)),
}


@pytest.mark.parametrize("case", SSIM_CASES)
def test_ssim_equals_scikit_image(case: str) -> None:
    x, y = SSIM_CASES[case](torch.Generator().manual_seed(0))
    expected = [
        structural_similarity(
            a.double().numpy(),
            b.double().numpy(),
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
        )
        for a, b in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(ssim_per_image(x, y).numpy(), expected, atol=1e-12)


def test_rmse_is_one_root_over_everything() -> None:
    target = torch.zeros(4, 1, 2, 2)
    prediction = torch.tensor([0.0, 0.0, 0.0, 1.0])[:, None, None, None].expand(4, 1, 2, 2)
    meter = SquaredError()
    meter.update(prediction[:1], target[:1])
    meter.update(prediction[1:], target[1:])
    # The mean of per-image roots would be .25.
    assert meter.result() == pytest.approx(0.5)


@pytest.mark.parametrize("case", ["noise", "out of range", "constant", "smallest"])
def test_psnr_equals_scikit_image(case: str) -> None:
    """Its definition for a data range of 1, over all channels of an image."""
    x, y = SSIM_CASES[case](torch.Generator().manual_seed(0))
    pairs = [(a.double().numpy(), b.double().numpy()) for a, b in zip(x, y, strict=True)]
    expected = [peak_signal_noise_ratio(target, image, data_range=1) for image, target in pairs]
    np.testing.assert_allclose(psnr_per_image(x, y).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_psnr_is_a_mean_over_images_in_decibels() -> None:
    """Errors of 0.1 and 0.01: 20 and 40 dB. The PSNR of the mean squared error would be 23."""
    target = torch.zeros(2, 3, 16, 16)
    meter = PSNR.accumulator()
    meter.update(target + torch.tensor([0.1, 0.01])[:, None, None, None], target)
    assert PSNR.result(meter) == pytest.approx(30, abs=1e-5)
    assert (PSNR.better, PSNR.decimals) == ("higher", 2)


def test_equal_images_have_an_infinite_psnr_and_pass_the_audit(images: Tensor) -> None:
    meter = PSNR.accumulator()
    meter.update(images, images)
    assert math.isinf(PSNR.result(meter))
    for metric in (PSNR, SSIM, RMSE):
        assert audited(metric, images, images, "sampled") == pytest.approx(0, abs=1e-12)
