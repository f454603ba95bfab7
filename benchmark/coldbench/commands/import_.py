"""``coldbench import``: a released checkpoint in, weights and a registry entry out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coldbench.commands.listing import listed
from coldbench.core.errors import BadInput
from coldbench.core.paths import writable_home
from coldbench.core.weights import pack_weights
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.catalog import find_entry, find_recipe, load_entries, register, user_registry
from coldbench.diffusion.registries import DEGRADATIONS
from coldbench.diffusion.released import (
    check_degradation,
    infer_degradation,
    infer_network,
    network_with,
    read_released,
)
from coldbench.metrics.features import FEATURES

#: Of a checkpoint's name, in characters: names of files are made of it.
_LONGEST = 100


@dataclass(frozen=True)
class ImportRequest:
    """What to import, and as what; see ``coldbench import --help``.

    Attributes:
        path: of the file.
        name: to register it under.
        like: the registered model whose data set and degradation it has; that called ``name`` unless given.
        settings: of the degradation, in the place of that model's.
        weights_key: of the state dict in the file; see ``coldbench.diffusion.state_dicts``.
        force: whether it may take the place of other weights of that name.
    """

    path: Path
    name: str
    like: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights_key: str | None = None
    force: bool = False


def import_checkpoint(request: ImportRequest) -> str:
    """Convert, check and register; returns what to tell the user.

    Raises:
        BadInput: no released checkpoint, or one that does not fit the degradation it is said to restore.
    """
    _check_name(request.name)
    writable_home()
    like = _like(request)
    model, recipe = find_entry(like), find_recipe(like)
    released = read_released(request.path, request.weights_key)
    told = infer_degradation(released, model.degradation)
    degradation = {**_without_std(model.degradation, told.settings), **told.settings, **request.settings}
    image_size = build_degradation(degradation, request.name).image_size
    network = infer_network(released.weights, image_size)
    if "channels" in degradation:
        degradation["channels"] = network["channels"]
    notes = f"Imported from {request.path.name}; the recipe is that of {recipe.name}, the file does not contain one."
    entry = dataclasses.replace(
        recipe.with_preset("paper") if "paper" in recipe.presets else recipe,
        name=request.name,
        network=network,
        degradation=degradation,
        notes=" ".join(filter(None, [notes, recipe.notes])),
        presets={},
        preset="",
    )
    check_degradation(released, degradation)
    _ = entry.channels  # or no image has them
    content = pack_weights(network_with(released.weights, entry.network, entry.name))
    entry = register(entry, content, replacing=request.force)
    return (
        f"{entry.weights}\nsha256 {entry.sha256}\n{listed(network)}\n{listed(degradation)}\n"
        + (f"read off the file's buffers: {listed(told.settings)}\n" if told.settings else "")
        + (f"assumed: {told.assumed}\n" if told.assumed and "routine" not in request.settings else "")
        + f"{entry.name} is now in {user_registry()}"
    )


def _like(request: ImportRequest) -> str:
    """The model that the file is like.

    Raises:
        BadInput: none is named, and none has the name that the file is to get.
    """
    if request.like is None and request.name not in load_entries():
        raise BadInput(
            f"no model is called {request.name}, so nothing says which data set and degradation the file is for: "
            "name a model that has them with --like"
        )
    return request.like or request.name


def _without_std(like: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """The degradation of the model, less a std that the routine read off the file does not take."""
    return {key: value for key, value in like.items() if key != "std" or "routine" not in told}


def _check_name(name: str) -> None:
    """Whether a checkpoint may be called so.

    Raises:
        BadInput: it may not.
    """
    if not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_LONGEST - 1}}}", name):
        raise BadInput(
            f"{name[: _LONGEST + 1]!a} is not a valid name for a checkpoint: use up to {_LONGEST} letters, "
            "digits, '.', '_' and '-'"
        )
    if name in DEGRADATIONS or name in FEATURES:
        raise BadInput(f"'{name}' is taken by a degradation or a feature extractor: choose another name with --as")
