"""Names: lookup, suggestions, plug-ins, and the checkpoints' registry files."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest

from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import sha256_of
from coldbench.core.paths import shipped
from coldbench.diffusion.catalog import (
    DATASETS,
    DEGRADATIONS,
    Entry,
    Registry,
    find_entry,
    load_entries,
    register_weights,
)
from coldbench.diffusion.checkpoints import build_degradation, build_network, load_network, save_weights
from coldbench.tables.tables import TABLES

SHIPPED = ("mnist-blur", "mnist-inpaint", "mnist-superres", "mnist-cnn")


def test_unknown_names_come_with_a_suggestion() -> None:
    with pytest.raises(BadInput, match="unknown degradation 'blurr'; did you mean blur"):
        DEGRADATIONS["blurr"]
    with pytest.raises(BadInput, match=r"known: afhq, celeba, cifar10, mnist"):
        DATASETS["xyzzy"]
    with pytest.raises(BadInput, match="did you mean mnist-blur"):
        find_entry("mnist-blurr")


def test_installed_packages_add_names(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = importlib.metadata.EntryPoint("square-root", "math:sqrt", "coldbench.diffusion.degradations")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [plugin] if group == plugin.group else [])
    assert DEGRADATIONS["square-root"](9) == 3
    assert "square-root" in list(DEGRADATIONS)
    with pytest.raises(BadInput, match="claimed by"):
        Registry("degradation", {"square-root": "cmath:sqrt"})["square-root"]


def test_plugins_that_do_not_import_are_named() -> None:
    with pytest.raises(BadInput, match=r"network 'mine' \(absent_module:Net\) cannot be loaded"):
        Registry("network", {"mine": "absent_module:Net"})["mine"]


def test_every_row_of_every_table_has_an_entry_that_builds() -> None:
    entries = load_entries()
    for row in (row for table in TABLES.values() for row in table.rows):
        entry = entries[row.checkpoint]
        assert entry.dataset == row.dataset
        assert build_degradation(entry).image_size == (128 if row.dataset in ("celeba", "afhq") else 32)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_the_registered_ones(name: str) -> None:
    entry = find_entry(name)
    assert sha256_of(entry.weights) == entry.sha256
    load_network(entry)


def test_shipped_weights_are_small_and_described() -> None:
    folder = shipped("models")
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) < 40e6
    cards = (folder / "README.md").read_text(encoding="utf-8")
    for name in SHIPPED:
        assert f"## {name}\n" in cards
        assert find_entry(name).sha256 in re.findall(r"[0-9a-f]{64}", cards)


def test_trained_weights_go_into_the_users_registry(tmp_path: Path) -> None:
    entry = find_entry("celeba-superres")
    with pytest.raises(Missing, match="coldbench train celeba-superres"):
        load_network(entry)
    small = Entry(
        entry.name, entry.dataset, entry.network | {"dim": 8, "dim_mults": [1, 2]}, entry.degradation, {}, entry.weights
    )
    sha256 = save_weights(build_network(small), tmp_path / "weights.safetensors")
    register_weights(small, tmp_path / "weights.safetensors", sha256)
    found = find_entry(entry.name)
    assert (found.sha256, found.network, found.degradation) == (sha256, small.network, small.degradation)
    load_network(found)


def test_weights_that_are_not_what_they_should_be_are_refused(tmp_path: Path) -> None:
    entry = find_entry("cifar10-superres")
    small = Entry(entry.name, entry.dataset, {"name": "convnext-unet", "dim": 8, "dim_mults": [1, 2]}, {}, {}, tmp_path)
    path = tmp_path / "weights.safetensors"
    sha256 = save_weights(build_network(small), path)

    def with_file(sha: str, network: dict[str, object] = small.network) -> Entry:
        return Entry(entry.name, entry.dataset, network, {}, {}, path, sha)

    with pytest.raises(BadInput, match="does not fit its network"):
        load_network(with_file(sha256, small.network | {"dim": 16}))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadInput, match=r"has sha256 .* but the registry expects"):
        load_network(with_file(sha256))
    with pytest.raises(BadInput, match="does not fit its network"):
        load_network(with_file(sha256_of(path)))


def test_damaged_registry_is_named(own_registry: Path) -> None:
    own_registry.write_text("[broken\n")
    with pytest.raises(BadInput, match=r"registry .*registry\.toml cannot be read"):
        load_entries()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine = 3", "entry 'mine' is not a table"),
        ('[mine]\ndataset = "mnist"', "entry 'mine' lacks 'network'"),
        ("[mine]\ndataset = 3\nnetwork = {}\ntraining = {}", "'dataset' must be a string"),
        ('[mine]\ndataset = "mnist"\nnetwork = "unet"\ntraining = {}', "'network' must be a table"),
        ('[mine]\ndataset = "mnist"\nnetwork = { dim = 8 }\ntraining = {}', "'network' lacks its 'name'"),
        ('[mine]\ndataset = "m"\nnetwork = {}\ntraining = {}\nsha = "1"', "unknown key 'sha'"),
        (
            '[mine]\ndataset = "m"\nnetwork = {}\ntraining = {}\npresets = { quick = { start = { name = "noise" } } }',
            "preset 'quick' may change degradation, network, training, nothing else",
        ),
    ],
)
def test_wrong_entries_are_named(text: str, message: str, own_registry: Path) -> None:
    own_registry.write_text(text)
    with pytest.raises(BadInput, match=message):
        load_entries()


@pytest.mark.parametrize(
    "network",
    [
        {"name": "convnext-unet", "dim": "16"},
        {"name": "convnext-unet", "dim": 7},
        {"name": "convnext-unet", "dim_mults": [2, 4]},
        {"name": "convnext-unet", "width": 8},
    ],
)
def test_networks_that_cannot_be_built_are_refused(network: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        build_network(Entry("mine", "mnist", network, {}, {}, tmp_path))


def test_degradations_that_cannot_be_built_are_refused(tmp_path: Path) -> None:
    settings = {"name": "blur", "image_size": 32, "timesteps": 0, "routine": "constant", "std": 1}
    with pytest.raises(BadInput, match=r"building the degradation of .* failed"):
        build_degradation(Entry("mine", "mnist", {}, settings, {}, tmp_path))


def test_registering_keeps_entries_with_any_name(own_registry: Path, tmp_path: Path) -> None:
    own_registry.write_text(
        '["déjà.vu"]\ndataset = "mnist"\nnetwork = { name = "x", "a b" = 1 }\ntraining = {}\n', "utf-8"
    )
    register_weights(find_entry("mnist-blur"), tmp_path / "w.safetensors", "0" * 64)
    entries = load_entries()
    assert entries["déjà.vu"].network == {"name": "x", "a b": 1}
    assert entries["mnist-blur"].sha256 == "0" * 64
