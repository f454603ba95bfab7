"""``coldbench import``: a released checkpoint in, weights and a registry entry out."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldbench.commands.listing import listed
from coldbench.core.errors import BadInput, one_line
from coldbench.core.paths import home
from coldbench.core.settings import parse_setting
from coldbench.diffusion.catalog import (
    DEGRADATIONS,
    Entry,
    find_entry,
    find_recipe,
    load_entries,
    register_weights,
    user_registry,
)
from coldbench.diffusion.checkpoints import build_network, make, save_weights
from coldbench.diffusion.released import check_degradation, infer_degradation, infer_network, read_released


@dataclass(frozen=True)
class ImportOptions:
    """A request to import; see ``coldbench import --help``."""

    path: Path
    name: str
    like: str
    settings: tuple[str, ...] = ()


def import_checkpoint(options: ImportOptions) -> str:
    """Convert, check and register; returns what to tell the user.

    Raises:
        BadInput: no released checkpoint, or one that does not fit the degradation it is said to restore.
    """
    _check_name(options.name)
    model = find_entry(options.like)
    if not model.degradation:
        raise BadInput(f"{options.like} restores nothing: name a restoration model after --like")
    released = read_released(options.path)
    told = infer_degradation(released, model.degradation)
    degradation = {**model.degradation, **told, **dict(map(parse_setting, options.settings))}
    image_size = make(options.name, DEGRADATIONS, degradation).image_size
    network = infer_network(released.weights, image_size)
    if "channels" in degradation:
        degradation["channels"] = network["channels"]
    recipe = find_recipe(options.like)
    notes = f"Imported from {options.path.name}; the recipe is that of {recipe.name}, the file tells of none."
    entry = dataclasses.replace(
        recipe.with_preset("paper") if "paper" in recipe.presets else recipe,
        name=options.name,
        network=network,
        degradation=degradation,
        weights=home() / "models" / f"{options.name}.safetensors",
        notes=" ".join(filter(None, [notes, recipe.notes])),
        presets={},
        preset="",
    )
    check_degradation(released, degradation)
    sha256 = save_weights(_loaded(entry, released.weights), entry.weights)
    register_weights(entry, entry.weights, sha256)
    return (
        f"{entry.weights}\nsha256 {sha256}\n{listed(network)}\n{listed(degradation)}\n"
        + (f"read off the file's buffers: {listed(told)}\n" if told else "")
        + f"{entry.name} is now in {user_registry()}"
    )


def _check_name(name: str) -> None:
    """Whether a checkpoint may be called so.

    Raises:
        BadInput: it may not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise BadInput(f"'{name}' is no name for a checkpoint: use letters, digits, '.', '_' and '-'")
    known = load_entries().get(name)
    if name in DEGRADATIONS or (known is not None and not known.degradation):
        raise BadInput(f"'{name}' is taken by a degradation or a feature extractor: choose another name with --as")


def _loaded(entry: Entry, weights: Any) -> Any:
    network = build_network(entry)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise BadInput(f"the parameters do not fit {listed(entry.network)}: {one_line(error)[:300]}") from error
    return network
