"""Several processes that are one command, as torchrun starts them: real ones, on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from coldbench.core import processes

#: torchrun waits this long for processes that do not end by themselves.
LONGEST = 30


def torchrun(count: int, *arguments: str) -> list[str]:
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return [*starter, "-m", "coldbench", *arguments]


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, **options)


def lines_of_ours(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("coldbench:")]


def numbers(stdout: str) -> dict[tuple[str, str, str], tuple[float, list[float]]]:
    """(row, method, metric) -> value and interval."""
    return {
        (each["where"]["table"], each["where"]["method"], each["metric"]["label"]): (each["value"], each["interval"])
        for each in json.loads(stdout)
        if each["status"] == "measured"
    }


def assert_same(found: str, expected: str) -> None:
    """SSIM and RMSE to 1e-9, Frechet distances and all intervals to 1e-6, relative to the number."""
    ours, theirs = numbers(found), numbers(expected)
    assert ours.keys() == theirs.keys()
    for key, (value, interval) in theirs.items():
        tolerance = 1e-6 if key[2].startswith("FD") else 1e-9
        assert ours[key][0] == pytest.approx(value, rel=tolerance)
        assert ours[key][1] == pytest.approx(interval, rel=1e-6)


def test_variables_of_batch_systems_start_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "nowhere", "SLURM_NTASKS": "4"}.items():
        monkeypatch.setenv(name, value)
    assert processes.launched() == 1
    with processes.joined() as store:
        assert store is None
        assert (processes.rank(), processes.size(), processes.is_first()) == (0, 1, True)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_the_number_of_processes_changes_no_number(count: int, tmp_path: Path) -> None:
    """In all five tables; 41 images are no multiple of anything."""
    command = ("run", "--table", "all", "--rows", "mnist", "--images", "41", "--format", "json", "--quiet")
    alone = run(sys.executable, "-m", "coldbench", *command, "--output", str(tmp_path / "alone"))
    together = run(*torchrun(count, *command, "--output", str(tmp_path / "together")))
    assert together.returncode == 0, together.stderr
    assert {key[0] for key in numbers(alone.stdout)} == {"1", "2", "3", "4", "5"}
    assert_same(together.stdout, alone.stdout)
    assert {each["conditions"]["processes"] for each in json.loads(together.stdout)} == {count}
    files = [sorted(path.name for path in (tmp_path / name).rglob("*")) for name in ("alone", "together")]
    assert files[0] == files[1], "one process writes, and no state is left"


@pytest.mark.slow
def test_a_process_that_dies_ends_the_command_which_resumes_with_another_number(tmp_path: Path) -> None:
    command = ("run", "--table", "3", "--rows", "mnist", "--images", "801", "--batch-size", "16", "--quiet")
    command = (*command, "--format", "json")
    folder = tmp_path / "out"
    started = subprocess.Popen(
        torchrun(2, *command, "--output", str(folder)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while len(list(folder.glob(".resume/*.pt"))) < 2:
        assert started.poll() is None
        time.sleep(0.05)
    os.kill(worker(started.pid, rank=1), signal.SIGKILL)
    killed = time.monotonic()
    _, stderr = started.communicate()
    assert time.monotonic() - killed < LONGEST
    assert started.returncode != 0
    assert lines_of_ours(stderr) == [
        "coldbench: process 1 of 2 has died (killed, or out of memory?); the same command resumes from here"
    ]
    assert len(list(folder.glob(".resume/*.pt"))) == 2
    resumed = run(sys.executable, "-m", "coldbench", *command, "--output", str(folder))
    assert resumed.returncode == 0, resumed.stderr
    assert not (folder / ".resume").exists()
    undisturbed = run(*torchrun(3, *command, "--output", str(tmp_path / "undisturbed")))
    assert_same(resumed.stdout, undisturbed.stdout)


def worker(torchrun_pid: int, rank: int) -> int:
    """The process of this rank: torchrun says it in the environment."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == torchrun_pid and f"RANK={rank}".encode() in variables:
            return int(path.name)
    raise AssertionError(f"no process of rank {rank}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "--table", "9"), 2, "unknown table '9'"),
        (("list", "models"), 2, "coldbench list is the work of one process: start it without torchrun"),
    ],
)
def test_what_fails_on_all_processes_is_said_once(arguments: tuple[str, ...], code: int, words: str) -> None:
    done = run(*torchrun(2, *arguments))
    assert done.returncode != 0
    (line,) = lines_of_ours(done.stderr)
    assert words in line
    assert "process 1" not in line
    assert f"exitcode  : {code}" in done.stderr
    assert not done.stdout


@pytest.mark.slow
def test_check_and_compare_are_shared_too(tmp_path: Path) -> None:
    checked = run(*torchrun(2, "check", "--table", "3", "--quiet"))
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count("Against the records in") == 1
    output = ("--images", "33", "--quiet", "--output")
    compared = run(*torchrun(2, "compare", "fixed-noise", "estimated-noise", *output, str(tmp_path / "c")))
    assert compared.returncode == 0, compared.stderr
    assert (tmp_path / "c" / "fixed-noise-vs-estimated-noise.png").exists()
    evaluated = run(*torchrun(2, "evaluate", "mnist-superres", *output, str(tmp_path / "e")))
    assert evaluated.returncode == 0, evaluated.stderr
    assert (tmp_path / "e" / "table-evaluate-mnist-superres.json").exists()


def apart(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Two processes as on two machines: each in a working directory of its own, of which the second is empty."""
    (tmp_path / "1").mkdir()
    script = tmp_path / "apart.sh"
    script.write_text(f'cd "{tmp_path}/$RANK" && exec "{sys.executable}" -m coldbench "$@"')
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    return run(*starter, "bash", str(script), *arguments)


@pytest.mark.slow
def test_processes_that_do_not_find_the_same_images_do_not_wait_for_each_other(tmp_path: Path) -> None:
    images = tmp_path / "0" / "data" / "celeba-hq" / "test"
    images.mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (128, 128), (number, 0, 0)).save(images / f"{number}.png")
    how = ("--images", "2", "--methods", "degraded", "--features", "none", "--quiet", "--data-root", "data")
    done = apart(tmp_path, "run", "--table", "4", "--rows", "celeba", *how, "--output", str(tmp_path / "out"))
    assert done.returncode != 0
    (line,) = lines_of_ours(done.stderr)
    assert line.startswith("coldbench: process 1 of 2: the processes do not find the same: only here, CelebA-HQ images")


@pytest.mark.slow
def test_processes_that_do_not_see_the_same_folder_measure_nothing(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    how = ("--images", "20", "--methods", "degraded", "--features", "none", "--quiet", "--output", "out")
    done = apart(tmp_path, "run", "--table", "3", "--rows", "mnist", *how)
    assert done.returncode != 0
    (line,) = lines_of_ours(done.stderr)
    assert "process 1 of 2: out is not the folder that the first process has: all machines must see" in line
    assert not list(tmp_path.rglob("*.pt"))
