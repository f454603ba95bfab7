"""Models from elsewhere in the commands: measured, compared, checked, and told where they do not fit."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import coldbench as library
from coldbench.cli import main
from tests.helpers import assert_one_clear_line, coldbench
from tests.pages.blocks import typed_commands
from tests.tiny_unet import save_tiny_unet

ON_DIGITS = ("--degradation", "mnist-noise", "--data", "mnist", "--quiet", "--features", "none")


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a UNet with random weights, trained, so it says, to predict eps."""
    folder = tmp_path_factory.mktemp("elsewhere") / "unet"
    save_tiny_unet(folder, scheduler={"prediction_type": "epsilon"})
    return f"diffusers:{folder}"


def measured(*arguments: str | Path) -> list[dict[str, Any]]:
    done = coldbench(*arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    records: list[dict[str, Any]] = json.loads(done.stdout)
    return records


def test_a_unet_is_measured_and_checked_again(unet: str, tmp_path: Path) -> None:
    records = measured("evaluate", unet, *ON_DIGITS, "--images", "20", "--output", tmp_path / "out")
    assert {record["where"]["method"] for record in records} == {"degraded", "sampled", "direct"}
    (sha256,) = {
        record["identity"]["checkpoint_sha256"] for record in records if record["where"]["method"] != "degraded"
    }
    assert len(sha256) == 64
    done = coldbench("check", "--reference", tmp_path / "out", "--quiet")
    assert done.returncode == 0, done.stderr
    assert f"{sum(record['status'] == 'measured' for record in records)} same" in done.stdout


def test_another_prediction_is_another_number_with_another_hash(unet: str, tmp_path: Path) -> None:
    """``check`` measures again with the prediction that was asked for, and not with the folder's."""
    few = (*ON_DIGITS, "--images", "4", "--methods", "direct", "--metrics", "RMSE")
    (eps,) = measured("evaluate", unet, *few, "--output", tmp_path / "eps")
    (v,) = measured("evaluate", unet, *few, "--prediction", "v", "--output", tmp_path / "v")
    assert eps["value"] != pytest.approx(v["value"], rel=1e-3)
    assert eps["identity"]["checkpoint_sha256"] != v["identity"]["checkpoint_sha256"]
    assert (eps["request"]["prediction"], v["request"]["prediction"]) == (None, "v")
    assert "1 same" in coldbench("check", "--reference", tmp_path / "v", "--quiet").stdout


def test_other_weights_in_the_folder_are_no_moved_number(tmp_path: Path) -> None:
    save_tiny_unet(tmp_path / "unet")
    few = (*ON_DIGITS, "--images", "4", "--methods", "direct", "--metrics", "RMSE")
    measured("evaluate", f"diffusers:{tmp_path}/unet", *few, "--output", tmp_path / "out")
    save_tiny_unet(tmp_path / "unet", act_fn="gelu")  # the same parameters, in another network
    done = coldbench("check", "--reference", tmp_path / "out", "--quiet")
    assert done.returncode == 1
    assert "weights" in done.stdout


def test_a_unet_is_compared_with_a_model_of_the_registry(unet: str, tmp_path: Path) -> None:
    few = (
        "--data",
        "mnist",
        "--quiet",
        "--features",
        "none",
        "--images",
        "4",
        "--methods",
        "direct",
        "--metrics",
        "RMSE",
    )
    asked = (
        "compare",
        unet,
        "mnist-blur",
        "--degradation",
        "mnist-blur",
        *few,
        "--prediction",
        "x0",
        "--output",
        tmp_path,
    )
    first, second = measured(*asked)
    assert [each["request"]["prediction"] for each in (first, second)] == ["x0", None]
    assert second["differences"][0]["against"] == unet
    assert "2 same" in coldbench("check", "--reference", tmp_path, "--quiet").stdout


def test_long_paths_make_no_names_of_files_that_are_too_long(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 200) / ("b" * 200)
    for name in ("one", "two"):
        save_tiny_unet(folder / name)
    names = [f"diffusers:{folder}/{name}" for name in ("one", "two")]
    few = (*ON_DIGITS, "--images", "4", "--methods", "direct", "--metrics", "RMSE")
    measured("evaluate", names[0], *few, "--output", tmp_path / "evaluate")
    measured("compare", *names, *few, "--output", tmp_path / "compare")
    assert len(list((tmp_path / "compare").glob("*.json"))) == len(list((tmp_path / "evaluate").glob("*.json"))) == 1


def test_methods_are_compared_by_a_model_from_elsewhere(unet: str, tmp_path: Path) -> None:
    asked = ("naive", "improved", "--model", unet, *ON_DIGITS, "--images", "4", "--metrics", "RMSE")
    naive, improved = measured("compare", *asked, "--output", tmp_path)
    assert naive["identity"]["checkpoint"] == improved["identity"]["checkpoint"] == unet


PAGE = (Path(__file__).parents[2] / "docs" / "models-from-elsewhere.md").read_text(encoding="utf-8")
COMMANDS = typed_commands(PAGE)


@pytest.mark.parametrize("line", [line for line in COMMANDS if "my_unet" in line])
def test_the_manual_s_commands_run(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my_unet", "my_other_unet"):
        save_tiny_unet(tmp_path / name)
    done = coldbench(*shlex.split(line)[1:], "--images", "4", "--quiet")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [line for line in COMMANDS if "hub:" in line])
def test_the_manual_s_other_commands_can_be_read(line: str) -> None:
    """They would need the net, and CIFAR-10."""
    _, name, *words = shlex.split(line)
    main.commands[name].make_context(name, words)


def test_the_manual_has_commands() -> None:
    assert len(COMMANDS) == 6


def test_python_says_it_as_well(unet: str) -> None:
    options: dict[str, Any] = {"count": 4, "methods": ["direct"], "metrics": ["RMSE"], "features": ["none"]}
    frame = library.evaluate(unet, degradation="mnist-noise", images="mnist", prediction="v", **options)
    assert frame.checkpoint.tolist() == [unet]


def test_what_is_made_of_the_network_is_told_on_stderr(unet: str, tmp_path: Path) -> None:
    few = (
        "--degradation",
        "mnist-noise",
        "--data",
        "mnist",
        "--features",
        "none",
        "--images",
        "4",
        "--methods",
        "direct",
    )
    done = coldbench("evaluate", unet, *few, "--output", tmp_path)
    assert f"{unet} predicts eps, at its times 11 to 999, and its x0 is clipped to 1" in done.stderr


def test_a_row_of_a_table_of_one_s_own_may_name_one(unet: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        f"""
        [tables.mine]
        caption = "Mine"
        methods = ["direct"]
        metrics = ["RMSE"]
        [[tables.mine.rows]]
        dataset = "mnist"
        checkpoint = "{unet}"
        degradation = {{ name = "noise", image_size = 32, timesteps = 20, channels = 1 }}
        [[tables.mine.rows]]
        name = "absent"
        dataset = "mnist"
        checkpoint = "hub:owner/never-fetched"
        degradation = {{ name = "noise", image_size = 32, timesteps = 20, channels = 1 }}
        """
    )
    run = ("run", "--table", tmp_path / "mine.toml", "--images", "4", "--quiet", "--output", tmp_path / "out")
    here, absent = measured(*run)
    assert here["status"] == "measured"
    assert absent["reason"] == "hub:owner/never-fetched is not here: coldbench fetch hub:owner/never-fetched"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("diffusers:nowhere",), 2, "nowhere is no folder: diffusers:PATH names one that save_pretrained wrote"),
        (("diffusers:",), 2, "'diffusers:' names no path: give diffusers:PATH"),
        (("hub:name",), 2, "'hub:name' is neither hub:OWNER/NAME nor hub:OWNER/NAME:FILE"),
        (("hub:a/b",), 3, "hub:a/b is not here: coldbench fetch hub:a/b"),
        (("hub:a/b:c.safetensors",), 3, "hub:a/b:c.safetensors is not here: coldbench fetch hub:a/b:c.safetensors"),
        (("mnist-blur", "--prediction", "eps"), 2, "--prediction is that of models from elsewhere; mnist-blur gives"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    arguments: tuple[str, ...], code: int, message: str, tmp_path: Path
) -> None:
    done = coldbench("evaluate", *arguments, *ON_DIGITS, "--images", "4", "--output", tmp_path)
    assert_one_clear_line(done, code, message)


def test_predictions_of_noise_are_of_noise(unet: str, tmp_path: Path) -> None:
    blurred = ("--degradation", "mnist-blur", "--data", "mnist", "--images", "4", "--quiet", "--output", tmp_path)
    assert_one_clear_line(
        coldbench("evaluate", unet, *blurred), 2, "predicts eps, which tells x0 of Gaussian noise alone"
    )
    done = coldbench("evaluate", unet, *blurred, "--prediction", "x0", "--methods", "direct", "--metrics", "RMSE")
    assert done.returncode == 0, done.stderr


def test_the_hub_s_cache_is_where_its_variable_says(tmp_path: Path) -> None:
    files = tmp_path / "models--owner--unet" / "snapshots" / "c0ffee"
    save_tiny_unet(files, scheduler={})
    (tmp_path / "models--owner--unet" / "refs").mkdir()
    (tmp_path / "models--owner--unet" / "refs" / "main").write_text("c0ffee")
    few = ("--images", "4", "--methods", "direct", "--metrics", "RMSE", "--output", str(tmp_path / "out"))
    done = subprocess.run(
        [sys.executable, "-m", "coldbench", "evaluate", "hub:owner/unet", *ON_DIGITS, *few],
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "hub:owner/unet" in done.stdout


def test_fetch_says_in_one_line_that_there_is_no_net(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants", reason="models of the hub need the extra [hub]")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = coldbench("fetch", "hub:owner/never-fetched", "--quiet")
    assert_one_clear_line(done, 3, "hub:owner/never-fetched could not be downloaded: ")
    assert_one_clear_line(coldbench("fetch", "hub:name"), 2, "'hub:name' is neither hub:OWNER/NAME nor")
