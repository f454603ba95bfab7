"""``coldbench sweep``: quality against the number of steps, and against settings of the degradation."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from coldbench.commands import sweep as command
from coldbench.commands.request import Request
from coldbench.commands.sweep import sweep
from coldbench.core.errors import Missing
from coldbench.records.formats import render
from coldbench.records.record import Record, load
from tests.helpers import assert_one_clear_line, coldbench, edited, interruptible
from tests.pages.blocks import typed_commands

PLUGIN = "tests.example_plugin"
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sweep.md").read_text(encoding="utf-8")
#: Three steps are all of mnist-superres; two go over severities 3, 2 and 0.
FEW = ("sweep", "--model", "mnist-superres", "--metrics", "SSIM,RMSE", "--images", "6", "--quiet")


def found(records: list[Record]) -> dict[tuple[str, str, str], float]:
    return {
        (each.where.row, each.where.method, each.metric.label): each.value for each in records if each.value is not None
    }


def assert_the_ends_are_direct_and_sampled(model: str, table: str, T: int, images: int, folder: Path) -> None:
    request = Request(images=images, metrics=("FID", "SSIM", "RMSE"), quiet=True)
    swept = found(sweep(model, request, steps=(1, T), output=folder))
    run = ("run", "--table", table, "--rows", "mnist", "--methods", "direct,sampled", "--images", str(images))
    assert coldbench(*run, "--quiet", "--output", folder / "run").returncode == 0
    tabled = found(load(folder / "run" / f"table-{table}.json"))
    for metric in ("FD[mnist-cnn]", "SSIM", "RMSE"):
        direct, sampled = (tabled["mnist", method, metric] for method in ("direct", "sampled"))
        assert swept[model, "sampled@1", metric] == pytest.approx(direct, abs=1e-6)
        assert swept[model, f"sampled@{T}", metric] == pytest.approx(sampled, abs=1e-6)
        assert direct != pytest.approx(sampled, abs=1e-3)


def test_one_step_is_direct_and_all_steps_are_sampled(tmp_path: Path) -> None:
    assert_the_ends_are_direct_and_sampled("mnist-superres", "3", 3, 12, tmp_path)


@pytest.mark.slow
def test_so_they_are_of_the_blur(tmp_path: Path) -> None:
    assert_the_ends_are_direct_and_sampled("mnist-blur", "1", 20, 4, tmp_path)


def test_the_command_leaves_records_table_plot_and_pictures(tmp_path: Path) -> None:
    done = coldbench(*FEW, "--steps", "3,1,2,2", "--intervals", "--output", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "mnist-superres.md").read_text() == done.stdout
    assert [line.split("|")[3].strip() for line in done.stdout.splitlines()[4:7]] == ["1", "2", "3"]
    records = load(tmp_path / "mnist-superres.json")
    assert [each.where.method for each in records[::2]] == ["sampled@1", "sampled@2", "sampled@3"]
    assert all(each.interval for each in records)
    assert "<svg" in (tmp_path / "mnist-superres.svg").read_text()
    with Image.open(tmp_path / "mnist-superres.png") as plot:
        assert plot.width > plot.height
    with Image.open(tmp_path / "pictures" / "mnist-superres.png") as picture:
        assert picture.height == 4 * (3 * 32 + 4)  # the originals and three numbers of steps
    assert not (tmp_path / ".resume").exists()


def test_check_measures_it_again(tmp_path: Path) -> None:
    assert coldbench(*FEW, "--steps", "1,2", "--set", "mode=area,bicubic", "--output", tmp_path).returncode == 0
    assert coldbench("check", "--reference", tmp_path, "--quiet").returncode == 0
    path = tmp_path / "mnist-superres.json"
    spec = json.loads(path.read_text())
    spec[-1]["value"] += 0.1
    path.write_text(json.dumps(spec))
    assert coldbench("check", "--reference", tmp_path, "--quiet").returncode == 1


def test_settings_are_rows(tmp_path: Path) -> None:
    done = coldbench(*FEW, "--set", "mode=area,bicubic", "--set", "timesteps=1,2", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    records = load(tmp_path / "mnist-superres.json")
    rows = list(dict.fromkeys((each.where.row, each.where.title, len(each.request["settings"])) for each in records))
    assert rows[0] == ("mnist-superres-mode-area-timesteps-1", "MNIST, mode area, timesteps 1", 2)
    assert len(rows) == 4
    of = {(each.identity.degradation["mode"], each.identity.degradation["timesteps"]) for each in records}
    assert of == {("area", 1), ("area", 2), ("bicubic", 1), ("bicubic", 2)}
    taken = {(each.identity.degradation["timesteps"], each.where.method) for each in records}
    assert taken == {(1, "sampled@1"), (2, "sampled@1"), (2, "sampled@2")}, "all steps, unless told"
    assert len(list((tmp_path / "pictures").iterdir())) == 4


def test_a_later_sweep_adds_and_another_seed_takes_the_place(tmp_path: Path) -> None:
    def steps() -> list[str]:
        records = load(tmp_path / "mnist-superres.json")
        return list(dict.fromkeys(each.where.method for each in records))

    assert coldbench(*FEW, "--steps", "1,3", "--output", tmp_path).returncode == 0
    assert coldbench(*FEW, "--steps", "2", "--output", tmp_path).returncode == 0
    assert steps() == ["sampled@1", "sampled@2", "sampled@3"]
    assert not (tmp_path / "earlier").exists()
    done = coldbench(*FEW[:-1], "--steps", "2", "--images", "5", "--output", tmp_path)
    assert "mnist-superres.json is replaced; what it held is kept in" in done.stderr
    assert steps() == ["sampled@2"]
    assert {path.suffix for path in (tmp_path / "earlier").iterdir()} == {".json", ".svg", ".png"}


def test_the_default_is_doubling_up_to_all_steps(tmp_path: Path) -> None:
    arguments = ("--set", "timesteps=5", "--methods", "naive", "--metrics", "RMSE", "--output", tmp_path)
    done = coldbench(*FEW[:3], "--images", "2", "--quiet", "--format", "json", *arguments)
    assert done.returncode == 0, done.stderr
    methods = [each["where"]["method"] for each in json.loads(done.stdout)]
    assert methods == ["naive@1", "naive@2", "naive@4", "naive@5"]


def test_generators_take_fewer_steps(tmp_path: Path) -> None:
    request = Request(images=6, methods=("ddpm", "estimated-noise"), features=("mnist-cnn",), quiet=True)
    records = sweep("mnist-noise", request, steps=(1, 2), output=tmp_path)
    values = {each.where.method: each.value for each in records if each.measured}
    assert set(values) == {"ddpm@1", "ddpm@2", "estimated-noise@1", "estimated-noise@2"}
    assert values["ddpm@1"] == values["estimated-noise@1"], "both are Direct"
    assert values["ddpm@2"] != values["estimated-noise@2"]


def test_with_all_steps_even_what_is_drawn_is_the_same(tmp_path: Path) -> None:
    done = coldbench("evaluate", "mnist-noise", "--methods", "ddpm,ddpm@40", "--images", "6", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    values = [each.value for each in load(next(tmp_path.glob("*.json"))) if each.measured]
    assert len(values) == 2
    assert values[0] == values[1]


def test_restorers_of_ones_own(tmp_path: Path) -> None:
    own = ("--model", f"{PLUGIN}:half_more", "--degradation", f"{PLUGIN}:Fade", "--data", f"{PLUGIN}:checkers")
    done = coldbench("sweep", *own, "--set", "timesteps=5", "--metrics", "RMSE", "--output", tmp_path, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / f"{PLUGIN}-half_more.json").exists()


def test_other_commands_name_steps_too(tmp_path: Path) -> None:
    few = ("--metrics", "RMSE", "--images", "4", "--quiet", "--output", tmp_path)
    compared = coldbench("compare", "direct", "sampled@2", "--model", "mnist-superres", *few)
    assert "direct, sampled@2" in compared.stdout
    run = coldbench("run", "--table", "3", "--rows", "mnist", "--methods", "direct,sampled@2", *few)
    assert [line.split("|")[2:4] for line in run.stdout.splitlines()[4:6]] == [
        [" Direct   ", "       - "],
        [" Sampled  ", "       2 "],
    ]


def test_a_stopped_sweep_goes_on(tmp_path: Path) -> None:
    """It is interrupted when the first of two rows is written; that is not measured again."""
    arguments = (*FEW[:-3], "--images", "160", "--batch-size", "8", "--steps", "3", "--set", "mode=area,bicubic")
    process = subprocess.Popen(
        interruptible(*arguments, "--output", str(tmp_path / "a")), stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "a" / "mnist-superres.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "coldbench: interrupted; the same command resumes from here"
    first = load(tmp_path / "a" / "mnist-superres.json")
    assert {each.where.row for each in first} == {"mnist-superres-mode-area"}
    again = coldbench(*arguments, "--quiet", "--output", tmp_path / "a")
    assert again.returncode == 0, again.stderr
    whole = coldbench(*arguments, "--quiet", "--output", tmp_path / "b")
    assert whole.returncode == 0

    def kept(folder: str) -> list[object]:
        records = load(tmp_path / folder / "mnist-superres.json")
        return [edited(each, cost=None, conditions={"revision": ""}) for each in records]

    assert kept("a") == kept("b")
    assert [each.cost for each in load(tmp_path / "a" / "mnist-superres.json")][:2] == [each.cost for each in first]


@pytest.mark.slow
def test_two_processes_find_the_same(tmp_path: Path) -> None:
    torchrun = ["torchrun", "--standalone", "--nproc-per-node", "2", "-m", "coldbench"]
    arguments = [*FEW, "--images", "40", "--steps", "1,2", "--batch-size", "10"]
    done = subprocess.run([*torchrun, *arguments, "--output", tmp_path / "two"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert coldbench(*arguments, "--output", tmp_path / "one").returncode == 0
    two, one = (found(load(tmp_path / name / "mnist-superres.json")) for name in ("two", "one"))
    assert two == pytest.approx(one, rel=1e-9)


def test_without_matplotlib_all_but_the_plot_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "can_plot", lambda: False)
    done = coldbench(*FEW[:-1], "--steps", "1", "--output", tmp_path)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == (
        "no plot is drawn, since that needs matplotlib: pip install 'coldbench[report]'"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"mnist-superres.json", "mnist-superres.md", "pictures"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", "0"), "Invalid value for '--steps': '0' is no whole number from 1"),
        (("--steps", "1,,2"), "Invalid value for '--steps': '' is no whole number from 1"),
        (("--steps", "1,x"), "Invalid value for '--steps': 'x' is no whole number from 1"),
        (("--steps", "1.5"), "Invalid value for '--steps': '1.5' is no whole number from 1"),
        (("--steps", "9" * 5000), "is no whole number from 1"),
        (("--steps", ""), "Invalid value for '--steps': it is empty"),
        (("--steps", "4"), "--steps 4: the degradation of mnist-superres has 3, so give whole numbers of 1 to 3"),
        (("--steps", "3", "--set", "timesteps=3,2"), "--steps 3: the degradation of mnist-superres has 2"),
        (("--set", "mode=area,"), "'mode=' is not a setting KEY=VALUE"),
        (("--set", "mode"), "is not a setting KEY=VALUE"),
        (("--set", "mood=1,2"), "has no setting 'mood'; did you mean mode?"),
        (("--set", "timesteps=0,1"), "needs timesteps of at least 1, not 0"),
        (("--methods", "direct"), "direct takes no steps"),
        (("--methods", "degraded"), "degraded takes no steps"),
        (("--methods", "ddpm"), "ddpm@1 starts from noise, not from a degraded image: it restores nothing"),
        (("--methods", "sampld"), "unknown sampler 'sampld'; did you mean sampled"),
        (("--methods", "sampled@2"), "sampled@2 says a number of steps already: leave that to --steps"),
        (("--protocol", "released"), "the released code takes every step of sampled: sampled@1 needs --protocol paper"),
        (("--model", "mnist-superess"), "unknown model or restorer 'mnist-superess'; did you mean mnist-superres or"),
        (
            ("--model", "mnist-noise", "--methods", "sampled", "--metrics", "FID", "--features", "mnist-cnn"),
            "sampled@1 generates from degraded, and this model from noise",
        ),
    ],
)
def test_bad_requests(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    assert_one_clear_line(coldbench(*FEW, *arguments, "--output", tmp_path / "out"), 2, message)
    assert not (tmp_path / "out").exists()


def test_a_model_must_be_named() -> None:
    assert_one_clear_line(coldbench("sweep", "--steps", "1"), 2, "Missing option '--model'")


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="coldbench train celeba-noise"):
        sweep("celeba-noise", Request(quiet=True), steps=(1,), output=tmp_path)


def commands() -> list[str]:
    """The commands of the page, but for those that tests/cli/test_help_examples.py runs, since the help has them."""
    told = coldbench("sweep", "--help").stdout
    return [line for line in typed_commands(PAGE, needs=False) if line not in told]


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_page_runs(line: str, tmp_path: Path) -> None:
    done = coldbench(*shlex.split(line)[1:], "--images", "4", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_page_shows_the_stored_numbers() -> None:
    folder = ROOT / "results" / "tables" / "sweep"
    records = load(folder / "mnist-blur.json")
    stored = (folder / "mnist-blur.md").read_text(encoding="utf-8")
    assert render(records, "markdown", intervals=True) == stored
    shown = [line for line in stored.splitlines() if line.startswith("|")]
    assert set(shown) <= set(PAGE.splitlines())
    assert "](../results/tables/sweep/mnist-blur.svg)" in PAGE
    identities: list[Any] = [each.identity for each in records if each.measured]
    assert {each.images for each in identities} == {500}
