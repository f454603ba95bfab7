"""The checkpoints known by name: the shipped registry, the user's own, and weights that are what they should be."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import sha256_of
from coldbench.core.paths import shipped
from coldbench.core.weights import save_weights
from coldbench.diffusion.building import build_degradation, build_network
from coldbench.diffusion.catalog import (
    Entry,
    find_entry,
    find_recipe,
    intended_entry,
    load_entries,
    register_weights,
)
from coldbench.diffusion.checkpoints import load_network
from coldbench.diffusion.registries import DEGRADATIONS
from coldbench.diffusion.training import Recipe
from coldbench.metrics import digits

SHIPPED = ("mnist-blur", "mnist-inpaint", "mnist-superres", "mnist-noise", "mnist-snow", "mnist-blur-generate")


def test_unknown_names_come_with_a_suggestion() -> None:
    with pytest.raises(BadInput, match="unknown degradation 'blurr'; did you mean blur"):
        DEGRADATIONS["blurr"]
    with pytest.raises(BadInput, match="did you mean mnist-blur"):
        find_entry("mnist-blurr")


@pytest.mark.parametrize("name", load_entries())
def test_every_entry_and_every_preset_of_it_builds(name: str) -> None:
    entry = find_entry(name)
    build_degradation(entry.degradation, name)
    for each in (entry, *(find_recipe(name, preset) for preset in entry.presets)):
        Recipe.of(each)
        with torch.device("meta"):
            build_network(each.network, name)


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
    assert f"## {digits.NAME}\n" in cards
    assert digits.SHA256 in re.findall(r"[0-9a-f]{64}", cards)


def test_trained_weights_go_into_the_users_registry(tmp_path: Path) -> None:
    entry = find_entry("celeba-superres")
    with pytest.raises(Missing, match="coldbench train celeba-superres"):
        load_network(entry)
    small = Entry(
        entry.name, entry.dataset, entry.network | {"dim": 8, "dim_mults": [1, 2]}, entry.degradation, {}, entry.weights
    )
    sha256 = save_weights(build_network(small.network), tmp_path / "weights.safetensors")
    register_weights(small, tmp_path / "weights.safetensors", sha256)
    found = find_entry(entry.name)
    assert (found.sha256, found.network, found.degradation) == (sha256, small.network, small.degradation)
    load_network(found)


def test_weights_that_are_not_what_they_should_be_are_refused(tmp_path: Path) -> None:
    entry = find_entry("cifar10-superres")
    small = Entry(entry.name, entry.dataset, {"name": "convnext-unet", "dim": 8, "dim_mults": [1, 2]}, {}, {}, tmp_path)
    path = tmp_path / "weights.safetensors"
    sha256 = save_weights(build_network(small.network), path)

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


EMPTY = 'dataset = "mnist"\nnetwork = {}\ntraining = {}\ndegradation = {}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine = 3", "entry 'mine' is not a table"),
        ('[mine]\ndataset = "mnist"', "entry 'mine' lacks 'network'"),
        ("[mine]\n" + EMPTY.replace("degradation = {}", ""), "entry 'mine' lacks 'degradation'"),
        ("[mine]\n" + EMPTY.replace('"mnist"', "3"), "'dataset' must be a string"),
        ("[mine]\n" + EMPTY.replace("network = {}", 'network = "unet"'), "'network' must be a table"),
        ("[mine]\n" + EMPTY.replace("network = {}", "network = { dim = 8 }"), "'network' lacks its 'name'"),
        (f'[mine]\n{EMPTY}sha = "1"', "unknown key 'sha'"),
        (
            f'[mine]\n{EMPTY}presets = {{ quick = {{ start = {{ name = "noise" }} }} }}',
            "preset 'quick' may change degradation, network, training, nothing else",
        ),
    ],
)
def test_wrong_entries_are_named(text: str, message: str, own_registry: Path) -> None:
    own_registry.write_text(text)
    with pytest.raises(BadInput, match=message):
        load_entries()


def test_a_table_means_what_the_shipped_registry_says(tmp_path: Path) -> None:
    """Whatever the user's registry says of a shipped name; an entry that is the user's alone means what it says."""
    shipped_entry = find_entry("mnist-blur")
    other = {**shipped_entry.degradation, "std": 3.0}
    for name in ("mnist-blur", "mine"):
        mine = dataclasses.replace(shipped_entry, name=name, degradation=other)
        register_weights(mine, tmp_path / "weights.safetensors", "0" * 64)
    assert find_entry("mnist-blur").degradation == other
    assert intended_entry("mnist-blur").degradation == shipped_entry.degradation
    assert intended_entry("mine").degradation == other


def test_registering_keeps_entries_with_any_name(own_registry: Path, tmp_path: Path) -> None:
    network = 'network = { name = "x", "a b" = 1 }'
    own_registry.write_text('["déjà.vu"]\n' + EMPTY.replace("network = {}", network), "utf-8")
    register_weights(find_entry("mnist-blur"), tmp_path / "w.safetensors", "0" * 64)
    entries = load_entries()
    assert entries["déjà.vu"].network == {"name": "x", "a b": 1}
    assert entries["mnist-blur"].sha256 == "0" * 64
