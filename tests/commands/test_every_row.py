"""Every row of every table runs on a tree in the layout of its data set, with small networks of random weights."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coldbench.commands.draft import NOTHING_GIVEN, draft_of
from coldbench.commands.request import Request
from coldbench.core.errors import Missing
from coldbench.data.datasets import nine_tenths, open_afhq, open_celeba, open_cifar10
from coldbench.data.folders import look_into
from coldbench.data.transforms import TRANSFORMS
from coldbench.diffusion.building import build_degradation, build_network
from coldbench.diffusion.catalog import (
    find_entry,
    find_recipe,
    intended_entry,
    load_entries,
    register,
)
from coldbench.diffusion.recipe import Recipe
from coldbench.tables.tables import Row, paper_tables
from tests.helpers import assert_one_clear_line, coldbench

ROWS = [row for table in paper_tables().values() for row in table.rows]
#: Sizes, modes and suffixes that a folder of photographs may hold.
KINDS = [((131, 128), "RGB", "png"), ((128, 150), "L", "png"), ((97, 97), "RGBA", "png"), ((260, 140), "RGB", "jpg")]


@pytest.fixture(scope="module")
def photographs(shared: Path) -> np.ndarray:
    """Real images, uint8 (1017, 32, 32, 3)."""
    with np.load(shared / "data" / "cifar10" / "test_first1017.npz") as archive:
        images: np.ndarray = archive["images"]
    return images


@pytest.fixture(scope="module")
def tree(photographs: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with all four sets."""
    root = tmp_path_factory.mktemp("data")
    pictures = map(Image.fromarray, photographs)
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    digits = np.random.default_rng(0).integers(0, 256, (30, 28, 28), dtype=np.uint8)
    header = np.array([0x803, 30, 28, 28], ">i4").tobytes()
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + digits.tobytes()))
    for split in ("train", "test"):
        fill(root / "cifar10" / split, pictures, ["bird", "ship"], 6, [((32, 32), "RGB", "png")])
    fill(root / "celeba-hq", pictures, ["."], 80, KINDS)
    fill(root / "afhq" / "train", pictures, ["cat", "dog", "wild"], 8, KINDS)
    return root


def fill(root: Path, pictures: Iterator[Image.Image], classes: list[str], each: int, kinds: list[tuple]) -> None:
    numbers = count()
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for _ in range(each):
            number = next(numbers)
            size, mode, suffix = kinds[number % len(kinds)]
            path = root / name / f"{number}.{suffix}"
            next(pictures).resize(size, Image.Resampling.BICUBIC).convert(mode).save(path)


@pytest.fixture
def small_networks(own_registry: Path) -> None:
    """The paper's rows with a network of 28,000 parameters, and no weights."""
    lines = []
    for row in dict.fromkeys(row.checkpoint for row in ROWS):
        entry = find_entry(row)
        network = {"name": "convnext-unet", "dim": 8, "dim_mults": [1, 2], "channels": entry.network["channels"]}
        start = {"name": entry.start["name"]} if entry.start else None
        parts = {"network": network, "degradation": entry.degradation, "training": {"steps": 1}, "start": start}
        lines.append(f'["{row}"]\ndataset = "{entry.dataset}"\ntransform = "{entry.transform}"')
        lines += [f"{key} = {toml(value)}" for key, value in parts.items() if value]
    own_registry.write_text("\n".join(lines))


def toml(table: dict[str, object]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in table.items()) + " }"


def run_all(tree: Path, out: Path, *arguments: str) -> list[dict]:
    done = coldbench(
        *("run", "--table", "all", "--data-root", tree, "--output", out, "--images", "3", "--format", "json"),
        *("--set", "timesteps=4"),
        *("--features", "tests.example_plugin:mean_colours", *arguments),
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.usefixtures("small_networks")
def test_every_row_runs_with_random_weights_where_they_are_allowed(tree: Path, tmp_path: Path) -> None:
    cells = run_all(tree, tmp_path, "--allow-random-weights")
    measured = {
        (c["where"]["table"], c["identity"]["checkpoint"], c["where"]["method"])
        for c in cells
        if c["status"] == "measured"
    }
    assert measured == {(row.table, row.checkpoint, method) for row in ROWS for method in row.methods}
    assert {c["metric"]["label"] for c in cells if c["status"] == "missing"} == {"FID"}
    networked = [c for c in cells if c["status"] == "measured" and c["where"]["method"] != "degraded"]
    assert {c["identity"]["checkpoint_sha256"] for c in networked} == {"random"}
    assert all(np.isfinite(c["value"]) for c in networked)
    assert {c["identity"]["data"] for c in cells} >= {"MNIST", "CIFAR-10", "CelebA", "AFHQ training images"}
    for row in ROWS:
        assert (tmp_path / "pictures" / f"{row.stem}.png").exists()
        table = (tmp_path / f"table-{row.table}.md").read_text()
        assert f"{row.checkpoint} has random weights: its numbers mean nothing" in table


@pytest.mark.usefixtures("small_networks")
def test_without_the_flag_no_random_network_scores(tree: Path, tmp_path: Path) -> None:
    cells = run_all(tree, tmp_path)
    assert {c["where"]["method"] for c in cells if c["status"] == "measured"} == {"degraded"}
    refused = {(c["identity"]["checkpoint"], c["reason"]) for c in cells if c["where"]["method"] != "degraded"}
    assert refused == {
        (row.checkpoint, f"no weights for {row.checkpoint}: coldbench train {row.checkpoint}") for row in ROWS
    }
    command = ("run", "--table", "5", "--rows", "afhq", "--data-root", tree, "--output", tmp_path)
    done = coldbench(*command, "--quiet")
    assert done.returncode == 3
    assert (
        done.stderr == "coldbench: nothing could be measured: no weights for afhq-noise: coldbench train afhq-noise\n"
    )
    compare = coldbench(
        "compare", "naive", "direct", "--model", "cifar10-blur", "--data-root", tree, "--images", "6", "--quiet"
    )
    assert_one_clear_line(compare, 3, "no weights for cifar10-blur")


def test_the_split_of_celeba_is_by_sorted_name(tree: Path) -> None:
    files = [file.name for file in look_into(tree / "celeba-hq").images]
    assert files == sorted(files)
    train, test = open_celeba(tree, train=True), open_celeba(tree)
    assert (train.count, test.count) == (72, 8)
    assert [Path(test.read(i).filename).name for i in range(8)] == files[72:]
    assert Path(train.read(71).filename).name == files[71]
    assert train.digest != test.digest


@pytest.mark.parametrize(("images", "training"), [(10, 9), (11, 10), (30_000, 27_000)])
def test_nine_tenths_train(images: int, training: int) -> None:
    """As the released script counts: those with index < 0.9 N (PROTOCOL 5.1)."""
    assert sum(i < 0.9 * images for i in range(images)) == training
    everything = range(images)
    train, test = (everything[nine_tenths(images, train=train)] for train in (True, False))
    assert len(train) == training
    assert [*train, *test] == list(everything)


def test_a_split_that_exists_is_taken_as_it_is(photographs: np.ndarray, tmp_path: Path) -> None:
    pictures = map(Image.fromarray, photographs)
    for split, number in (("train", 5), ("test", 3)):
        fill(tmp_path / "celeba-hq" / split, pictures, ["."], number, KINDS)
        fill(tmp_path / "afhq" / split, pictures, ["cat"], number, KINDS)
        fill(tmp_path / "cifar10" / split, pictures, ["cat"], number, KINDS)
    for dataset in (open_celeba, open_afhq, open_cifar10):
        assert (dataset(tmp_path, train=True).count, dataset(tmp_path).count) == (5, 3)


def test_half_a_split_is_not_split_again(photographs: np.ndarray, tmp_path: Path) -> None:
    """Or training images would be tested on."""
    fill(tmp_path / "celeba-hq" / "train", map(Image.fromarray, photographs), ["."], 20, KINDS)
    assert open_celeba(tmp_path, train=True).count == 20
    with pytest.raises(Missing, match=r"celeba-hq.test"):
        open_celeba(tmp_path)


@pytest.mark.parametrize("dataset", [open_celeba, open_afhq, open_cifar10])
def test_an_absent_set_names_the_command(dataset: object, tmp_path: Path) -> None:
    with pytest.raises(Missing, match="coldbench fetch"):
        dataset(tmp_path)  # type: ignore[operator]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.table}-{row.checkpoint}")
def test_every_row_has_its_degradation_network_recipe_and_presets(row: Row) -> None:
    entry = find_entry(row.checkpoint)
    for variant in (entry, *(find_recipe(row.checkpoint, name) for name in entry.presets)):
        recipe = Recipe.of(variant)
        assert recipe.augmentation in TRANSFORMS
        build_network(variant.network)
    assert build_degradation(entry.degradation).timesteps == entry.degradation["timesteps"]
    if row.note.startswith("ours"):
        return
    paper = Recipe.of(find_recipe(row.checkpoint, "paper" if entry.dataset == "mnist" else None))
    assert (paper.lr, paper.ema, paper.accumulate, paper.schedule) == (2e-5, 0.995, 2, "constant")
    assert paper.loss == "l1"  # Equation 1, whichever loss our own recipe has
    assert entry.dataset == "mnist" or "quick" in entry.presets


@pytest.mark.parametrize(
    ("protocol", "cropped"), [("paper", "zoom"), ("released", "zoom-random")], ids=["paper", "released"]
)
def test_the_rows_whose_images_are_zoomed(protocol: str, cropped: str) -> None:
    """As the published Degraded columns show; the released code also crops at random (PROTOCOL 5.4, 6.4)."""
    request = Request(protocol=protocol)
    transforms = {(row.table, row.name): draft_of(row, request, NOTHING_GIVEN).transform for row in ROWS}
    generators = dict.fromkeys(
        (("5", name) for name in ("celeba-noise", "celeba-blur-generate", "afhq-noise", "afhq-blur-generate")), "zoom"
    )
    assert {row: name for row, name in transforms.items() if name != "native"} == {
        ("2", "celeba"): cropped,
        ("3", "celeba"): cropped,
        **generators,
    }


def test_the_settings_of_celeba_that_its_degraded_columns_show() -> None:
    """2x2 pixels, and snow as on CIFAR-10 (PROTOCOL 6.4)."""
    superres = intended_entry("celeba-superres").degradation
    assert superres["image_size"] // 2 ** superres["timesteps"] == 2
    assert intended_entry("celeba-snow").degradation["level"] == intended_entry("cifar10-snow").degradation["level"]


def test_weights_of_a_preset_do_not_take_the_recipe_s_place() -> None:
    quick = find_recipe("cifar10-blur", "quick")
    registered = register(quick, b"weights")
    assert find_entry("cifar10-blur").preset == "quick"
    assert find_entry("cifar10-blur").network == quick.network
    assert find_recipe("cifar10-blur").training["steps"] == 700_000
    assert find_recipe("cifar10-blur", "quick").training == quick.training
    assert load_entries()["cifar10-blur"] == registered


def test_an_entry_of_the_user_keeps_its_recipe_and_presets(own_registry: Path) -> None:
    own_registry.write_text(
        '[mine]\ndataset = "mnist"\ntraining = { steps = 5000 }\n'
        'network = { name = "convnext-unet", dim = 8, dim_mults = [1, 2], channels = 1 }\n'
        'degradation = { name = "superres", image_size = 32, timesteps = 3 }\n'
        "[mine.presets.tiny]\ntraining = { steps = 2 }\nnetwork = { dim = 16 }\n"
    )
    for _ in range(2):
        register(find_recipe("mine", "tiny"), b"weights")
    assert find_recipe("mine").training == {"steps": 5000}
    assert find_recipe("mine").network["dim"] == 8
    assert find_recipe("mine", "tiny").training == {"steps": 2}
    assert find_entry("mine").network["dim"] == 16
