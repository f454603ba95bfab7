"""``coldbench bench``: the sides compute the same, the clocks count what they say, and the report holds every case."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor

from coldbench.commands.bench import command, sides
from coldbench.commands.bench.apart import cycled
from coldbench.commands.bench.cases import CASES, Case
from coldbench.commands.bench.clocks import FLOOR, PARTS, Clock, SomeSteps
from coldbench.commands.bench.plain import Chain
from coldbench.commands.bench.workloads import Job, Workload, prepared, smooth_noise
from coldbench.core import array_cache
from coldbench.core.errors import CheckFailed
from coldbench.diffusion.degradations.blur import blur
from tests.helpers import assert_one_clear_line, coldbench

SIDES = ("table-1-mnist", "blur-128", "generate-128")
SMALL: dict[str, Any] = {"network": {"dim": 8, "dim_mults": [1, 2]}, "degradation": {"image_size": 32}}
#: The settings of a blur of each routine.
BLURS: list[dict[str, Any]] = [
    {"routine": "constant", "std": 7.0},
    {"routine": "constant-reflect", "std": 1.0},
    {"routine": "special-6"},
    {"routine": "exponential", "std": 0.05, "kernel_size": 27, "discrete": True},
    {"routine": "exponential-reflect", "std": 0.01, "kernel_size": 15},
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a quick report of the sides, the last of which was measured on its own."""
    folder = tmp_path_factory.mktemp("performance")
    for only in (",".join(SIDES[:2]), SIDES[2]):
        done = coldbench("bench", "--quick", "--only", only, "--output", folder, "--quiet")
        assert (done.returncode, done.stderr) == (0, "")
    return folder


def stored(folder: Path) -> dict[str, Any]:
    cases: dict[str, Any] = json.loads((folder / "performance-quick.json").read_text())["cases"]
    return cases


def test_cases_are_merged_into_one_report(report: Path) -> None:
    assert list(stored(report)) == list(SIDES)
    told = (report / "performance-quick.md").read_text()
    drawn = (report / "performance-quick.svg").read_text()
    ElementTree.fromstring(drawn)
    assert all(f"| {name} " in told and f">{name}, " in drawn for name in SIDES)
    for condition in ("2 cores", "float32", "seed 0", "revision", "torch "):
        assert condition.replace("2", str(os.cpu_count())) in told
    assert f"{torch.get_num_threads()} threads" in told
    assert "a quick trial, whose numbers mean nothing" in told


@pytest.mark.parametrize("name", SIDES)
def test_the_parts_of_a_side_are_all_of_it(report: Path, name: str) -> None:
    found = stored(report)[name]["found"]
    assert 0 <= found["apart"] <= sides.TOLERANCE
    for side in ("ours", "plain"):
        parts = found[side]["parts"]
        assert set(parts) == {*PARTS, "everything else"}
        assert found[side]["seconds"] == pytest.approx(sum(parts.values()))
        assert found[side]["floor_seconds"] > 0
        assert min(parts["network"], parts["degrading"], parts["features"], parts["everything else"]) > 0
    assert found["ours"]["forwards"] == found["plain"]["forwards"]
    chunks = -(-found["images"] // found["images_at_a_time"])
    assert found["ours"]["forwards"] == found["steps"] * chunks
    assert found["ours"]["parts"]["intervals"] > 0 == found["plain"]["parts"]["intervals"]


def test_a_case_that_is_measured_again_leaves_the_others(report: Path) -> None:
    before = stored(report)
    assert coldbench("bench", "--quick", "--only", "blur-128", "--output", report, "--quiet").returncode == 0
    after = stored(report)
    assert [name for name in SIDES if before[name] != after[name]] == ["blur-128"]


@pytest.mark.slow
def test_processes_and_memory_are_measured_apart(tmp_path: Path) -> None:
    done = coldbench("bench", "--quick", "--only", "processes,memory", "--output", tmp_path)
    assert (done.returncode, done.stderr) == (0, "measuring processes\nmeasuring memory\n")
    cases = stored(tmp_path)
    assert min(cases["processes"]["found"]["seconds"].values()) > 0
    assert min(cases["memory"]["found"]["peak_mib"].values()) > 100
    assert "| 2 processes of 1 thread" in done.stdout
    assert "peak memory of 256 images over 64" in done.stdout


@pytest.mark.parametrize("settings", BLURS, ids=lambda settings: settings["routine"])
@pytest.mark.parametrize("s", [0, 1, 5, 6])
def test_the_plain_side_blurs_as_the_paper_defines_it(settings: dict[str, Any], s: int, images: Tensor) -> None:
    whole = blur(image_size=32, timesteps=6, **settings)
    whole.settings |= settings
    assert (Chain(SomeSteps(whole, 6, Clock(torch.device("cpu"))))(images, s) - whole(images, s)).abs().max() < 5e-6


def test_sides_that_differ_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Chain.__call__
    monkeypatch.setattr(Chain, "__call__", lambda self, x, s: right(self, x, max(s - 1, 0)))
    with pytest.raises(CheckFailed, match=r"the plain side's images are .* from ours"):
        sides.compared(Workload("", "mnist-blur", ("degraded", "sampled", "direct"), 2, 2, network=SMALL["network"]), 1)


def test_numbers_that_differ_are_not_compared() -> None:
    x, ours = torch.zeros(1, 1, 4, 4), {("direct", "FID"): 50.0, ("direct", "SSIM"): 0.5}
    assert sides._agree(ours, x, ours | {("direct", "FID"): 50.2}, x + 1e-5) == pytest.approx(1e-5)
    for wrong in ({("direct", "FID"): 50.3}, {("direct", "SSIM"): 0.5002}):
        with pytest.raises(CheckFailed, match=r"the plain side's (FID|SSIM) of direct is"):
            sides._agree(ours, x, ours | wrong, x)


def test_steps_are_spread_so_that_they_cost_what_all_steps_cost() -> None:
    whole = blur(image_size=32, timesteps=200, routine="special-6")
    some = SomeSteps(whole, 10, Clock(torch.device("cpu")))
    severities = [some.severity(i) for i in range(11)]
    assert severities[0] == 0
    assert sum(severities[1:]) / 10 == pytest.approx(sum(range(1, 201)) / 200, abs=0.5)
    every = SomeSteps(whole, 200, Clock(torch.device("cpu")))
    assert [every.severity(i) for i in range(201)] == list(range(201))


def test_a_step_is_that_of_all_steps(images: Tensor) -> None:
    whole, clock = blur(image_size=32, timesteps=20, routine="special-6"), Clock(torch.device("cpu"))
    some = SomeSteps(whole, 4, clock)
    assert some.severity(3) == 13
    assert all(torch.equal(a, b) for a, b in zip(some.pair(images, 3), whole.pair(images, 13), strict=True))
    assert torch.equal(some(images, 0), images)
    assert clock.total("degrading") > 0


def test_what_happens_once_an_image_is_not_scaled_with_the_steps() -> None:
    job = prepared(Workload("", "celeba-blur", ("direct",), 2, 10, **SMALL))
    parts = dict.fromkeys((*PARTS, "everything else"), 0.0) | {"network": 4.0, "features": 1.0, "intervals": 2.0}
    side = {"seconds": 7.0, "floor_seconds": 3.5, "parts": parts}
    assert sides._all_steps(side, job) == pytest.approx(3 + 4 * 20)
    assert sides._ratios(side, job) == pytest.approx({"as_run": 2.0, "all_steps": 83 / 70})


def test_the_floor_is_bare_forwards_that_count_for_no_side(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(x: Tensor, index: Tensor) -> Tensor:
        seen.append((tuple(x.shape), int(index[0])))
        time.sleep(0.02)
        return x

    seen: list[tuple[tuple[int, ...], int]] = []
    job = prepared(Workload("", "celeba-blur", ("direct",), 2, 2, **SMALL))
    monkeypatch.setattr(job.restore.restore, "forward", forward)
    for i in (2, 1):
        job.restore(torch.zeros(20, 3, 32, 32), i)  # two chunks of 16, the second filled up
    assert (job.restore.forwards, len(job.restore.paces), len(job.restore.floor_paces)) == (4, 2, 1)
    assert seen == [((16, 3, 32, 32), s - 1) for s in (150, 150, 50, 50, 50, 50)]
    assert job.clock.total("network") == pytest.approx(4 * 0.02, rel=0.6)
    assert job.clock.total(FLOOR) == pytest.approx(2 * 0.02, rel=0.6)
    assert job.restore.floor_paces[0] == pytest.approx(0.02, rel=0.6)


def test_the_time_of_a_side_is_without_the_floor() -> None:
    def run(job: Job) -> dict[tuple[str, str], float]:
        job.clock.add(FLOOR, 100.0)
        return {}

    (_, seconds), _ = sides._timed(Workload("", "celeba-blur", ("direct",), 2, 2, **SMALL), run)
    assert seconds == pytest.approx(-100, abs=10)


def test_ratios_are_what_is_divided_by_what() -> None:
    processes = {"seconds": {"1 of 2": 10.0, "2 of 1": 11.0, "1 of 1": 20.0}}
    assert [ratio.value for ratio in CASES["processes"].ratios(processes)] == pytest.approx([1.1, 20 / 11])
    memory = {"peak_mib": {"1000": 800.0, "10000": 810.0, "50000": 840.0}}
    (ratio,) = CASES["memory"].ratios(memory)
    assert (ratio.value, ratio.name, ratio.said()) == (
        pytest.approx(1.05),
        "peak memory of 50,000 images over 1,000",
        "at most 1.1",
    )


def test_an_unknown_case_is_told() -> None:
    done = coldbench("bench", "--only", "blur-129")
    assert_one_clear_line(done, 2, "unknown case 'blur-129'; did you mean blur-128 or blur-128-gpu?")


@pytest.mark.parametrize("content", ["", "{}", '{"cases": {"blur-128": {}}}', '{"cases": {"no-case": {}}}', "[1]"])
def test_a_report_that_cannot_be_read_is_left_alone(content: str, tmp_path: Path) -> None:
    path = tmp_path / "performance-quick.json"
    path.write_text(content)
    done = coldbench("bench", "--quick", "--only", "blur-128", "--output", tmp_path)
    assert_one_clear_line(done, 2, "performance-quick.json is no report of coldbench bench")
    assert path.read_text() == content


def test_the_cache_is_not_used_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(quick: bool) -> dict[str, Any]:
        limits.append(array_cache.limit())
        return {"peak_mib": {"1": 1.0, "2": 1.0}, "seconds": {}}

    monkeypatch.setenv(array_cache.LIMIT, "2.5")
    limits = [array_cache.limit()]
    monkeypatch.setitem(CASES, "memory", Case("memory", measure, CASES["memory"].ratios))
    command.bench(tmp_path, only=["memory"], quiet=True)
    assert limits[0] > 0 == limits[1]
    assert array_cache.limit() == limits[0]


def test_more_images_than_there_are_begin_again() -> None:
    source = smooth_noise(3, 16)
    more = cycled(source, 7)
    assert (more.count, more.array) == (7, None)
    assert more.read(5).tobytes() == source.read(2).tobytes() != source.read(1).tobytes()
    assert cycled(source, 2) is source


def test_the_stored_report_is_that_of_all_cases() -> None:
    folder = Path(__file__).parents[2] / "results" / "performance"
    cases = json.loads((folder / "performance.json").read_text())["cases"]
    assert list(cases) == list(CASES)
    assert (folder / "performance.md").read_text() == command.markdown(cases)
    assert (folder / "performance.svg").read_text() == command.picture(cases)
    assert not any(case["conditions"]["quick"] for case in cases.values())


def test_examples_of_the_help_run(tmp_path: Path) -> None:
    text = coldbench("bench", "--help").stdout
    examples = [line.split()[1:] for line in text.splitlines() if line.startswith("    coldbench bench")]
    assert len(examples) == 3
    assert all(name in text for name in CASES)
    done = coldbench(*examples[-1], cwd=tmp_path)
    assert (done.returncode, "## Ratios" in done.stdout) == (0, True)
