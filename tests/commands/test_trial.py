"""``--dtype auto``: a harmless cheap arithmetic is taken, a harmful one is not, and what was taken stays taken."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coldbench.commands import trial
from coldbench.commands.plan import Plan
from coldbench.commands.trial import compared, fastest
from coldbench.diffusion import checkpoints
from coldbench.evaluation.scores import Outcome
from coldbench.metrics.intervals import Estimate
from coldbench.metrics.metric import Metric, find_metrics
from coldbench.records.record import Record, load
from coldbench.records.trials import Trial
from tests.helpers import assert_one_clear_line, coldbench

RUN = ("run", "--table", "4", "--rows", "mnist", "--methods", "degraded,direct", "--quiet", "--dtype", "auto")


class Arithmetics:
    """Arithmetics that are made up: seconds of a forward, and what is added to each restored image.

    The clock shows these seconds alone, however busy the machine is.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.seconds = {"float32": 0.1, "bfloat16": 0.05, "float16": 0.01}
        self.errors = {"float32": 0.0, "bfloat16": 1e-6, "float16": 0.1}

    @contextmanager
    def computing_in(self, name: str, network: nn.Module, device: torch.device) -> Iterator[None]:
        def spoil(module: nn.Module, given: object, restored: Tensor) -> Tensor:
            self.now += self.seconds[name]
            return restored + self.errors[name]

        hook = network.register_forward_hook(spoil)
        yield
        hook.remove()


@pytest.fixture
def arithmetics(monkeypatch: pytest.MonkeyPatch) -> Arithmetics:
    made_up = Arithmetics()
    monkeypatch.setattr(checkpoints, "computing_in", made_up.computing_in)
    monkeypatch.setattr(time, "perf_counter", lambda: made_up.now)
    return made_up


def measured(folder: Path, *options: str, images: int = 20) -> list[Record]:
    done = coldbench(*RUN, "--images", str(images), *options, "--output", folder)
    assert done.returncode == 0, done.stderr
    return [record for record in load(folder / "table-4.json") if record.measured]


def taken(records: list[Record]) -> str:
    (dtype,) = {record.conditions.dtype for record in records}
    return dtype


def test_the_fastest_harmless_arithmetic_is_taken_and_told(arithmetics: Arithmetics, tmp_path: Path) -> None:
    records = measured(tmp_path)
    assert taken(records) == "bfloat16"
    (trials,) = {record.conditions.trial[0].dtype: record.conditions.trial for record in records}.values()
    exact, harmless, harmful = trials
    assert [each.dtype for each in trials] == ["float32", "bfloat16", "float16"]
    assert {each.images for each in trials} == {20}
    assert (exact.deviations, exact.refused, harmless.refused) == ({}, "", "")
    assert harmless.deviations.keys() == {"SSIM", "RMSE", "FD[mnist-cnn]"}
    assert 0 < harmless.deviations["RMSE"] < 2e-6
    assert 1e-3 < harmful.deviations["RMSE"] < 0.05
    assert "RMSE moves by more than 5e-05" in harmful.refused
    # Two batches of 16, the second of four images and twelve that nobody asked for.
    assert [each.network_seconds for each in trials] == pytest.approx([0.2, 0.1, 0.02])
    shown = coldbench("show", tmp_path / "table-4.json").stdout
    took = "MNIST (ours), mnist-snow: --dtype auto took bfloat16, after trials of 20 images"
    assert f"- {took}: float32 0.2 s; bfloat16 0.1 s, SSIM " in shown


def test_numbers_are_those_of_the_arithmetic_taken(arithmetics: Arithmetics, tmp_path: Path) -> None:
    arithmetics.errors["bfloat16"] = 5e-6
    records = measured(tmp_path / "auto")
    asked = measured(tmp_path / "asked", "--dtype", "bfloat16")
    exact = measured(tmp_path / "exact", "--dtype", "float32")
    assert [each.value for each in records] == [each.value for each in asked]
    assert [each.value for each in records] != [each.value for each in exact]
    assert {each.conditions.trial for each in (*asked, *exact)} == {()}


def test_harm_is_refused_however_fast(arithmetics: Arithmetics, tmp_path: Path) -> None:
    arithmetics.errors["bfloat16"] = 0.1
    assert taken(measured(tmp_path)) == "float32"


def test_what_is_slower_is_not_measured_further(arithmetics: Arithmetics, tmp_path: Path) -> None:
    arithmetics.seconds |= {"bfloat16": 0.3, "float16": 0.3}
    records = measured(tmp_path)
    assert taken(records) == "float32"
    for each in records[0].conditions.trial[1:]:
        assert (each.network_seconds, each.deviations) == (None, {})
        assert "times as long as float32" in each.refused


def test_numbers_beyond_the_range_of_an_arithmetic_are_refused(arithmetics: Arithmetics, tmp_path: Path) -> None:
    arithmetics.errors["float16"] = float("nan")
    records = measured(tmp_path)
    assert taken(records) == "bfloat16"
    assert "NaN" in records[0].conditions.trial[2].refused


def test_no_more_images_than_needed_are_tried(
    arithmetics: Arithmetics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "IMAGES", 8)
    records = measured(tmp_path)
    assert {each.images for each in records[0].conditions.trial} == {8}
    assert records[0].identity.images == 20


def test_a_stopped_command_that_is_given_again_goes_on_in_what_it_took(
    arithmetics: Arithmetics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Plan.run

    def stopped(self: Plan, label: str, *rest: Any) -> Outcome:
        if "trial" not in label:
            raise KeyboardInterrupt
        return run(self, label, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(Plan, "run", stopped)
        assert coldbench(*RUN, "--images", "20", "--output", tmp_path).returncode == 130
    arithmetics.seconds = {"float32": 0.01, "bfloat16": 0.1, "float16": 0.1}
    labels: list[str] = []
    monkeypatch.setattr(Plan, "run", lambda self, label, *rest: labels.append(label) or run(self, label, *rest))
    assert taken(measured(tmp_path)) == "bfloat16"
    assert labels == ["Table 4 MNIST (ours)"]
    assert taken(measured(tmp_path)) == "float32", "a command that ended well leaves no choice behind"


def test_a_damaged_choice_is_told(arithmetics: Arithmetics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(trial, "fastest", lambda trials: 1 / 0)
        assert coldbench(*RUN, "--images", "20", "--output", tmp_path).returncode == 70
    (kept,) = (tmp_path / ".resume").glob("*trial*.pt")
    kept.write_bytes(kept.read_bytes()[:100])
    done = coldbench(*RUN, "--images", "20", "--output", tmp_path)
    assert_one_clear_line(done, 2, "begin anew with --fresh")
    assert taken(measured(tmp_path, "--fresh")) == "bfloat16"


def test_a_check_measures_in_what_was_taken(arithmetics: Arithmetics, tmp_path: Path) -> None:
    arithmetics.errors["bfloat16"] = 5e-6
    measured(tmp_path / "records")
    check = ("check", "--reference", tmp_path / "records", "--quiet", "--format", "json")
    arithmetics.errors["float32"] = 0.5
    assert coldbench(*check).returncode == 0
    assert coldbench(*check, "--dtype", "auto").returncode == 0
    arithmetics.errors["bfloat16"] = 0.5
    assert coldbench(*check, "--fresh").returncode == 1
    arithmetics.errors["float16"] = 0.0
    assert coldbench(*check, "--dtype", "float16").returncode == 0, "what is asked for by name is taken"


def test_a_check_with_auto_measures_each_number_as_it_was_measured(arithmetics: Arithmetics, tmp_path: Path) -> None:
    measured(tmp_path / "records", "--dtype", "bfloat16")
    arithmetics.errors |= {"float32": 0.5, "float16": 0.5}
    check = ("check", "--reference", tmp_path / "records", "--quiet")
    assert coldbench(*check, "--dtype", "auto").returncode == 0
    assert coldbench(*check).returncode == 1


def test_where_no_network_has_a_part_nothing_is_tried(tmp_path: Path) -> None:
    records = measured(tmp_path, "--methods", "degraded")
    assert (taken(records), records[0].conditions.trial) == ("float32", ())


def test_missing_rows_are_kept_as_in_float32(tmp_path: Path) -> None:
    done = coldbench("run", "--table", "3", "--rows", "celeba", "--dtype", "auto", "--output", tmp_path, "--quiet")
    assert done.returncode == 3
    assert {record.conditions.dtype for record in load(tmp_path / "table-3.json")} == {"float32"}


def test_an_arithmetic_that_the_device_lacks_is_told(tmp_path: Path) -> None:
    done = coldbench("run", "--table", "3", "--device", "cpu", "--dtype", "tf32", "--output", tmp_path)
    assert_one_clear_line(done, 3, "no tf32 on this cpu: use --dtype float32 or bfloat16 or float16")


def test_a_restorer_of_one_s_own_has_its_own_arithmetic(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def restore(x, s):\n    return x\n")
    own = ("evaluate", "mine:restore", "--degradation", "mnist-superres", "--data", "mnist", "--images", "2")
    done = coldbench(*own, "--dtype", "auto", cwd=tmp_path)
    assert_one_clear_line(done, 2, "--dtype is that of a registered model's network")


def outcome(seconds: float, **values: float) -> Outcome:
    estimates = {(f"m{n}", name, ""): Estimate(value + n, ()) for name, value in values.items() for n in (0, 1)}
    return Outcome(estimates, {}, {}, {}, 2 * seconds, seconds)


def metrics(*names: str) -> tuple[Metric, ...]:
    return find_metrics(names)


@pytest.mark.parametrize(
    ("device", "moved", "refused"),
    [
        ("cpu", 0.9e-4, ""),
        ("cpu", 1.1e-4, "SSIM moves by more than 0.0001"),
        ("NVIDIA H200", 0.9e-4, ""),
        ("NVIDIA H200", 1.1e-4, "SSIM moves by more than 0.0001"),
    ],
)
def test_the_tolerance_is_that_of_float32_on_the_device(device: str, moved: float, refused: str) -> None:
    a, b = outcome(2, SSIM=0.5, RMSE=0.1), outcome(1, SSIM=0.5 + moved, RMSE=0.1)
    found = compared("bfloat16", 64, b, a, metrics("SSIM", "RMSE"), device)
    assert found.deviations == {"SSIM": pytest.approx(moved), "RMSE": 0.0}
    assert (found.refused, found.network_seconds) == (refused, 1)


def test_relative_metrics_are_compared_in_their_own_unit() -> None:
    a, b = outcome(2, PSNR=20.0), outcome(1, PSNR=20.01)
    found = compared("tf32", 64, b, a, metrics("PSNR"), "cpu")
    assert found.deviations == {"PSNR": pytest.approx(0.01 / 20)}
    assert found.refused == ""


@pytest.mark.parametrize(
    ("trials", "dtype"),
    [
        ({"float32": (2.0, ""), "tf32": (1.0, ""), "float16": (0.5, "SSIM moves")}, "tf32"),
        ({"float32": (1.0, ""), "tf32": (2.0, "")}, "float32"),
        ({"float32": (1.0, ""), "tf32": (None, "slower")}, "float32"),
        ({"float32": (1.0, "")}, "float32"),
    ],
)
def test_the_fastest_of_those_that_were_not_refused(trials: dict[str, tuple[float | None, str]], dtype: str) -> None:
    found = [Trial(name, 64, seconds, {}, refused) for name, (seconds, refused) in trials.items()]
    assert fastest(found) == dtype
    assert fastest(found[::-1]) == dtype


@pytest.mark.slow
def test_several_processes_refuse_what_one_would(tmp_path: Path) -> None:
    """A restorer that gives NaN in all but float32: the others do not wait for what the first has given up."""
    script = tmp_path / "nan.py"
    script.write_text(
        "import sys, time\n"
        "from contextlib import contextmanager\n"
        "from coldbench.cli import entry_point\n"
        "from coldbench.diffusion import checkpoints\n"
        "@contextmanager\n"
        "def computing_in(name, network, device):\n"
        "    hook = network.register_forward_hook(\n"
        "        lambda *seen: time.sleep(0.05) or seen[2] if name == 'float32' else seen[2] * float('nan'))\n"
        "    yield\n"
        "    hook.remove()\n"
        "checkpoints.computing_in = computing_in\n"
        "entry_point()\n"
    )
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    arguments = [*RUN, "--images", "40", "--output", str(tmp_path / "out")]
    done = subprocess.run([*starter, *arguments], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    records = load(tmp_path / "out" / "table-4.json")
    assert taken(records) == "float32"
    trials = records[0].conditions.trial
    assert all("NaN" in each.refused for each in trials[1:]), trials
