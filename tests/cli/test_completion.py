"""What a shell offers where a name is to be typed: asked as bash, zsh and fish ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from coldbench.cli import main
from coldbench.cli.completion import ASKED
from coldbench.commands.fetch import WEIGHTS
from coldbench.data.datasets import DATASETS
from coldbench.diffusion.catalog import load_entries
from coldbench.diffusion.registries import DEGRADATIONS, SAMPLERS
from coldbench.metrics.features import FEATURES
from coldbench.metrics.metric import METRICS


def offered(line: str) -> list[str]:
    """What can take the place of the last word of a line."""
    *words, incomplete = line.split(" ")
    return [item.value for item in ShellComplete(main, {}, "coldbench", ASKED).get_completions(words, incomplete)]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("run --table ", ["1", "2", "3", "4", "5", "all"]),
        ("run --rows ", ["mnist", "cifar10", "celeba", "mnist-noise", "afhq-blur-generate"]),
        ("run --table 1 --rows ", ["mnist", "cifar10", "celeba"]),
        ("run --table 5 --rows ", ["mnist-noise", "mnist", "afhq"]),
        ("run --methods ", list(SAMPLERS)),
        ("run --metrics ", list(METRICS)),
        ("run --features ", [*FEATURES, "auto", "none"]),
        ("run --data ", [*DATASETS, "folder:", "npz:"]),
        ("run --device ", ["auto", "cpu", "cuda"]),
        ("evaluate ", [*load_entries(), "diffusers:"]),
        ("evaluate mnist-blur --degradation ", [*DEGRADATIONS, *load_entries()]),
        ("evaluate diffusers:unet --prediction ", ["x0", "eps", "v"]),
        ("compare ", [*SAMPLERS, *load_entries()]),
        ("compare naive improved --model ", [*load_entries(), "diffusers:"]),
        ("train ", list(load_entries())),
        ("train cifar10-blur --preset ", ["quick"]),
        ("train mnist-blur --data ", list(DATASETS)),
        ("import model.pt --like ", list(load_entries())),
        ("fetch ", [*WEIGHTS, *DATASETS]),
        ("check --table ", ["1", "2", "3", "4", "5"]),
        ("statistics ", list(DATASETS)),
        ("", list(main.commands)),
    ],
)
def test_names_are_offered(line: str, names: list[str]) -> None:
    assert set(names) <= set(offered(line)), line


def test_nothing_is_offered_that_cannot_be_fetched() -> None:
    assert set(offered("fetch ")) == {*WEIGHTS, *DATASETS}


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("evaluate mnist-s", ["mnist-superres", "mnist-snow"]),
        ("run --metrics SSIM,p", ["SSIM,Precision", "SSIM,PSNR"]),
        ("run --table 1 --rows mnist,c", ["mnist,cifar10", "mnist,celeba"]),
        ("compare fixed-noise perfect-symmetry f", []),
        ("compare fixed-noise e", ["estimated-noise"]),
        ("fetch mnist cifar10 mn", []),
        ("train mnist-noise --preset q", []),
        ("train --preset q", ["quick"]),
        ("run --table nonsense --rows m", []),
        ("check --table 1,2,3,4,", ["1,2,3,4,5"]),
    ],
)
def test_what_is_typed_decides(line: str, names: list[str]) -> None:
    assert sorted(offered(line)) == sorted(names)


def test_paths_follow_their_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "deep/inside", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("digits.npz", "deep/more.npz", "mine.toml", "notes.txt"):
        (tmp_path / name).touch()
    assert offered("run --data folder:d") == ["folder:deep", "folder:digits"]
    assert offered("run --data npz:") == ["npz:deep/", "npz:digits/", "npz:digits.npz"]
    assert offered("run --data npz:deep/m") == ["npz:deep/more.npz"]
    assert offered("run --data folder:deep/") == ["folder:deep/inside"]
    assert offered("evaluate diffusers:di") == ["diffusers:digits"]
    assert offered("run --table ")[-1] == "mine.toml"
    assert offered("run --data folder:nowhere/x") == []


def test_one_s_own_models_are_offered(own_registry: Path) -> None:
    own_registry.write_text(
        '[mine]\ndataset = "mnist"\nnetwork = { name = "n" }\ndegradation = { name = "d" }\ntraining = {}\n'
    )
    assert offered("evaluate mi") == ["mine"]


def test_a_registry_that_cannot_be_read_offers_nothing_and_says_nothing(
    own_registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_registry.write_text("nonsense")
    assert offered("evaluate mn") == []
    assert capsys.readouterr() == ("", "")


def ask(shell: str, words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The program, asked as the script of a shell asks it."""
    asked = {ASKED: f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1), **more}
    command = [sys.executable, "-c", "from coldbench.cli import entry_point; entry_point()"]
    return subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("shell", "told"),
    [
        ("bash", "plain,mnist-superres\nplain,mnist-snow\n"),
        ("zsh", "plain\nmnist-superres\n_\nplain\nmnist-snow\n_\n"),
        ("fish", "mnist-superres"),
    ],
)
def test_the_program_answers_every_shell(shell: str, told: str) -> None:
    done = ask(shell, "coldbench evaluate mnist-s", **({"COMP_CWORD": "mnist-s"} if shell == "fish" else {}))
    assert (done.returncode, done.stderr) == (0, "")
    assert told in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_of_the_shells_are_printed(shell: str) -> None:
    done = ask(shell, "", **{ASKED: f"{shell}_source"})
    assert done.returncode == 0, done.stderr
    assert f"{ASKED}={shell}_complete" in done.stdout


@pytest.mark.parametrize(
    "line",
    [
        "run --table ",
        "run --table 1 --rows ",
        "run --metrics ",
        "run --features ",
        "run --data ",
        "evaluate ",
        "evaluate x --degradation ",
        "compare ",
        "compare --model ",
        "train ",
        "fetch ",
        "statistics ",
    ],
)
def test_nobody_waits_for_torch(line: str) -> None:
    """In one process of its own for each line, as whoever presses Tab has it."""
    code = (
        "import sys; from click.shell_completion import ShellComplete; from coldbench.cli import main\n"
        f"*words, last = {line!r}.split(' ')\n"
        "assert ShellComplete(main, {}, 'coldbench', 'X').get_completions(words, last)\n"
        "heavy = {'torch', 'torchvision', 'diffusers', 'pandas', 'scipy'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_by_the_script(tmp_path: Path) -> None:
    program = tmp_path / "coldbench"
    program.write_text(f"#!{sys.executable}\nfrom coldbench.cli import entry_point\nentry_point()\n")
    program.chmod(0o755)
    script = (
        f'eval "$({ASKED}=bash_source coldbench)"\n'
        "COMP_WORDS=(coldbench evaluate mnist-s) COMP_CWORD=2\n"
        '_coldbench_completion coldbench; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["mnist-superres", "mnist-snow"], done.stderr
