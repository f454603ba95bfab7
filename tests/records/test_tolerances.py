"""How far a number may move, by the arithmetic that it was computed in."""

from __future__ import annotations

import dataclasses

import pytest

from coldbench.diffusion import ARITHMETICS
from coldbench.records.drift import Status, compare_records
from coldbench.records.record import Record
from coldbench.records.tolerances import arithmetic, device_class, tolerance
from tests.helpers import changed, edited

GPU = "NVIDIA H100"


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("dtype", ARITHMETICS)
def test_every_arithmetic_has_a_tolerance(dtype: str, device: str, records: list[Record]) -> None:
    """Those of fewer digits than float32 have that of bfloat16, the one of the fewest."""
    kind = "cpu" if device == "cpu" else "gpu"
    for record in records:
        now = edited(record, conditions={"dtype": dtype, "device": device})
        like = "float32" if dtype == "float32" else "bfloat16"
        assert tolerance(now) == record.metric.tolerances[f"{like} {kind}"]
        assert arithmetic(now) == f"{dtype} {kind}"
    assert device_class(device) == kind


def test_a_metric_may_have_a_tolerance_of_its_own(records: list[Record]) -> None:
    metric = dataclasses.replace(
        records[-1].metric, tolerances={**records[-1].metric.tolerances, "tf32 gpu": 0.125, "float16 cpu": 0.25}
    )
    own = edited(records[-1], metric=metric, conditions={"dtype": "tf32", "device": GPU})
    assert tolerance(own) == 0.125
    assert tolerance(edited(own, conditions={"dtype": "float16", "device": "cpu"})) == 0.25
    assert tolerance(edited(own, conditions={"dtype": "float16"})) == metric.tolerances["bfloat16 gpu"]


@pytest.mark.parametrize("dtype", ["tf32", "float32-then-tf32", "float16"])
def test_a_check_holds_the_cheaper_of_two_to_its_tolerance(dtype: str, records: list[Record]) -> None:
    record = next(each for each in records if (each.where.method, each.metric.label) == ("sampled", "SSIM"))
    allowed, value = record.metric.tolerances["bfloat16 gpu"], record.value or 0.0
    for moved, status in ((0.9 * allowed, Status.SAME), (1.1 * allowed, Status.MOVED)):
        conditions = {"dtype": dtype, "device": GPU}
        now = changed(records, "sampled", "SSIM", value=value + moved, conditions=conditions)
        (drift,) = [each for each in compare_records(records, now) if each.record.key == record.key]
        assert drift.status == status
        assert not drift.same_arithmetic
    half = changed(records, "sampled", "SSIM", conditions={"dtype": "bfloat16", "device": GPU})
    (drift,) = [each for each in compare_records(half, now) if each.record.key == record.key]
    assert not drift.same_arithmetic, "an update does not put one arithmetic in the place of another"
