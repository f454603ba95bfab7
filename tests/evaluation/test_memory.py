"""Where memory ends: a device's is met with half as many images at a time, which changes no number."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.restoration import Task, measure
from coldbench.metrics.features import FeatureSpace
from tests.helpers import restoration_task


def halves(x: Tensor) -> Tensor:
    """A restorer that does the same to every image, however many there are."""
    return x * 0.5


def corners(x: Tensor) -> Tensor:
    """Features of each image: nine of its pixels."""
    return x[:, :, ::15, ::15].flatten(1)


def task(restore: Restore, extract: object = corners) -> Task:
    """Super-resolution of 40 digits, all in one batch."""
    space = FeatureSpace("corners", hashlib.sha256(b"corners").hexdigest(), extract)  # type: ignore[arg-type]
    made = restoration_task("mnist-superres", 40, 40, metrics=("FID", "SSIM"), timesteps=1)
    return dataclasses.replace(made, restore=restore, features=[space])


class Small:
    """What holds a few images at a time."""

    def __init__(self, most: int, error: BaseException) -> None:
        self.most, self.error, self.seen = most, error, []

    def hold(self, x: Tensor) -> None:
        self.seen.append(len(x))
        if len(x) > self.most:
            raise self.error


TORCH = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")
CUDNN = RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")


@pytest.mark.parametrize("error", [TORCH, CUDNN], ids=["torch", "cudnn"])
def test_a_device_that_holds_less_is_given_less(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    device = Small(6, error)

    def restore(x: Tensor, s: int) -> Tensor:
        device.hold(x)
        return halves(x)

    whole = measure(task(lambda x, s: halves(x)))
    outcome = measure(task(restore))
    assert device.seen[:4] == [40, 20, 10, 5]
    assert set(device.seen[4:]) == {5}, "what was found out is kept"
    assert outcome.values == pytest.approx(whole.values, rel=1e-6)
    assert "out of memory with 40 images at a time: going on with 20" in capsys.readouterr().err


def test_features_are_taken_of_fewer_images_too() -> None:
    device = Small(7, TORCH)

    def extract(x: Tensor) -> Tensor:
        device.hold(x)
        return corners(x)

    outcome = measure(task(lambda x, s: halves(x), extract))
    assert max(each for each in device.seen if each <= 7) >= 5
    assert outcome.values == pytest.approx(measure(task(lambda x, s: halves(x))).values, rel=1e-6)


@pytest.mark.parametrize(
    ("error", "where"), [(TORCH, "device"), (MemoryError(), "host"), (RuntimeError("std::bad_alloc"), "host")]
)
def test_where_less_does_not_help_the_option_is_named(error: BaseException, where: str) -> None:
    def restore(x: Tensor, s: int) -> Tensor:
        raise error

    with pytest.raises(BadInput, match=f"^the {where} is out of memory: lower --batch-size$"):
        measure(task(restore))
