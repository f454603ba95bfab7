"""What every registered metric obeys: its accumulators, its direction, its audit; and how metrics are found."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from coldbench.core.errors import BadInput, CheckFailed
from coldbench.metrics import fid, kernel, manifold
from coldbench.metrics.audit import AUDITED, audited
from coldbench.metrics.features import FID_FEATURES
from coldbench.metrics.metric import METRICS, Metric, find_metrics, mean_over_images
from coldbench.metrics.pixelwise import SSIM

NAMES = ["FID", "KID", "Precision", "Recall", "SSIM", "RMSE", "PSNR", "LPIPS"]
#: Where the distance of two sets is computed, so that it can be broken.
DISTANCES = {
    "FID": (fid, "frechet_distance"),
    "KID": (kernel, "kernel_distance"),
    "Precision": (manifold, "precision"),
    "Recall": (manifold, "recall"),
}


def per_image_bias(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean difference of an image from its original."""
    return (prediction - target).abs().mean(dim=(1, 2, 3))


bias = mean_over_images("Bias", per_image_bias, better="lower", decimals=3)
ssim = dataclasses.replace(bias, name="SSIM")


@pytest.fixture(params=NAMES)
def metric(request: pytest.FixtureRequest) -> Metric:
    if request.param == "LPIPS":
        request.getfixturevalue("random_alexnet")
    (found,) = find_metrics([request.param])
    found.ready()
    return found


def batch(metric: Metric, seed: int, count: int = 17) -> tuple[Tensor, ...]:
    """What an accumulator of the metric takes: images and originals, or features."""
    generator = torch.Generator().manual_seed(seed)
    if metric.reads == "features":
        return (torch.randn(count, 6, generator=generator),)
    return tuple(torch.rand(2, count, 1, 32, 32, generator=generator))


def value(metric: Metric, seen: Any) -> float:
    """The number of one accumulator; of features, against those of another set."""
    if metric.reads == "pairs":
        return metric.result(seen)
    against = metric.accumulator()
    against.update(*batch(metric, 99))
    return metric.result(seen, against)


def fed(metric: Metric, *parts: tuple[Tensor, ...]) -> Any:
    seen = metric.accumulator()
    for part in parts:
        seen.update(*part)
    return seen


def parts_of(whole: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """Three uneven batches."""
    return list(zip(*(tensor.split([2, 10, 5]) for tensor in whole), strict=True))


def stored(state: Any) -> Any:
    """A state through a file, as resuming reads it: no code runs in what is loaded."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_all_metrics_are_tested_here() -> None:
    assert list(METRICS) == NAMES


def test_merging_equals_seeing_everything(metric: Metric) -> None:
    whole = batch(metric, 0)
    expected = value(metric, fed(metric, whole))
    assert value(metric, fed(metric, *parts_of(whole))) == pytest.approx(expected, rel=1e-6)
    first, *others = (fed(metric, part) for part in parts_of(whole))
    for other in others:
        first.merge(other)
    assert value(metric, first) == pytest.approx(expected, rel=1e-6)


def test_merging_leaves_the_other_as_it_was(metric: Metric) -> None:
    """A jackknife merges each group into many totals."""
    group, more = fed(metric, batch(metric, 0)), fed(metric, batch(metric, 1))
    before = value(metric, group)
    for _ in range(2):
        total = metric.accumulator()
        total.merge(group)
        total.merge(more)
        total.update(*batch(metric, 2))
        assert value(metric, group) == before
        assert group.count == 17


def test_merging_nothing_changes_nothing(metric: Metric) -> None:
    seen, empty = fed(metric, batch(metric, 0)), metric.accumulator()
    expected = value(metric, seen)
    seen.merge(metric.accumulator())
    empty.merge(seen)
    assert value(metric, seen) == value(metric, empty) == pytest.approx(expected, rel=1e-12)


def test_accumulators_count_images(metric: Metric) -> None:
    seen = metric.accumulator()
    assert seen.count == 0
    for part, expected in zip(parts_of(batch(metric, 0)), (2, 12, 17), strict=True):
        seen.update(*part)
        assert seen.count == expected
    seen.merge(fed(metric, batch(metric, 1)))
    assert seen.count == 34


@pytest.mark.parametrize("stopped_after", [0, 1, 2, 3])
def test_states_survive_a_file(metric: Metric, stopped_after: int) -> None:
    """And what goes on from there ends as what never stopped; before the first image, too."""
    parts = parts_of(batch(metric, 0))
    resumed = metric.accumulator()
    resumed.load_state_dict(stored(fed(metric, *parts[:stopped_after]).state_dict()))
    assert resumed.count == sum((2, 10, 5)[:stopped_after])
    for part in parts[stopped_after:]:
        resumed.update(*part)
    undisturbed = fed(metric, *parts)
    assert resumed.count == undisturbed.count
    assert value(metric, resumed) == value(metric, undisturbed)
    total = metric.accumulator()
    total.merge(resumed)
    assert value(metric, total) == pytest.approx(value(metric, undisturbed), rel=1e-12)


def test_a_state_replaces_what_was_there(metric: Metric) -> None:
    seen, other = fed(metric, batch(metric, 0)), fed(metric, batch(metric, 1))
    other.load_state_dict(stored(seen.state_dict()))
    assert value(metric, other) == value(metric, seen)
    other.load_state_dict(stored(metric.accumulator().state_dict()))
    assert other.count == 0


def test_worse_images_have_worse_numbers(metric: Metric) -> None:
    generator = torch.Generator().manual_seed(1)
    if metric.reads == "features":
        clean = torch.randn(50, 6, generator=generator)
        noise = torch.randn(50, 6, generator=generator)
        reference = fed(metric, (clean,))
        found = [metric.result(fed(metric, (clean + s * (1 + noise),)), reference) for s in (0.1, 0.3, 1.0)]
    else:
        coarse = torch.rand(8, 1, 8, 8, generator=generator)
        clean = torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")
        noise = torch.randn(clean.shape, generator=generator)
        found = [metric.result(fed(metric, (clean + s * noise, clean))) for s in (0.02, 0.1, 0.4)]
    assert found == sorted(found, reverse=metric.better == "higher")
    assert found[0] != found[-1]


def test_equal_images_have_the_best_number(metric: Metric) -> None:
    """Of features that hardly differ, the unbiased KID is a little below zero."""
    best = {"SSIM": 1.0, "PSNR": float("inf"), "Precision": 1.0, "Recall": 1.0}.get(metric.name, 0.0)
    if metric.reads == "pairs":
        images = batch(metric, 0)[0]
        assert metric.result(fed(metric, (images, images))) == pytest.approx(best, abs=1e-9)
    else:
        seen = fed(metric, batch(metric, 0))
        number = metric.result(seen, seen)
        assert number >= best if metric.better == "higher" else number <= 1e-9


def test_every_metric_has_a_tolerance_for_every_arithmetic(metric: Metric) -> None:
    arithmetics = {f"{dtype} {device}" for dtype in ("float32", "bfloat16") for device in ("cpu", "gpu")}
    assert metric.tolerances.keys() == arithmetics
    assert all(tolerance > 0 for tolerance in metric.tolerances.values())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "LPIPS"])
def test_the_audit_passes_a_right_metric_and_finds_a_broken_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (metric,) = find_metrics([name])
    taken = batch(metric, 0, AUDITED)
    images, against = taken if metric.reads == "pairs" else (taken[0], batch(metric, 1, AUDITED)[0] * 1.3)
    assert (audited(metric, images, against, "sampled") or 0.0) <= metric.audit_tolerance
    if metric.reads == "pairs":
        right = metric.result
        broken = dataclasses.replace(metric, result=lambda seen: right(seen) * 1.01)
    else:
        module, distance = DISTANCES[name]
        right = getattr(module, distance)
        monkeypatch.setattr(module, distance, lambda a, b: right(a, b) * 1.01)
        broken = metric
    label = re.escape(metric.label("mine"))
    message = rf"^audit failed: the {label} of sampled is .* from the reference's, more than 1e-0\d$"
    with pytest.raises(CheckFailed, match=message):
        audited(broken, images, against, "sampled", "mine")


@pytest.mark.parametrize("deviation", [1.1e-6, float("nan"), float("inf")])
def test_a_deviation_above_its_tolerance_fails(deviation: float) -> None:
    images = torch.zeros(2, 1, 8, 8)
    assert audited(dataclasses.replace(bias, audit=lambda x, y: 0.9e-6), images, images, "direct") == 0.9e-6
    with pytest.raises(CheckFailed, match="audit failed: the Bias of direct is"):
        audited(dataclasses.replace(bias, audit=lambda x, y: deviation), images, images, "direct")


def test_a_metric_without_a_reference_is_not_audited() -> None:
    (lpips,) = find_metrics(["LPIPS"])
    images = torch.zeros(2, 1, 8, 8)
    assert audited(bias, images, images, "direct") is None
    assert lpips.reference is None
    assert lpips.audit is None


def test_a_reference_is_audited_by_the_difference() -> None:
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    right = dataclasses.replace(bias, reference=lambda x, y: float((x - y).abs().mean()))
    assert audited(right, images, images + 0.5, "direct") == pytest.approx(0, abs=1e-6)
    with pytest.raises(CheckFailed):
        audited(dataclasses.replace(bias, reference=lambda x, y: 0.51), images, images + 0.5, "direct")


def test_metrics_are_found_whatever_their_case_and_each_once() -> None:
    found = find_metrics(["psnr", "Fid", "PSNR", f"{__name__}:bias"])
    assert [metric.name for metric in found] == ["PSNR", "FID", "Bias"]
    assert find_metrics([]) == ()


def test_installed_packages_add_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = importlib.metadata.EntryPoint("Bias", f"{__name__}:bias", "coldbench.metrics")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [plugin] if group == plugin.group else [])
    assert find_metrics(["bias"]) == (bias,)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["SIMM"], r"unknown metric 'SIMM'; did you mean SSIM"),
        (["math:pi"], r"metric 'math:pi' is float, not a coldbench\.Metric"),
        (["SSIM", f"{__name__}:ssim"], "is called SSIM, which is another metric"),
    ],
)
def test_what_is_no_metric_is_named(names: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        find_metrics(names)


def test_a_number_in_another_feature_space_carries_its_name() -> None:
    labels = {
        metric.name: (metric.label(), metric.label(FID_FEATURES), metric.label("mnist-cnn"))
        for metric in find_metrics(["FID", "KID", "Recall", "SSIM"])
    }
    assert labels == {
        "FID": ("FD[]", "FID", "FD[mnist-cnn]"),
        "KID": ("KID[]", "KID", "KID[mnist-cnn]"),
        "Recall": ("Recall[]", "Recall", "Recall[mnist-cnn]"),
        "SSIM": ("SSIM", "SSIM", "SSIM"),
    }


def test_a_mean_over_no_image_is_no_number() -> None:
    assert str(bias.result(bias.accumulator())) == "nan"


@pytest.mark.parametrize(
    ("per_image", "found"),
    [
        (lambda x, y: (x - y).abs().mean(), r"shape \(\)"),
        (lambda x, y: (x - y).abs(), r"shape \(4, 1, 16, 16\)"),
        (lambda x, y: 0.5, "float"),
    ],
)
def test_a_mean_over_images_needs_a_number_of_each_image(
    per_image: Callable[[Tensor, Tensor], Tensor], found: str
) -> None:
    metric = mean_over_images("M", per_image, better="lower")
    images = torch.rand(4, 1, 16, 16)
    with pytest.raises(BadInput, match=rf"one number an image, shape \(4,\), not {found}"):
        metric.accumulator().update(images, images)


@pytest.mark.parametrize("facts", [{"better": "up"}, {"reads": "images"}, {"decimals": -1}, {"name": ""}])
def test_a_metric_that_no_record_could_hold_is_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        dataclasses.replace(SSIM, **facts)


def test_every_arithmetic_has_a_tolerance() -> None:
    metric = dataclasses.replace(SSIM, tolerances={"float32 cpu": 0.5})
    assert metric.tolerances["float32 cpu"] == 0.5
    assert {"float32 gpu", "bfloat16 cpu", "bfloat16 gpu"} < set(metric.tolerances)
