"""``coldbench compare``, and the verdicts it gives."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coldbench.commands.compare import compare, compared_rows
from coldbench.commands.request import Request
from coldbench.core.errors import BadInput, Missing
from coldbench.metrics.intervals import Estimate, difference
from coldbench.records.comparison import verdict
from coldbench.records.record import Record
from tests.helpers import assert_one_clear_line, coldbench

PLUGIN = "tests.example_plugin"
LOW, HIGH = (1.0, 1.1, 0.9, 1.0), (2.0, 2.1, 1.9, 2.0)


def estimate(values: tuple[float, ...]) -> Estimate:
    return Estimate(sum(values) / len(values), values)


def judged(record: Record, a: tuple[float, ...], b: tuple[float, ...], *, paired: bool = True) -> str:
    found = difference(estimate(a), estimate(b), paired=paired)
    return verdict(found.value, found.interval, "a", record)


def named(records: list[Record], metric: str, images: int = 100) -> Record:
    record = next(each for each in records if each.metric.name == metric and each.measured)
    where = dataclasses.replace(record.where, method="b")
    return dataclasses.replace(record, where=where, identity=dataclasses.replace(record.identity, images=images))


@pytest.mark.parametrize(
    ("metric", "a", "b", "expected"),
    [
        ("FID", LOW, HIGH, "a is better"),
        ("FID", HIGH, LOW, "b is better"),
        ("RMSE", LOW, HIGH, "a is better"),
        ("SSIM", LOW, HIGH, "b is better"),
        ("SSIM", LOW, LOW, ""),
        ("FID", LOW, (0.0, 3.0, 1.0, 0.0), ""),
        ("FID", LOW[:2], HIGH[:2], ""),
    ],
)
def test_a_verdict_only_where_the_interval_excludes_zero(
    metric: str, a: tuple[float, ...], b: tuple[float, ...], expected: str, records: list[Record]
) -> None:
    assert judged(named(records, metric), a, b) == expected


def test_a_verdict_on_few_images_says_so(records: list[Record]) -> None:
    assert judged(named(records, "SSIM", images=32), LOW, HIGH) == "b is better (32 images: indicative)"
    assert judged(named(records, "SSIM", images=99), LOW, HIGH) == "b is better (99 images: indicative)"


def test_methods_of_different_tasks_are_not_paired(records: list[Record]) -> None:
    shared = (0.0, 5.0, -5.0, 1.0)
    a, b = shared, tuple(value + 1 for value in shared)
    assert judged(named(records, "FID"), a, b) == "a is better"
    assert judged(named(records, "FID"), a, b, paired=False) == ""


def test_values_are_those_of_run(tmp_path: Path) -> None:
    options = Request(images=40, metrics=("SSIM", "RMSE"), quiet=True)
    found = compare(("direct", "improved"), options, models=("mnist-superres",), output=tmp_path)
    run = ("run", "--table", "3", "--rows", "mnist", "--images", "40", "--metrics", "SSIM,RMSE", "--quiet")
    stored = json.loads(coldbench(*run, "--output", tmp_path, "--format", "json").stdout)
    values = {(each["where"]["method"], each["metric"]["name"]): each["value"] for each in stored}
    by_key = {(each.where.method, each.metric.name): each for each in found}
    assert set(by_key) == {(method, metric) for method in ("direct", "improved") for metric in ("SSIM", "RMSE")}
    for metric in ("SSIM", "RMSE"):
        direct, improved = by_key["direct", metric], by_key["improved", metric]
        assert direct.value == pytest.approx(values["direct", metric], rel=1e-9)
        assert improved.value == pytest.approx(values["sampled", metric], rel=1e-9)
        (apart,) = improved.differences
        assert (apart.against, apart.paired) == ("direct", True)
        assert apart.value == pytest.approx(improved.value - direct.value)


def test_the_command_leaves_record_table_and_picture(tmp_path: Path) -> None:
    methods = ("naive", "improved", "direct")
    done = coldbench("compare", *methods, "--model", "mnist-superres", "--images", "32", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert "although the two intervals overlap" in done.stdout
    stem = tmp_path / "naive-vs-improved-vs-direct"
    assert stem.with_suffix(".md").read_text() == done.stdout
    stored = json.loads(stem.with_suffix(".json").read_text())
    pairs = {(each["against"], record["where"]["method"]) for record in stored for each in record["differences"]}
    assert pairs == {("naive", "improved"), ("naive", "direct"), ("improved", "direct")}
    for record in stored:
        assert record["identity"]["images"] == 32
        assert record["identity"]["checkpoint_sha256"]
        for each in record["differences"]:
            low, high = each["interval"]
            assert low <= each["value"] <= high
            assert (each["verdict"] != "") == (low > 0 or high < 0)
    with Image.open(stem.with_suffix(".png")) as picture:
        assert picture.height == 5 * (3 * 32 + 4)  # original, degraded and the three


def test_generators_of_one_model_are_paired_and_those_of_two_are_not(tmp_path: Path) -> None:
    few = ("--images", "6", "--quiet", "--output", tmp_path, "--format", "json")
    for names, paired in ((("fixed-noise", "estimated-noise"), True), (("estimated-noise", "broken-symmetry"), False)):
        done = coldbench("compare", *names, *few)
        assert done.returncode == 0, done.stderr
        assert {each["paired"] for record in json.loads(done.stdout) for each in record["differences"]} == {paired}


def restorers(tmp_path: Path, *names: str) -> tuple[object, ...]:
    compared = [f"{PLUGIN}:{name}" for name in names or ("half_more", "a_fifth_more")]
    return (
        *("compare", *compared, "--degradation", f"{PLUGIN}:Fade", "--set", "timesteps=5"),
        *("--data", f"{PLUGIN}:checkers", "--metrics", f"SSIM,{PLUGIN}:MAE", "--output", tmp_path, "--quiet"),
    )


def test_two_restorers_of_ones_own_are_paired(tmp_path: Path) -> None:
    """Each brings the grey back in part; the paired interval is far narrower than either number's own."""
    done = coldbench(*restorers(tmp_path), "--format", "json")
    assert done.returncode == 0, done.stderr
    found = {(r["where"]["method"], r["metric"]["name"]): r for r in json.loads(done.stdout)}
    better, worse = (found[f"{PLUGIN}:{name}", "MAE"] for name in ("half_more", "a_fifth_more"))
    (apart,) = worse["differences"]
    assert apart["paired"]
    assert apart["value"] == pytest.approx(worse["value"] - better["value"])
    assert apart["verdict"] == f"{PLUGIN}:half_more is better (40 images: indicative)"
    assert np.diff(apart["interval"]) < np.diff(worse["interval"])
    assert better["identity"]["checkpoint_sha256"] != worse["identity"]["checkpoint_sha256"]
    assert better["identity"]["images"] == 40, "all there are, since the default is more"
    assert len(list(tmp_path.glob("*.png"))) == 1
    checked = coldbench("check", "--reference", tmp_path, "--quiet")
    assert checked.returncode == 0, checked.stderr
    assert f"{PLUGIN}:half_more" in checked.stdout


def test_own_restorers_need_to_be_told_what_they_undo(tmp_path: Path) -> None:
    names = (f"{PLUGIN}:half_more", f"{PLUGIN}:a_fifth_more")
    degradation = ("--degradation", f"{PLUGIN}:Fade", "--output", tmp_path)
    assert_one_clear_line(coldbench("compare", *names, *degradation), 2, "say --degradation and --data")
    done = coldbench(*restorers(tmp_path, "Gain", "half_more"))
    assert_one_clear_line(done, 2, f"restorer '{PLUGIN}:Gain' is a class: name an instance of it")
    done = coldbench(*restorers(tmp_path), "--methods", "direct,naive")
    assert_one_clear_line(done, 2, "restorers are compared by one method")


@pytest.mark.parametrize("style", ["markdown", "latex", "csv", "html", "json"])
def test_formats(style: str, tmp_path: Path) -> None:
    arguments = ("--images", "2", "--metrics", "SSIM", "--format", style, "--quiet", "--output", tmp_path)
    done = coldbench("compare", "degraded", "direct", "--model", "mnist-superres", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"markdown": "| SSIM", "latex": "\\toprule", "csv": ",SSIM,", "html": "<td>SSIM</td>", "json": "["}[
        style
    ] in done.stdout
    if style == "json":
        differences = [each for record in json.loads(done.stdout) for each in record["differences"]]
        assert differences
        assert all(each["interval"] is None and not math.isnan(each["value"]) for each in differences)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("naive",), "two or more different methods"),
        (("naive", "naive"), "two or more different methods"),
        (("naive", "imporved"), "did you mean improved or sampled?"),
        (("naive", "ddpm"), "they share no metric"),
        (("naive", "direct", "--model", "mnist-blurr"), "did you mean mnist-blur"),
        (("naive", "direct", "--model", "mnist-cnn"), "unknown model 'mnist-cnn'"),
        (("naive", "direct", "--model", "mnist-blur", "--model", "mnist-snow"), "mnist-snow is one too many"),
        (("ddpm", "fixed-noise", "--features", "none"), "can only be measured in a feature space"),
        (("fixed-noise", "ddpm", "--model", "mnist-blur"), "--model mnist-blur serves none of these methods"),
        (("fixed-noise", "broken-symmetry", "--model", "celeba-noise"), "different data sets"),
    ],
)
def test_bad_requests(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    assert_one_clear_line(coldbench("compare", *arguments, "--output", tmp_path), 2, message)


def test_missing_weights_and_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="coldbench train celeba-noise"):
        compare(("fixed-noise", "ddpm"), Request(quiet=True), models=("celeba-noise",), output=tmp_path)


def test_images_to_restore_are_none_to_generate_from(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="but these methods generate"):
        compare(("fixed-noise", "ddpm"), Request(data="folder:x"), output=tmp_path)


def test_methods_that_start_from_anything_join_the_model() -> None:
    rows = compared_rows(("indi", "ihdm"), Request(), ("mnist-blend",), None, "t")
    assert {row.checkpoint for row in rows.values()} == {"mnist-blend"}
    assert {row.checkpoint for row in compared_rows(("ihdm", "naive"), Request(), (), None, "t").values()} == {
        "mnist-blur"
    }
    with pytest.raises(BadInput, match="--model mnist-blur serves none of these methods"):
        compared_rows(("indi", "fixed-noise"), Request(), ("mnist-blur",), None, "t")
