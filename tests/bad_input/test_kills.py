"""Twenty kills at random moments: nothing that was finished is lost, nothing half-written is read.

Those of ``import`` and ``fetch`` are in their own tests. Commands are children by fork of a process that has imported
all they need, so that a kill meets their work instead of the imports.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from coldbench.diffusion import training
from coldbench.diffusion.catalog import find_entry
from coldbench.diffusion.checkpoints import load_network
from coldbench.records.record import Record, load, save
from tests.helpers import coldbench, edited, run_apart

KILLS = 20
RUN = ("run", "--table", "3", "--rows", "mnist", "--methods", "degraded,direct", "--images", "192", "--batch-size=16")
REGISTRY = """
[mine]
dataset = "mnist"
network = { name = "convnext-unet", dim = 8, dim_mults = [1, 2], channels = 1 }
degradation = { name = "superres", image_size = 32, timesteps = 3 }
training = { steps = 24, batch_size = 4, seed = 0 }
"""


def child(*arguments: str | Path) -> int:
    """The process of a command; its exit code is the command's."""
    pid = os.fork()
    if not pid:
        os._exit(coldbench(*arguments).returncode)
    return pid


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_at_random(*arguments: str | Path, after: Callable[[], object], anew: Callable[[], object]) -> None:
    """Kill a command twenty times, at moments spread over the time that it takes.

    Args:
        arguments: of the command.
        after: called after each kill.
        anew: called after a whole run, which came to its end before it could be killed.
    """
    chance, takes, kills = random.Random(0), 0.0, 0
    for _ in range(2):  # the first fills caches, and takes longer than those that are killed
        started = time.monotonic()
        assert ended(child(*arguments)) == 0
        takes = time.monotonic() - started
        anew()
    while kills < KILLS:
        pid, end = child(*arguments), time.monotonic() + chance.uniform(0, takes)
        while time.monotonic() < end and not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
        code = ended(pid)
        assert code in (0, -signal.SIGKILL)
        kills += code != 0
        after()
        if code == 0:
            anew()


def check_files(folder: Path) -> None:
    """Whether every file that has its final name can be read."""
    for path in folder.rglob("[!.]*.json"):
        load(path)
    for path in folder.rglob("[!.]*.png"):
        with Image.open(path) as picture:
            picture.load()
    for path in folder.rglob("[!.]*.pt"):
        torch.load(path, weights_only=True)
    for path in folder.rglob("[!.]*.safetensors"):
        load_file(path)


def comparable(path: Path) -> list[Record]:
    """Records without their clocks, and the revision meanwhile."""
    return [edited(each, cost=None, conditions={"revision": ""}) for each in load(path)]


def kills_of_run(folder: str) -> None:
    out, whole, saved = Path(folder) / "killed", Path(folder) / "whole", set()

    def after() -> None:
        check_files(out)
        saved.update(path.stat().st_mtime_ns for path in out.glob(".resume/*.pt"))

    kill_at_random(*RUN, "--output", out, after=after, anew=lambda: shutil.rmtree(out))
    # How many kills meet a measurement under way depends on the machine; a few must.
    assert len(saved) >= 3, "what was measured was not saved"
    for each in (out, whole):
        assert ended(child(*RUN, "--output", each)) == 0
    assert comparable(out / "table-3.json") == comparable(whole / "table-3.json")
    assert sorted(path.name for path in out.iterdir()) == ["pictures", "table-3.json", "table-3.md"]


@pytest.mark.slow
def test_run(tmp_path: Path) -> None:
    run_apart(kills_of_run, str(tmp_path))


def kills_of_train(folder: str) -> None:
    training.train.__kwdefaults__["save_every"] = 0.02  # else a run of a second is saved at its end alone
    data, out, steps = Path(folder) / "a.npz", Path(folder) / "out", [0]
    np.savez(data, images=np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), dtype=np.uint8))
    command = ("train", "mine", "--data", f"npz:{data}", "--workers", "0", "--no-compile", "--grid-every", "10")

    def after() -> None:
        check_files(out)
        state = out / "mine" / "state.pt"
        step = torch.load(state, weights_only=True)["step"] if state.exists() else 0
        assert step >= steps[-1], "a step that was saved is lost"
        steps.append(step)
        entry = find_entry("mine")
        assert entry.sha256 is None or load_network(entry)

    def anew() -> None:
        steps.append(0)
        shutil.rmtree(out)

    kill_at_random(*command, "--output", out, after=after, anew=anew)
    assert len(set(steps)) > KILLS / 4, "what was trained was saved"
    hashes = set()
    for each in (out, Path(folder) / "whole"):
        assert ended(child(*command, "--output", each)) == 0
        assert load_network(find_entry("mine"))
        hashes.add(find_entry("mine").sha256)
        leftovers = [path.name for path in each.rglob(".coldbench-*")]
        assert not leftovers, leftovers
    weights = [load_file(each / "mine" / "mine.safetensors") for each in (out, Path(folder) / "whole")]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


@pytest.mark.slow
def test_train(tmp_path: Path, own_registry: Path) -> None:
    own_registry.write_text(REGISTRY)
    run_apart(kills_of_train, str(tmp_path))


def kills_of_check(folder: str) -> None:
    references = Path(folder)
    for table in "23":
        few = ("--rows", "mnist", "--methods", "degraded", "--images", "60", "--features", "none")
        assert ended(child("run", "--table", table, *few, "--output", references)) == 0
    paths = sorted(references.glob("*.json"))
    right = {path: [each.value for each in load(path)] for path in paths}
    moved = {
        path: [each if each.value is None else edited(each, value=each.value + 0.5) for each in load(path)]
        for path in paths
    }
    seen = set()

    def after() -> None:
        check_files(references)
        for path in paths:
            now = [each.value for each in load(path)]
            assert now in (right[path], [each.value for each in moved[path]]), "a file is half updated"
            seen.add((path, now == right[path]))

    def anew() -> None:
        for path, records in moved.items():
            save(records, path)

    anew()
    command = ("check", "--update", "--reference", references, "--quiet")
    kill_at_random(*command, after=after, anew=anew)
    assert ended(child(*command)) == 0
    assert {path: [each.value for each in load(path)] for path in paths} == right
    for path in paths:
        table = path.with_suffix(".md").read_text()
        assert all(f"{value:.4f}" in table for value in right[path] if value is not None)
    assert ended(child("check", "--reference", references)) == 0
    assert json.dumps(sorted(path.name for path in references.iterdir() if path.is_file())).count("table") == 4


@pytest.mark.slow
def test_check_update(tmp_path: Path) -> None:
    run_apart(kills_of_check, str(tmp_path))
