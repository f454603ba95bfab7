"""The checkpoints known by name: those of the shipped ``registry.toml``, and the user's own."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from coldbench.core.errors import BadInput
from coldbench.core.files import locked, write_atomically, write_text
from coldbench.core.paths import at_home, exists, home, shipped, writable_home
from coldbench.core.registry import did_you_mean

#: The user's registry, below the user's folder; weights lie beside it.
_REGISTRY = ("models", "registry.toml")


@dataclass(frozen=True)
class Entry:
    """One line of business in ``registry.toml``: a checkpoint, what it restores, and how it was trained.

    Attributes:
        name: e.g. ``mnist-blur``.
        dataset: a name in ``DATASETS``.
        network: a name in ``NETWORKS`` under ``name``, and its arguments.
        degradation: a name in ``DEGRADATIONS`` under ``name``, and its arguments.
        training: the recipe, see ``coldbench.diffusion.recipe.Recipe``.
        start: of a generator, what it starts from (``noise`` or ``channel-means``) under ``name``, and what was fitted
            to the training images (see ``coldbench.diffusion.starts``); empty for everything else.
        weights: the .safetensors file; it may be absent.
        sha256: of that file; None where no weights are known.
        notes: what is open about it.
        transform: of the images at evaluation, a name in ``coldbench.data.transforms.TRANSFORMS``.
        presets: name -> other values for keys of ``network``, ``degradation`` and ``training``.
        preset: the one of these that the weights were trained by, if any.
    """

    name: str
    dataset: str
    network: dict[str, Any]
    degradation: dict[str, Any]
    training: dict[str, Any]
    weights: Path
    sha256: str | None = None
    notes: str = ""
    start: dict[str, Any] = field(default_factory=dict)
    transform: str = "native"
    presets: dict[str, dict[str, Any]] = field(default_factory=dict)
    preset: str = ""

    @property
    def channels(self) -> int:
        """C of the images that its network takes.

        Raises:
            BadInput: the network does not say.
        """
        channels = self.network.get("channels")
        if channels not in (1, 3):
            raise BadInput(f"{self.name}: its network must have channels = 1 or 3, not {channels}")
        return int(channels)

    def with_preset(self, name: str) -> Entry:
        """This entry with the values of one of its presets.

        Raises:
            BadInput: it has no such preset.
        """
        if name not in self.presets:
            known = ", ".join(self.presets) or "none"
            raise BadInput(f"{self.name} has no preset '{name}'; known: {known}")
        changes: dict[str, Any] = {
            part: {**getattr(self, part), **values} for part, values in self.presets[name].items()
        }
        return replace(self, preset=name, **changes)


def load_entries() -> dict[str, Entry]:
    """All known checkpoints: the shipped registry, then the user's own, whose weights win.

    Raises:
        BadInput: a registry file that cannot be read.
    """
    return {
        name: entry.with_preset(entry.preset) if entry.preset else entry for name, entry in _written_entries().items()
    }


def _written_entries() -> dict[str, Entry]:
    """As they stand in the registries: the recipe, even where the weights were made by a preset of it."""
    own = at_home(*_REGISTRY)
    paths = [shipped("models", "registry.toml"), *([own] if own else [])]
    return {name: _entry(name, spec, path) for path in paths for name, spec in read_registry(path).items()}


def find_recipe(name: str, preset: str | None = None) -> Entry:
    """The checkpoint called ``name`` as it is to be trained.

    Args:
        name: of the checkpoint.
        preset: train it otherwise, e.g. ``quick``.

    Raises:
        BadInput: no such checkpoint or preset.
    """
    find_entry(name)
    entry = replace(_written_entries()[name], preset="")
    return entry.with_preset(preset) if preset else entry


def find_entry(name: str) -> Entry:
    """The checkpoint called ``name``.

    Raises:
        BadInput: there is none.
    """
    entries = load_entries()
    if name not in entries:
        raise BadInput(f"unknown model {name!r}{did_you_mean(name, entries)}")
    return entries[name]


def intended_entry(name: str) -> Entry:
    """What a table means by this checkpoint: the entry of the shipped registry, whatever the user's says.

    An entry that the user alone has means what it says.

    Raises:
        BadInput: there is none of this name.
    """
    path = shipped("models", "registry.toml")
    specs = read_registry(path)
    return _entry(name, specs[name], path) if name in specs else find_entry(name)


def user_registry() -> Path:
    """The registry of the models that the user trained or imported.

    Raises:
        BadInput: the user's folder cannot be used.
    """
    return home().joinpath(*_REGISTRY)


def read_registry(path: Path) -> dict[str, dict[str, Any]]:
    """The tables of one registry file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"registry {path} cannot be read: {error}") from error


def register(entry: Entry, content: bytes, *, replacing: bool = True) -> Entry:
    """Put weights into the user's folder and ``entry`` into the user's registry; commands that do so take turns.

    Weights get a file named after their hash, and the registry, written whole, turns from the old file to the new:
    whatever stops this, one of the two models is there, whole. An earlier file of the model is then removed.

    Args:
        entry: what the weights are of; its own ``weights`` and ``sha256`` are not regarded.
        content: of the .safetensors file.
        replacing: whether they may take the place of other weights of that name, shipped ones included.

    Returns:
        The entry as it stands in the registry.

    Raises:
        BadInput: the registry cannot be read or written, or there are other weights and ``replacing`` is not asked for.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    folder = writable_home() / _REGISTRY[0]
    entry = replace(entry, weights=folder / f"{entry.name}-{sha256[:12]}.safetensors", sha256=sha256)
    with locked(folder / "registry.lock"):
        spec, known = _spec(entry, folder), load_entries().get(entry.name)
        if not replacing and known and known.sha256 and _spec(known, folder) != spec:
            raise BadInput(
                f"there are weights of {entry.name} already, {known.weights}: take another name, or replace them "
                "with --force"
            )
        write_atomically(entry.weights, lambda temporary: temporary.write_bytes(content))
        specs = {**_user_specs(), entry.name: spec}
        tables = [f"[{_toml_value(name)}]\n{_toml_table(each)}" for name, each in sorted(specs.items())]
        write_text(folder / _REGISTRY[1], "\n".join(tables))
        _remove_earlier(entry.name, folder, specs)
    return entry


def _user_specs() -> dict[str, dict[str, Any]]:
    path = user_registry()
    return read_registry(path) if exists(path) else {}


def _spec(entry: Entry, folder: Path) -> dict[str, Any]:
    """An entry as the registry in ``folder`` holds it: weights that lie there go with it when the folder is moved.

    Of an entry trained by a preset, the recipe itself is written, and the preset's name: both can be trained again.
    """
    recipe = find_recipe(entry.name) if entry.preset else entry
    optional = {
        "start": entry.start,
        "transform": "" if entry.transform == "native" else entry.transform,
        "presets": recipe.presets,
        "preset": entry.preset,
        "notes": entry.notes,
    }
    beside = entry.weights.is_relative_to(folder)
    return {
        "dataset": entry.dataset,
        "weights": str(entry.weights.relative_to(folder) if beside else entry.weights.resolve()),
        "sha256": entry.sha256,
        "network": recipe.network,
        "degradation": recipe.degradation,
        "training": recipe.training,
        **{key: value for key, value in optional.items() if value},
    }


def _remove_earlier(name: str, folder: Path, specs: Mapping[str, Mapping[str, Any]]) -> None:
    """Remove weights that were registered under ``name`` before, or left by a command that was stopped."""
    pattern = re.compile(rf"{re.escape(name)}(-[0-9a-f]{{12}})?\.safetensors")
    used = {folder / spec.get("weights", f"{each}.safetensors") for each, spec in specs.items()}
    with suppress(OSError):
        for path in folder.iterdir():
            if pattern.fullmatch(path.name) and path not in used:
                path.unlink()


#: The keys of an entry: their type, and whether an entry may do without.
_KEYS: dict[str, tuple[type, bool]] = {
    "dataset": (str, False),
    "network": (dict, False),
    "training": (dict, False),
    "degradation": (dict, False),
    "start": (dict, True),
    "weights": (str, True),
    "sha256": (str, True),
    "notes": (str, True),
    "transform": (str, True),
    "presets": (dict, True),
    "preset": (str, True),
}
#: Not ``start``, to which training adds what it fitted: a preset's part of it could not be told from the recipe's.
_PRESET_PARTS = frozenset({"network", "degradation", "training"})


def _entry(name: str, spec: Any, path: Path) -> Entry:
    _check_entry(name, spec, path)
    return Entry(
        name=name,
        dataset=spec["dataset"],
        network=spec["network"],
        degradation=spec["degradation"],
        training=spec["training"],
        weights=_weights(path.parent, Path(spec.get("weights", f"{name}.safetensors"))),
        sha256=spec.get("sha256"),
        notes=spec.get("notes", ""),
        start=spec.get("start", {}),
        transform=spec.get("transform", "native"),
        presets=spec.get("presets", {}),
        preset=spec.get("preset", ""),
    )


def _weights(folder: Path, weights: Path) -> Path:
    """Where the weights of an entry are: beside the registry, if they are not where an earlier version put them."""
    if not weights.is_absolute():
        return folder / weights
    with suppress(BadInput):  # a place that nobody can look into is told where the weights are needed
        if exists(weights):
            return weights
    beside = folder / weights.name
    return beside if exists(beside) else weights


def _check_entry(name: str, spec: Any, path: Path) -> None:
    """Raise ``BadInput`` unless the entry has the keys of ``_KEYS``, and its parts their names."""
    where = f"registry {path}: entry '{name}'"
    if not isinstance(spec, dict):
        raise BadInput(f"{where} is not a table")
    for key, (kind, optional) in _KEYS.items():
        if key not in spec and not optional:
            raise BadInput(f"{where} lacks '{key}'")
        if key in spec and not isinstance(spec[key], kind):
            raise BadInput(f"{where}: '{key}' must be a {'table' if kind is dict else 'string'}")
    for key in spec.keys() - _KEYS.keys():
        raise BadInput(f"{where} has an unknown key '{key}'")
    for part in ("network", "degradation", "start"):
        if (part != "start" or spec.get(part)) and not isinstance(spec[part].get("name"), str):
            raise BadInput(f"{where}: '{part}' lacks its 'name'")
    for preset, parts in spec.get("presets", {}).items():
        tables = isinstance(parts, dict) and all(isinstance(part, dict) for part in parts.values())
        if not tables or not _PRESET_PARTS.issuperset(parts):
            raise BadInput(f"{where}: preset '{preset}' may change {', '.join(sorted(_PRESET_PARTS))}, nothing else")
    if spec.get("preset") and spec["preset"] not in spec.get("presets", {}):
        raise BadInput(f"{where} has no preset '{spec['preset']}'")


def _toml_table(spec: Mapping[str, Any]) -> str:
    """Flat keys as ``key = value``, tables inline: JSON's strings, numbers, booleans and lists are TOML's."""
    return "".join(f"{_toml_value(key)} = {_toml_value(value)}\n" for key, value in spec.items())


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml_value(key)} = {_toml_value(item)}" for key, item in value.items()) + " }"
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False, default=str)
