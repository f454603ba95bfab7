"""Every example that a --help prints runs, on small stand-ins for what it names."""

from __future__ import annotations

import gzip
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coldbench.cli import main
from coldbench.core.paths import shipped
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.catalog import find_entry
from coldbench.metrics.classifier import RECIPE
from tests.helpers import coldbench
from tests.pages.blocks import PAGES, typed_commands
from tests.tiny_unet import save_tiny_unet

COMMANDS = (
    "run",
    "evaluate",
    "compare",
    "sweep",
    "restore",
    "score",
    "check",
    "diff",
    "show",
    "board",
    "export",
    "report",
    "bench",
    "statistics",
    "list",
    "train",
    "import",
    "fetch",
)
FEW = ("--images", "4", "--quiet")
#: What is added to an example of a command, so that it takes seconds; it says nothing that the example says.
ADDED = {
    **dict.fromkeys(("run", "evaluate", "compare", "sweep", "restore", "score", "statistics"), FEW),
    "check": ("--quiet",),
    "train": ("--no-compile", "--quiet"),
}


def examples() -> list[str]:
    """The commands in the help of every command, without what explains them."""
    texts = [coldbench("--help").stdout, *(coldbench(command, "--help").stdout for command in COMMANDS)]
    whole = re.sub(r" \\\n +", " ", "\n".join(texts))  # a backslash ends a line that goes on
    lines = [line.strip() for line in whole.splitlines() if re.match(r" {4}coldbench [a-z]", line)]
    return commands_in(lines)


def commands_in(lines: list[str]) -> list[str]:
    """The commands of some lines, each once, without the program's name."""
    parts = [part.strip() for line in lines for part in re.split(r" {2,}|#", line)[0].split(" && ")]
    return list(dict.fromkeys(part.removeprefix("coldbench ") for part in parts if part.startswith("coldbench ")))


def manual_examples() -> list[str]:
    """The commands of README and manual that no --help has."""
    lines = [line for page in PAGES for line in typed_commands(page.read_text(encoding="utf-8"))]
    return [each for each in commands_in(lines) if each not in examples()]


MODULE = """
import torch
from coldbench import Degradation, array_source

def restore(x, s):
    return x

def a(x, s):
    return x

def b(x, s):
    return 0.9 * x

class Fade(Degradation):
    def __init__(self, *, timesteps: int, image_size: int = 24) -> None:
        super().__init__(timesteps=timesteps, image_size=image_size)

    def forward(self, x0, s, context=None):
        return x0 * (1 - torch.as_tensor(s, dtype=x0.dtype).reshape(-1, 1, 1, 1) / (2 * self.timesteps))

def my_images(root, *, train=False):
    import numpy as np
    return array_source("mine", np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3), dtype=np.uint8))
"""
TABLE = """
[tables.mine]
caption = "Mine"
methods = ["degraded", "direct"]
metrics = ["SSIM"]

[[tables.mine.rows]]
dataset = "my_module:my_images"
checkpoint = "my_module:restore"
degradation = { name = "my_module:Fade", timesteps = 5 }
"""
#: The recipes that the examples of train name, made small.
RECIPES = """
[mnist-blur]
dataset = "mnist"
network = { name = "convnext-unet", dim = 8, dim_mults = [1, 2], channels = 1 }
degradation = { name = "blur", image_size = 32, timesteps = 2, routine = "constant", std = 1.0 }
training = { steps = 2, batch_size = 4 }
presets = { paper = { training = { steps = 1 } } }

[mnist-superres]
dataset = "mnist"
network = { name = "convnext-unet", dim = 8, dim_mults = [1, 2], channels = 1 }
degradation = { name = "superres", image_size = 32, timesteps = 2 }
training = { steps = 2, batch_size = 4 }

[cifar10-blur]
dataset = "cifar10"
network = { name = "convnext-unet", dim = 8, dim_mults = [1, 2], channels = 3 }
degradation = { name = "blur", image_size = 32, timesteps = 2, routine = "constant", std = 1.0 }
training = { steps = 2, batch_size = 4 }
presets = { quick = { training = { steps = 1 } } }
"""


def noise(count: int, size: int, *, grey: bool = False) -> np.ndarray:
    shape = (count, size, size) if grey else (count, size, size, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def fill(folder: Path, images: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:02}.png")


def idx(values: np.ndarray) -> bytes:
    """Gzipped, as MNIST's files are."""
    header = np.array([0x800 + values.ndim, *values.shape], ">i4").tobytes()
    return gzip.compress(header + values.astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples find in their working directory, and the data sets that do not ship under ``data``."""
    stage = tmp_path_factory.mktemp("stage")
    (stage / "my_module.py").write_text(MODULE)
    (stage / "my_table.toml").write_text(TABLE)
    fill(stage / "my_digits", noise(4, 30, grey=True))
    fill(stage / "f", noise(4, 70))
    for name in ("my_degraded", "my_restored", "my_generated", "my_holes"):
        fill(stage / name, noise(4, 32, grey=True))
    fill(stage / "my_originals", 255 - noise(4, 32, grey=True))
    holes = build_degradation(find_entry("mnist-inpaint").degradation)
    offsets = holes.draw(range(4), 0)
    assert offsets is not None
    masks = holes.context_as_images(offsets)[:, 0] * 255
    fill(stage / "my_masks", masks.round().byte().numpy())
    fill(stage / "cifar_jpeg", noise(4, 32))
    for name in ("cifar10_test", "cifar_true", "test_first1017"):
        np.savez(stage / f"{name}.npz", images=noise(6, 32))
    np.savez(stage / "mnist_test.npz", mu=np.zeros(128), sigma=np.eye(128))
    raw = stage / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(idx(noise(60, 28, grey=True)))
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.arange(60) % 10))
    fill(stage / "data" / "cifar10" / "train", noise(8, 32))
    fill(stage / "data" / "celeba-hq", noise(40, 64))
    return stage


@pytest.fixture
def at_hand(stage: Path, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of its own with all of this in it."""
    for item in stage.iterdir():
        (tmp_path / item.name).symlink_to(item)
    (own_home / "data").symlink_to(stage / "data")
    shutil.copytree(shipped("results", "reference"), tmp_path / "results" / "reference")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("my_") and name not in before]:
        del sys.modules[name]


def prepare(command: str, words: list[str], at_hand: Path, own_home: Path, request: pytest.FixtureRequest) -> None:
    """What an example expects an earlier command to have left."""
    few = ("--methods", "degraded", "--metrics", "SSIM", *FEW)
    if "diffusers:my_unet" in words:
        save_tiny_unet(at_hand / "my_unet")
    if command == "check":
        run = (
            "run",
            "--table",
            "1",
            "--rows",
            "cifar10",
            "--data",
            "npz:cifar10_test.npz",
            "--output",
            "cifar_records",
        )
        assert coldbench(*run, *few).returncode == 0
        assert coldbench("run", "--table", "3", "--rows", "mnist", "--output", "my_records", *few).returncode == 0
    elif command == "diff":
        (at_hand / "results" / "run").mkdir()
        shutil.copy("results/reference/quick/table-3.json", "results/run/table-3.json")
    elif command == "import":
        released = request.getfixturevalue("shared") / "fixtures" / "released"
        names = {"my-snow": "snow_level3", "celeba-blur-generate": "generate_blur"}
        name = next((names[word] for word in words if word in names), "blur_constant")
        shutil.copy(released / f"{name}.model.pt", "model.pt")
    elif command == "train":
        (own_home / "models").mkdir()
        (own_home / "models" / "registry.toml").write_text(RECIPES)
        request.getfixturevalue("monkeypatch").setitem(RECIPE, "steps", 2)
        if "--from" in words:
            assert coldbench("train", "mnist-blur", *ADDED["train"]).returncode == 0
            shutil.move("runs/mnist-blur/mnist-blur.safetensors", "start.safetensors")
            shutil.rmtree("runs")
            Path("runs", "mnist-blur").mkdir(parents=True)
            shutil.move("start.safetensors", "runs/mnist-blur/mnist-blur.safetensors")


def few_of(command: str, words: list[str]) -> list[str]:
    """What is added to make it small, in the place of what the example says where it must be."""
    added = list(ADDED.get(command, ()))
    if command == "check" and "--reference" not in words:
        added += ["--reference", "my_records"]  # those that ship take minutes; tests/commands/test_check.py has them
    if "--held-out" in words:
        added += ["--set", "steps=2", "--held-out", "4"]
    return added


def runnable() -> list[object]:
    """Those that download nothing; the one that measures every table takes its time."""
    return [
        pytest.param(each, marks=[pytest.mark.slow] if "--table all" in each else [])
        for each in examples()
        if not each.startswith("fetch")
    ]


@pytest.mark.parametrize("example", runnable())
def test_examples_run(example: str, at_hand: Path, own_home: Path, request: pytest.FixtureRequest) -> None:
    command, *words = shlex.split(example)
    prepare(command, words, at_hand, own_home, request)
    done = coldbench(command, *words, *few_of(command, words))
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("example", [each for each in (*examples(), *manual_examples()) if each.startswith("fetch")])
def test_examples_that_download_are_only_read(example: str) -> None:
    """They would fetch real data; tests/data/test_fetch.py fetches from a server of its own."""
    command, *words = shlex.split(example)
    with main.commands[command].make_context(command, list(words)) as context:
        assert context.params["names"] == tuple(words)


def test_there_are_examples_of_everything() -> None:
    assert {each.split()[0] for each in examples()} == set(COMMANDS)
    assert len(examples()) > 35
