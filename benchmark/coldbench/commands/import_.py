"""``coldbench import``: a released checkpoint in, weights and a registry entry out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coldbench.commands.listing import listed
from coldbench.core.errors import BadInput, one_line
from coldbench.core.paths import home
from coldbench.core.weights import save_weights
from coldbench.diffusion.building import build_degradation, build_network
from coldbench.diffusion.catalog import Entry, find_entry, find_recipe, register_weights, user_registry
from coldbench.diffusion.registries import DEGRADATIONS
from coldbench.diffusion.released import check_degradation, infer_degradation, infer_network, read_released
from coldbench.metrics.features import FEATURES


@dataclass(frozen=True)
class ImportRequest:
    """What to import, and as what; see ``coldbench import --help``."""

    path: Path
    name: str
    like: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def import_checkpoint(request: ImportRequest) -> str:
    """Convert, check and register; returns what to tell the user.

    Raises:
        BadInput: no released checkpoint, or one that does not fit the degradation it is said to restore.
    """
    _check_name(request.name)
    model = find_entry(request.like)
    released = read_released(request.path)
    told = infer_degradation(released, model.degradation)
    degradation = {**_without_std(model.degradation, told.settings), **told.settings, **request.settings}
    image_size = build_degradation(degradation, request.name).image_size
    network = infer_network(released.weights, image_size)
    if "channels" in degradation:
        degradation["channels"] = network["channels"]
    recipe = find_recipe(request.like)
    notes = f"Imported from {request.path.name}; the recipe is that of {recipe.name}, the file does not contain one."
    entry = dataclasses.replace(
        recipe.with_preset("paper") if "paper" in recipe.presets else recipe,
        name=request.name,
        network=network,
        degradation=degradation,
        weights=home() / "models" / f"{request.name}.safetensors",
        notes=" ".join(filter(None, [notes, recipe.notes])),
        presets={},
        preset="",
    )
    check_degradation(released, degradation)
    sha256 = save_weights(_loaded(entry, released.weights), entry.weights)
    register_weights(entry, entry.weights, sha256)
    return (
        f"{entry.weights}\nsha256 {sha256}\n{listed(network)}\n{listed(degradation)}\n"
        + (f"read off the file's buffers: {listed(told.settings)}\n" if told.settings else "")
        + (f"assumed: {told.assumed}\n" if told.assumed and "routine" not in request.settings else "")
        + f"{entry.name} is now in {user_registry()}"
    )


def _without_std(like: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """The degradation of the model, less a std that the routine read off the file does not take."""
    return {key: value for key, value in like.items() if key != "std" or "routine" not in told}


def _check_name(name: str) -> None:
    """Whether a checkpoint may be called so.

    Raises:
        BadInput: it may not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise BadInput(f"'{name}' is not a valid name for a checkpoint: use letters, digits, '.', '_' and '-'")
    if name in DEGRADATIONS or name in FEATURES:
        raise BadInput(f"'{name}' is taken by a degradation or a feature extractor: choose another name with --as")


def _loaded(entry: Entry, weights: Any) -> Any:
    network = build_network(entry.network, entry.name)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise BadInput(f"the parameters do not fit {listed(entry.network)}: {one_line(error)[:300]}") from error
    return network
