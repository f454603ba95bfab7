"""The checkpoints known by name: the shipped registry, the user's own, and weights that are what they should be."""

from __future__ import annotations

import dataclasses
import os
import re
import resource
from pathlib import Path

import pytest
import torch

from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import sha256_of
from coldbench.core.paths import shipped
from coldbench.core.weights import pack_weights, save_weights
from coldbench.diffusion.building import build_degradation, build_network
from coldbench.diffusion.catalog import (
    Entry,
    find_entry,
    find_recipe,
    intended_entry,
    load_entries,
    register,
)
from coldbench.diffusion.checkpoints import load_network
from coldbench.diffusion.recipe import Recipe
from coldbench.diffusion.registries import DEGRADATIONS
from coldbench.metrics import digits
from tests.helpers import run_apart

SHIPPED = (
    *("mnist-blur", "mnist-inpaint", "mnist-superres", "mnist-noise", "mnist-snow", "mnist-blur-generate"),
    "mnist-blend",
    *("cifar10-blur", "cifar10-inpaint", "cifar10-superres", "cifar10-snow"),
)


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


def test_trained_weights_go_into_the_users_registry() -> None:
    entry = find_entry("celeba-superres")
    with pytest.raises(Missing, match="coldbench train celeba-superres"):
        load_network(entry)
    small = Entry(
        entry.name, entry.dataset, entry.network | {"dim": 8, "dim_mults": [1, 2]}, entry.degradation, {}, entry.weights
    )
    registered = register(small, pack_weights(build_network(small.network)))
    found = find_entry(entry.name)
    assert found == registered
    assert (found.sha256, found.network, found.degradation) == (
        sha256_of(found.weights), small.network, small.degradation
    )  # fmt: skip
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


NETWORK, DEGRADATION = 'network = { name = "n" }', 'degradation = { name = "d" }'
EMPTY = f'dataset = "mnist"\n{NETWORK}\ntraining = {{}}\n{DEGRADATION}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine = 3", "entry 'mine' is not a table"),
        ('[mine]\ndataset = "mnist"', "entry 'mine' lacks 'network'"),
        ("[mine]\n" + EMPTY.replace(DEGRADATION, ""), "entry 'mine' lacks 'degradation'"),
        ("[mine]\n" + EMPTY.replace('"mnist"', "3"), "'dataset' must be a string"),
        ("[mine]\n" + EMPTY.replace(NETWORK, 'network = "unet"'), "'network' must be a table"),
        ("[mine]\n" + EMPTY.replace(NETWORK, "network = { dim = 8 }"), "'network' lacks its 'name'"),
        ("[mine]\n" + EMPTY.replace(DEGRADATION, "degradation = {}"), "'degradation' lacks its 'name'"),
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


def test_a_table_means_what_the_shipped_registry_says() -> None:
    """Whatever the user's registry says of a shipped name; an entry that is the user's alone means what it says."""
    shipped_entry = find_entry("mnist-blur")
    other = {**shipped_entry.degradation, "std": 3.0}
    for name in ("mnist-blur", "mine"):
        mine = dataclasses.replace(shipped_entry, name=name, degradation=other)
        register(mine, b"weights")
    assert find_entry("mnist-blur").degradation == other
    assert intended_entry("mnist-blur").degradation == shipped_entry.degradation
    assert intended_entry("mine").degradation == other


def test_registering_keeps_entries_with_any_name(own_registry: Path) -> None:
    network = 'network = { name = "x", "a b" = 1 }'
    own_registry.write_text('["déjà.vu"]\n' + EMPTY.replace(NETWORK, network), "utf-8")
    register(find_entry("mnist-blur"), b"weights")
    entries = load_entries()
    assert entries["déjà.vu"].network == {"name": "x", "a b": 1}
    assert entries["mnist-blur"].sha256 == sha256_of(entries["mnist-blur"].weights)


def small(name: str) -> Entry:
    """An entry of a small network, which has no weights yet."""
    entry = find_entry("celeba-superres")
    network = {"name": "convnext-unet", "dim": 8, "dim_mults": [1, 2], "channels": 3}
    return Entry(name, entry.dataset, network, entry.degradation, {}, entry.weights)


def weights(seed: int) -> bytes:
    """Weights of the network of ``small``."""
    torch.manual_seed(seed)
    return pack_weights(build_network(small("any").network))


def test_a_moved_folder_takes_its_models_along(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(small("mine"), weights(0))
    own_home.rename(tmp_path / "moved")
    monkeypatch.setenv("COLDBENCH_HOME", str(tmp_path / "moved"))
    load_network(find_entry("mine"))
    (tmp_path / "link").symlink_to("moved")
    monkeypatch.setenv("COLDBENCH_HOME", str(tmp_path / "link"))
    register(small("other"), weights(1))
    (tmp_path / "link").unlink()
    monkeypatch.setenv("COLDBENCH_HOME", str(tmp_path / "moved"))
    load_network(find_entry("other"))


def test_absolute_paths_of_earlier_versions_serve(own_registry: Path, tmp_path: Path) -> None:
    """Those elsewhere, and those in a folder that was moved since."""
    register(small("mine"), weights(0))
    kept = find_entry("mine").weights
    written = own_registry.read_text()
    kept.rename(tmp_path / kept.name)
    for place in (tmp_path, own_registry.parent):
        own_registry.write_text(written.replace(f'"{kept.name}"', f'"{tmp_path / kept.name}"'))
        assert find_entry("mine").weights == place / kept.name
        load_network(find_entry("mine"))
        register(small("other"), weights(1))  # which writes the registry anew
        load_network(find_entry("mine"))
        if place == tmp_path:
            (tmp_path / kept.name).rename(kept)


def test_what_stopped_a_registration_left_is_cleared_away_and_nothing_else(own_registry: Path) -> None:
    register(small("mine"), weights(0))
    register(small("mine-0123456789ab"), weights(1))
    folder = own_registry.parent
    for name in ("mine-0123456789ab.safetensors", "mine.safetensors", "mine-notes.safetensors", "theirs.safetensors"):
        (folder / name).write_bytes(b"left")
    own_registry.write_text(
        own_registry.read_text() + '\n[theirs]\nweights = "mine.safetensors"\n' + EMPTY.replace("mnist", "cifar10")
    )
    register(small("mine"), weights(2))
    for name in ("mine", "mine-0123456789ab"):
        load_network(find_entry(name))
    registered = {find_entry(name).weights.name for name in ("mine", "mine-0123456789ab")}
    left = {path.name for path in folder.iterdir()} - registered
    assert left == {"registry.toml", "mine.safetensors", "mine-notes.safetensors", "theirs.safetensors"}


def at_the_same_time() -> None:
    """Three processes register forty models each, as fast as they can."""
    children = []
    for first in (0, 40, 80):
        if not (child := os.fork()):
            for number in range(first, first + 40):
                register(small(f"mine-{number}"), b"weights")
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]


def test_registrations_at_the_same_time_lose_nothing() -> None:
    run_apart(at_the_same_time)
    assert load_entries().keys() >= {f"mine-{number}" for number in range(120)}


def on_a_full_disk() -> None:
    """Files may grow to 100 bytes: enough for new weights of a few bytes, and not for the registry that names them."""
    before = register(small("mine"), weights(0))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    with pytest.raises(BadInput, match=r"cannot write .*registry\.toml"):
        register(small("mine"), b"weights")
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert find_entry("mine") == before
    load_network(before)


def test_weights_and_registry_change_together_or_not_at_all() -> None:
    run_apart(on_a_full_disk)
