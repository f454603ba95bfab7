"""``coldbench compare``, and the verdicts it gives."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from PIL import Image

from coldbench.commands.compare import CompareOptions, compare_methods
from coldbench.core.errors import BadInput, Missing
from coldbench.evaluation.restoration import measure
from coldbench.metrics.intervals import Estimate
from coldbench.records.comparison import Comparison, Setting, Side
from tests.helpers import assert_one_clear_line, coldbench
from tests.evaluation.test_restoration import task

SETTING = Setting(100, 0, "paper", "MNIST", None, "cpu", "float32", 64, {}, "")


def compared(metric: str, a: tuple[float, ...], b: tuple[float, ...], *, same_task: bool = True) -> Comparison:
    sides = [
        Side(name, Estimate(sum(values) / len(values), values), f"model-{name if not same_task else ''}", None)
        for name, values in (("a", a), ("b", b))
    ]
    return Comparison(metric, "", None, sides[0], sides[1], SETTING)


LOW, HIGH = (1.0, 1.1, 0.9, 1.0), (2.0, 2.1, 1.9, 2.0)


@pytest.mark.parametrize(
    ("metric", "a", "b", "verdict"),
    [
        ("FD", LOW, HIGH, "a is better"),
        ("FID", HIGH, LOW, "b is better"),
        ("RMSE", LOW, HIGH, "a is better"),
        ("SSIM", LOW, HIGH, "b is better"),
        ("SSIM", LOW, LOW, ""),
        ("FD", LOW, (0.0, 3.0, 1.0, 0.0), ""),
        ("FD", LOW[:2], HIGH[:2], ""),
    ],
)
def test_a_verdict_only_where_the_interval_excludes_zero(
    metric: str, a: tuple[float, ...], b: tuple[float, ...], verdict: str
) -> None:
    assert compared(metric, a, b).verdict == verdict


def test_methods_of_different_tasks_are_not_paired() -> None:
    shared = (0.0, 5.0, -5.0, 1.0)
    a, b = shared, tuple(value + 1 for value in shared)
    assert compared("FD", a, b).verdict == "a is better"
    apart = compared("FD", a, b, same_task=False)
    assert (apart.paired, apart.verdict) == (False, "")


def test_values_are_those_of_run(tmp_path: Path) -> None:
    options = CompareOptions(
        methods=("direct", "improved"), models=("mnist-superres",), images=50, output=tmp_path, quiet=True
    )
    values = measure(task("mnist-superres", 50)).values
    found = compare_methods(options)
    assert len(found) == 3
    for each in found:
        assert each.a.estimate.value == pytest.approx(values["direct", each.metric, each.features], rel=1e-9)
        assert each.b.estimate.value == pytest.approx(values["sampled", each.metric, each.features], rel=1e-9)
        assert each.outcome.value == pytest.approx(each.b.estimate.value - each.a.estimate.value)
        assert each.paired


def test_the_command_leaves_record_table_and_picture(tmp_path: Path) -> None:
    methods = ("naive", "improved", "direct")
    done = coldbench("compare", *methods, "--model", "mnist-superres", "--images", "64", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    stem = tmp_path / "naive-vs-improved-vs-direct"
    assert stem.with_suffix(".md").read_text() == done.stdout
    records = json.loads(stem.with_suffix(".json").read_text())
    assert {(r["method_a"], r["method_b"]) for r in records} == {
        ("naive", "improved"), ("naive", "direct"), ("improved", "direct")
    }  # fmt: skip
    for record in records:
        low, high = record["difference_interval"]
        assert low <= record["difference"] <= high
        assert (record["verdict"] != "") == (low > 0 or high < 0)
        assert record["images"] == 64
        assert record["checkpoint_sha256_a"]
    with Image.open(stem.with_suffix(".png")) as picture:
        assert picture.height == 5 * (3 * 32 + 4)  # original, degraded and the three


@pytest.mark.parametrize("style", ["markdown", "latex", "csv", "html", "json"])
def test_formats(style: str, tmp_path: Path) -> None:
    arguments = ("--model", "mnist-superres", "--images", "2", "--format", style, "--quiet", "--output", tmp_path)
    done = coldbench("compare", "degraded", "direct", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"markdown": "| SSIM", "latex": "\\toprule", "csv": "SSIM,", "html": "<td>SSIM</td>", "json": "["}[
        style
    ] in done.stdout
    if style == "json":
        assert all(
            r["difference_interval"] is None and not math.isnan(r["difference"]) for r in json.loads(done.stdout)
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("naive",), "two or more different methods"),
        (("naive", "naive"), "two or more different methods"),
        (("naive", "imporved"), "did you mean improved?"),
        (("naive", "ddpm"), "nothing to be compared by"),
        (("naive", "direct", "--model", "mnist-blurr"), "did you mean mnist-blur"),
        (("naive", "direct", "--model", "mnist-cnn"), "--model mnist-cnn serves none of these methods"),
        (("naive", "direct", "--model", "mnist-blur", "--model", "mnist-snow"), "mnist-snow is one too many"),
        (("ddpm", "fixed-noise", "--features", "none"), "no metric without features"),
        (("fixed-noise", "ddpm", "--model", "mnist-blur"), "--model mnist-blur serves none of these methods"),
        (("fixed-noise", "broken-symmetry", "--model", "celeba-noise"), "different data sets"),
    ],
)
def test_bad_requests(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    assert_one_clear_line(coldbench("compare", *arguments, "--output", tmp_path), 2, message)


def test_missing_weights_and_data_are_named() -> None:
    with pytest.raises(Missing, match="coldbench train celeba-noise"):
        compare_methods(CompareOptions(methods=("fixed-noise", "ddpm"), models=("celeba-noise",)))


def test_images_to_restore_are_none_to_generate_from(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="but these methods generate"):
        compare_methods(CompareOptions(methods=("fixed-noise", "ddpm"), data="folder:x", output=tmp_path))
