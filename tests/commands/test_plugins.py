"""What is brought from outside of the package works through every command: by module:attribute, and by entry points."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from coldbench.cli import main
from coldbench.core.errors import ColdbenchError
from coldbench.diffusion.catalog import find_entry
from tests.helpers import coldbench

TESTS = Path(__file__).parents[1]
#: A command that measures a restorer of one's own, as its words.
EXAMPLE = (
    "example_plugin:sharpen", "--degradation", "example_plugin:Fade", "--set", "timesteps=5",
    "--data", "example_plugin:checkers", "--features", "example_plugin:mean_colours",
)  # fmt: skip
METRICS = ("--metrics", "RMSE,FID,example_plugin:MAE")


@pytest.fixture(autouse=True)
def beside_the_example(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the folder of the plug-in; what a test imports from its own working directory does not reach the next."""
    monkeypatch.chdir(TESTS)
    before = set(sys.modules)
    yield
    for name in [name for name in sys.modules if name.startswith("my_") and name not in before]:
        del sys.modules[name]


def found(stdout: str) -> dict[tuple[str, str], dict]:
    """(method, metric as printed) -> its measured record."""
    records = [record for record in json.loads(stdout) if record["status"] == "measured"]
    return {(record["where"]["method"], record["metric"]["label"]): record for record in records}


def test_the_example_imports_from_the_public_package_alone() -> None:
    text = (TESTS / "example_plugin.py").read_text()
    assert "from coldbench import" in text
    assert not re.search(r"coldbench\.\w+ import|import coldbench\.", text)
    tomllib.loads((TESTS / "example_table.toml").read_text())


def test_evaluate_takes_all_of_it(tmp_path: Path) -> None:
    done = coldbench("evaluate", *EXAMPLE, *METRICS, "--output", tmp_path, "--quiet", "--format", "csv")
    assert done.returncode == 0, done.stderr
    frame = pd.read_csv(io.StringIO(done.stdout))
    measured = frame[frame.status == "measured"].set_index(["method", "label"])
    assert measured.value["degraded", "RMSE"] > 0.1
    assert measured.value["degraded", "MAE"] < measured.value["degraded", "RMSE"]
    assert measured.value["sampled", "MAE"] == pytest.approx(0, abs=1e-6)
    assert measured.value["direct", "FD[mean-colours]"] == pytest.approx(0, abs=1e-6)
    assert measured.low["degraded", "MAE"] < measured.value["degraded", "MAE"] < measured.high["degraded", "MAE"]
    table = (tmp_path / "table-evaluate-example_plugin-sharpen.md").read_text()
    assert "FD[mean-colours]" in table
    assert "timesteps 5" in table
    assert "example_plugin:sharpen, float32 on cpu" in table


def test_a_table_of_ones_own_runs_resumes_and_is_checked(tmp_path: Path) -> None:
    run = ("run", "--table", "example_table.toml", "--output", tmp_path, "--quiet")
    done = coldbench(*run, "--intervals")
    assert done.returncode == 0, done.stderr
    assert "## Table faded: Contrast restored" in done.stdout
    assert "| Checkerboards | example_plugin:halfway |" in done.stdout
    assert "RMSE (our report)" in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.startswith("| Checkerboards | Direct"))
    assert re.search(r"\| 0\.\d{4} ± 0\.\d{4} \| +0\.05 \|$", line), "MAE, its interval, and what is printed elsewhere"
    checked = coldbench("check", "--reference", tmp_path, "--quiet")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("same") >= 6
    wanted = coldbench(
        "check", "--reference", tmp_path, "--quiet", "--metrics", "example_plugin:MAE", "--format", "json"
    )
    assert wanted.returncode == 0, wanted.stderr
    assert "RMSE" not in wanted.stdout


def test_a_metric_and_a_sampler_join_a_table_of_the_paper(tmp_path: Path) -> None:
    run = ("run", "--table", "3", "--rows", "mnist", "--images", "8", "--output", tmp_path, "--quiet")
    done = coldbench(
        *run, "--methods", "direct,example_plugin:HALFWAY", "--metrics", "example_plugin:MAE", "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    records = found(done.stdout)
    assert set(records) == {("direct", "MAE"), ("example_plugin:HALFWAY", "MAE")}
    assert records["direct", "MAE"]["value"] < records["example_plugin:HALFWAY", "MAE"]["value"]
    assert all(low < high for low, high in (record["interval"] for record in records.values()))
    assert coldbench("check", "--reference", tmp_path, "--quiet").returncode == 0


def test_compare_takes_a_sampler_and_a_metric(tmp_path: Path) -> None:
    compare = ("compare", "example_plugin:halfway", "direct", "--model", "mnist-superres", "--images", "8")
    done = coldbench(*compare, "--metrics", "example_plugin:MAE", "--output", tmp_path, "--quiet")
    assert done.returncode == 0, done.stderr
    assert "direct is better (8 images: indicative)" in done.stdout
    assert "| MAE" in done.stdout
    assert coldbench("check", "--reference", tmp_path, "--quiet").returncode == 0


def test_auto_takes_the_feature_space_of_a_data_set_from_outside(tmp_path: Path) -> None:
    command = ("evaluate", *EXAMPLE[:5], "--data", "example_plugin:CHECKERS", "--methods", "degraded")
    done = coldbench(*command, "--metrics", "FID", "--output", tmp_path, "--quiet")
    assert done.returncode == 0, done.stderr
    assert "FD[mean-colours]" in done.stdout
    assert "coldbench fetch inception" in done.stdout, "what auto left out is said"
    assert coldbench("check", "--reference", tmp_path, "--quiet").returncode == 0


DYING = """
import os, signal, pathlib
from example_plugin import sharpen

def dying(x, s):
    calls = pathlib.Path("calls")
    calls.write_text((calls.read_text() if calls.exists() else "") + f"{s} ")
    if len(calls.read_text().split()) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return sharpen(x, s)
"""


def test_a_killed_measurement_of_an_outside_metric_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the fourth of ten batches; the same command does not begin anew, and ends in the same numbers."""
    (tmp_path / "my_dying.py").write_text(DYING)
    monkeypatch.syspath_prepend(TESTS)
    monkeypatch.chdir(tmp_path)
    command = ("evaluate", "my_dying:dying", *EXAMPLE[1:], *METRICS, "--methods", "degraded,direct", "--quiet")
    where = ("--batch-size", "4", "--output", "out", "--format", "json")
    paths = filter(None, [str(TESTS), os.environ.get("PYTHONPATH")])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    killed = subprocess.run([sys.executable, "-m", "coldbench", *command, *where], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list(Path("out", ".resume").glob("*.pt"))
    done = coldbench(*command, *where)
    assert done.returncode == 0, done.stderr
    calls = Path("calls").read_text().split()
    assert 10 <= len(calls) < 14, "the batches that were saved were not restored once more"
    whole = found(coldbench(*command, *where[:2], "--output", "whole", *where[4:]).stdout)
    resumed = found(done.stdout)
    assert {key: (each["value"], each["interval"]) for key, each in resumed.items()} == {
        key: (each["value"], each["interval"]) for key, each in whole.items()
    }


OWN_NETWORK = """
[my-fade]
dataset = "example_plugin:checkers"
network = { name = "example_plugin:Pointwise", channels = 3 }
degradation = { name = "example_plugin:Fade", timesteps = 5 }
training = { steps = 3, batch_size = 4 }
"""


def test_a_network_from_outside_is_trained_and_measured(tmp_path: Path, own_registry: Path) -> None:
    own_registry.write_text(OWN_NETWORK)
    done = coldbench("train", "my-fade", "--no-compile", "--output", tmp_path, "--quiet")
    assert done.returncode == 0, done.stderr
    evaluate = ("evaluate", "my-fade", "--metrics", "example_plugin:MAE", "--output", tmp_path, "--quiet")
    done = coldbench(*evaluate, "--format", "json")
    assert done.returncode == 0, done.stderr
    sampled = found(done.stdout)["sampled", "MAE"]
    assert sampled["identity"]["checkpoint_sha256"] == find_entry("my-fade").sha256
    assert sampled["identity"]["data"] == "checkers"


def test_entry_points_name_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installed package registers them: then nothing but the short names is needed."""
    metadata = tmp_path / "example-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: example\nVersion: 1.0\n")
    names = {
        "restorers": "sharpen", "degradations": "Fade", "datasets": "CHECKERS", "features": "mean_colours",
        "metrics": "MAE", "samplers": "halfway", "networks": "Pointwise",
    }  # fmt: skip
    lines = [f"[coldbench.{kind}]\n{name.lower()} = example_plugin:{name}\n" for kind, name in names.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(TESTS)
    monkeypatch.chdir(tmp_path)
    command = ("evaluate", "sharpen", "--degradation", "fade", "--set", "timesteps=5", "--data", "checkers")
    given = ("--methods", "degraded,halfway", "--metrics", "mae,fid", "--features", "mean_colours")
    done = coldbench(*command, *given, "--output", tmp_path / "out", "--quiet", "--format", "json")
    assert done.returncode == 0, done.stderr
    records = found(done.stdout)
    assert set(records) == {(m, label) for m in ("degraded", "halfway") for label in ("MAE", "FD[mean-colours]")}
    assert {each["where"]["title"] for each in records.values()} == {"Checkerboards"}
    checked = coldbench("check", "--reference", tmp_path / "out", "--quiet")
    assert checked.returncode == 0, checked.stderr
    listed = coldbench("list").stdout
    for name in names.values():
        assert re.search(rf"^{name.lower()}\b", listed, re.MULTILINE)


def test_a_changed_parameter_of_an_evaluated_module_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its hash, before anybody looks at numbers; and a number that moved under the same hash is caught."""
    monkeypatch.syspath_prepend(TESTS)
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "my_gain.py"
    text = "from example_plugin import Gain\nbrighter = Gain({gain})\n"
    module.write_text(text.format(gain=1.4))
    evaluate = ("evaluate", "my_gain:brighter", *EXAMPLE[1:7], "--metrics", "RMSE", "--methods", "direct", "--quiet")
    assert coldbench(*evaluate, "--output", "records").returncode == 0
    check = ("check", "--reference", "records", "--quiet")
    assert coldbench(*check).returncode == 0
    (stored,) = Path("records").glob("*.json")
    content = json.loads(stored.read_text())
    assert len(content[0]["identity"]["checkpoint_sha256"]) == 64
    content[0]["value"] += 0.01
    stored.write_text(json.dumps(content))
    moved = coldbench(*check)
    assert moved.returncode == 1
    assert "1 moved" in moved.stderr
    module.write_text(text.format(gain=1.41))
    del sys.modules["my_gain"]
    refused = coldbench(*check)
    assert refused.returncode == 1
    assert "checkpoint_sha256 was" in refused.stdout
    assert "1 refused" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nobody",), 2, "unknown model or restorer 'nobody'"),
        (("example_plugin:sharpen",), 2, "is no registered model: say --degradation and --data"),
        (("example_plugin:absent", *EXAMPLE[1:]), 2, "has no attribute 'absent'"),
        (("example_plugin:__name__", *EXAMPLE[1:]), 2, "is str, not a callable R(x, s)"),
        (("example_plugin:Gain", *EXAMPLE[1:]), 2, "is a class: name an instance of it, or a function R(x, s)"),
        (("operator:concat", *EXAMPLE[1:]), 2, "R(x, 5) failed: TypeError"),
        ((*EXAMPLE, "--protocol", "released"), 2, "the released code has no evaluation of 'example_plugin:Fade'"),
        ((*EXAMPLE, "--set", "steps=3"), 2, "the degradation 'example_plugin:Fade' has no setting 'steps'"),
        (("celeba-blur", "--data", "example_plugin:checkers"), 3, "no weights for celeba-blur"),
        ((*EXAMPLE[:5], "--data", "os:fspath"), 2, "dataset 'os:fspath' failed: TypeError"),
        ((*EXAMPLE[:7], "--features", "os:fspath"), 2, "feature 'os:fspath' failed: TypeError"),
        ((*EXAMPLE, "--metrics", "os:fspath"), 2, "metric 'os:fspath' is builtin_function_or_method, not a coldbench"),
        ((*EXAMPLE, "--methods", "os:sep"), 2, "sampler 'os:sep' is str, not a function"),
        ((*EXAMPLE, "--methods", "os:fspath"), 2, "sampler 'os:fspath' failed: TypeError"),
        ((*EXAMPLE, "--dtype", "bfloat16"), 2, "--dtype is that of a registered model's network"),
    ],
)
def test_what_does_not_plug_in_is_named(arguments: tuple[str, ...], code: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(ColdbenchError, match=re.escape(message)) as caught:
        main(["evaluate", *arguments, "--quiet", "--output", str(tmp_path)], standalone_mode=False)
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)
