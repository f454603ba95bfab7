"""``coldbench train`` under torchrun: the weights of one process, and nothing lost whichever process dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.helpers import coldbench

pytestmark = pytest.mark.slow

REGISTRY = """
[mine]
dataset = "mnist"
network = { name = "convnext-unet", dim = 8, dim_mults = [1, 2], channels = 1 }
degradation = { name = "inpaint", image_size = 16, timesteps = 4, kernel_std = 1, initial_mask = 1 }
training = { steps = 6, batch_size = 8, lr = 1e-3, ema = 0.5, seed = 0 }

[writing]
dataset = "mnist"
network = { name = "writing:Net", channels = 1 }
degradation = { name = "inpaint", image_size = 16, timesteps = 4, kernel_std = 1, initial_mask = 1 }
training = { steps = 2, batch_size = 5, seed = 0 }

[idle]
dataset = "mnist"
network = { name = "writing:Net", channels = 1, idle = true }
degradation = { name = "inpaint", image_size = 16, timesteps = 4, kernel_std = 1, initial_mask = 1 }
training = { steps = 2, batch_size = 5, seed = 0 }
"""
#: A network that writes down how many images it is shown, and what torch draws then, as dropout would.
WRITING = """
import os
import torch

class Net(torch.nn.Module):
    def __init__(self, channels: int, idle: bool = False) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(channels, channels, 3, padding=1)
        if idle:
            self.idle = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, time):
        with open(f"shown-{os.environ.get('RANK', 'alone')}", "a") as stream:
            print(len(x), torch.rand(1).item(), file=stream)
        return self.convolution(x)
"""


@pytest.fixture
def folder(tmp_path: Path, own_registry: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with forty images in a.npz and a plug-in; the registry has networks to train."""
    own_registry.write_text(REGISTRY)
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images)
    (tmp_path / "writing.py").write_text(WRITING)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*more: str, name: str = "mine") -> tuple[str, ...]:
    return ("train", name, "--data", "npz:a.npz", "--workers", "0", "--no-compile", *more)


def torchrun(processes: int, *arguments: str) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*launcher, "-m", "coldbench", *arguments]


def ended(processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(torchrun(processes, *arguments), capture_output=True, text=True, check=False, timeout=180)


def stopped(processes: int, which: int | None, by: signal.Signals, output: str) -> subprocess.CompletedProcess[str]:
    """A command that trains, of which a process gets a signal after the third step, or torchrun itself."""
    steps = ("--set", "steps=40", "--grid-every", "3", "--output", output)
    pipe = subprocess.PIPE
    with subprocess.Popen(torchrun(processes, *train(*steps)), stdout=pipe, stderr=pipe, text=True) as launcher:
        picture = Path(output, "mine", "samples", "step-000003.png")
        while not picture.exists() and launcher.poll() is None:
            time.sleep(0.02)
        os.kill(launcher.pid if which is None else child_of(launcher.pid, which), by)
        started = time.monotonic()
        stdout, stderr = launcher.communicate()
        assert time.monotonic() - started < 30
    return subprocess.CompletedProcess([], launcher.returncode, stdout, stderr)


def child_of(pid: int, rank: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (found,) = [int(child) for child in children if f"\0RANK={rank}\0".encode() in environment(child)]
    return found


def environment(pid: str) -> bytes:
    return b"\0" + Path(f"/proc/{pid}/environ").read_bytes()


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What coldbench says at the end; torchrun has words of its own, with a traceback of its own."""
    assert "[rank" not in done.stderr, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("coldbench: ")]


def weights(output: str) -> dict[str, torch.Tensor]:
    return load_file(Path(output, "mine", "mine.safetensors"))


def state(output: str) -> dict[str, Any]:
    return torch.load(Path(output, "mine", "state.pt"), weights_only=True)


def furthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max((tensor - other[name]).abs().max().item() for name, tensor in one.items())


@pytest.mark.parametrize(("processes", "accumulate"), [(2, 1), (3, 2)])
def test_several_processes_train_as_one_does(processes: int, accumulate: int, folder: Path) -> None:
    """To rounding, which is 4e-7 of weights up to 1 with two processes and 2e-6 with three, whose parts differ."""
    how = train("--held-out", "8", "--set", f"accumulate={accumulate}", "--quiet")
    # With one thread, as torchrun's processes have: Adam's first steps make much of a gradient's last digit.
    command = [sys.executable, "-m", "coldbench", *how, "--output", "one"]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    done = ended(processes, *how, "--output", "several")
    assert (done.returncode, said(done)) == (0, [])
    assert done.stdout.count("mine now means these weights") == 1
    assert furthest(weights("one"), weights("several")) < 1e-5
    one, several = state("one"), state("several")
    assert several["losses"] == pytest.approx(one["losses"], abs=1e-5, nan_ok=True)
    assert len(one["curve"]) == 6
    np.testing.assert_allclose(several["curve"], one["curve"], atol=1e-5)
    assert several["network"].keys() == one["network"].keys()
    card = Path("several", "mine", "model-card.md").read_text()
    assert f"| Machine | {processes} processes, each: " in card


def test_each_process_is_shown_its_part_and_draws_for_itself(folder: Path) -> None:
    """What the first draws is what a process draws that is alone."""
    assert coldbench(*train("--output", "one", name="writing")).returncode == 0
    assert ended(2, *train("--output", "two", name="writing")).returncode == 0
    shown = {who: Path(f"shown-{who}").read_text().split() for who in ("alone", "0", "1")}
    assert [each[::2] for each in shown.values()] == [["5", "5"], ["2", "2"], ["3", "3"]]
    assert shown["0"][1::2] == shown["alone"][1::2]
    assert not set(shown["1"][1::2]) & set(shown["alone"][1::2])


@pytest.mark.parametrize("which", [0, 1])
def test_a_process_that_is_killed_ends_all_and_no_step_is_lost(which: int, folder: Path) -> None:
    done = stopped(2, which, signal.SIGKILL, "out")
    (line,) = said(done)
    assert done.returncode != 0
    assert line.startswith(f"coldbench: process {which} of 2 has ")
    saved = state("out")["step"]
    assert saved >= 3
    resumed = coldbench(*train("--set", "steps=40", "--output", "out"))
    assert resumed.returncode == 0
    assert f"mine is resumed after step {saved} of 40" in resumed.stderr


@pytest.mark.parametrize("which", [None, 1])
def test_a_stopped_command_goes_on_with_another_number_of_processes(which: int | None, folder: Path) -> None:
    """Whichever of them is told to stop, all stop after the same step."""
    done = stopped(2, which, signal.SIGTERM, "out")
    assert said(done) == ["coldbench: interrupted; the same command resumes from here"]
    assert 3 <= state("out")["step"] < 40
    resumed = ended(3, *train("--set", "steps=40", "--output", "out"))
    assert resumed.returncode == 0
    assert re.search(r"mine is resumed after step \d+ of 40", resumed.stderr)
    assert coldbench(*train("--set", "steps=40", "--output", "whole", "--quiet")).returncode == 0
    assert furthest(weights("whole"), weights("out")) < 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (train("--set", "batch_size=1"), "batch_size = 1 is too few images for 2 processes"),
        (train(name="idle"), "nothing depends on idle of the network: it can be trained by one process alone"),
        (("train", "mnist-cnn"), "the training of mnist-cnn is the work of one process: start it without torchrun"),
    ],
)
def test_what_several_processes_cannot_train_is_told_once(
    arguments: tuple[str, ...], message: str, folder: Path
) -> None:
    done = ended(2, *arguments)
    (line,) = said(done)
    assert done.returncode != 0
    assert message in line
    assert not list(folder.rglob("state.pt"))
