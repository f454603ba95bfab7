"""R of a measurement: a checkpoint of the registry, a model from elsewhere, or a restorer of the user's own."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence

import torch
from torch import nn

from coldbench.commands.draft import Draft
from coldbench.core.errors import BadInput, Missing
from coldbench.core.progress import tell
from coldbench.diffusion.arithmetic import check_available
from coldbench.diffusion.checkpoints import Restorer, load_restorer
from coldbench.diffusion.elsewhere import is_elsewhere, load_elsewhere
from coldbench.diffusion.registries import RESTORERS
from coldbench.diffusion.sampling import Restore


def restorer_of(draft: Draft, networked: Sequence[str]) -> tuple[Restore | None, str | None, dict[str, str]]:
    """R and its hash, if these methods need one; and why they cannot be measured, if it is not there."""
    if not networked:
        return None, None, {}
    if draft.given.restore is None and is_elsewhere(draft.row.checkpoint):
        return _from_elsewhere(draft, networked)
    if draft.request.prediction:
        raise BadInput(f"--prediction is that of models from elsewhere; {draft.row.checkpoint} gives images")
    if draft.given.restore is not None or draft.entry is None:
        restore = find_restorer(draft.row.checkpoint) if draft.given.restore is None else draft.given.restore
        _check_restorer(restore, draft.row.checkpoint)
        if draft.request.dtype != "float32" and not isinstance(restore, Restorer):
            raise BadInput(f"--dtype is that of a registered model's network; {draft.row.checkpoint} has its own")
        if isinstance(restore, Restorer) and restore.dtype != draft.request.arithmetic:
            restore = restore.in_arithmetic(draft.request.arithmetic)
        return _ready(restore, draft.device), parameters_sha256(restore), {}
    try:
        restorer = load_restorer(
            draft.entry,
            draft.device,
            draft.request.arithmetic,
            random=draft.request.allow_random_weights,
            image_size=draft.settings.get("image_size"),
            batch_size=None if draft.request.batch_size == "auto" else draft.request.images_at_a_time(),
        )
    except Missing as error:
        return None, None, dict.fromkeys(networked, str(error))
    return restorer, restorer.sha256, {}


def _from_elsewhere(draft: Draft, networked: Sequence[str]) -> tuple[Restore | None, str | None, dict[str, str]]:
    """``restorer_of`` for a model of diffusers' or of the hub, in the arithmetic of the request."""
    request = draft.request
    try:
        check_available(request.arithmetic, draft.device)
        network = load_elsewhere(draft.row.checkpoint, draft.build(), request.prediction)
    except Missing as error:
        return None, None, dict.fromkeys(networked, str(error))
    if not request.quiet:
        tell(str(network))
    sha256 = parameters_sha256(network, json.dumps(network.facts, sort_keys=True))
    size = draft.settings.get("image_size")
    return Restorer(network, draft.device, request.arithmetic, sha256=sha256, image_size=size), sha256, {}


def find_restorer(name: str) -> Restore:
    """A restorer of the user's own, by its name or ``module:attribute``.

    Raises:
        BadInput: there is none, or it is no callable R(x, s).
    """
    restore: Restore = RESTORERS[name]
    _check_restorer(restore, name)
    return restore


def _check_restorer(restore: object, name: str) -> None:
    if inspect.isclass(restore):
        raise BadInput(f"restorer '{name}' is a class: name an instance of it, or a function R(x, s)")
    if not callable(restore):
        raise BadInput(f"restorer '{name}' is {type(restore).__name__}, not a callable R(x, s)")


def _ready(restore: Restore, device: torch.device) -> Restore:
    return restore.to(device).eval() if isinstance(restore, nn.Module) else restore


def parameters_sha256(restore: object, facts: str = "") -> str | None:
    """SHA-256 of a module's parameters and buffers, or what a restorer says of its own; None where there are none.

    Args:
        restore: R, or the module in it.
        facts: what else decides what it gives.
    """
    known = getattr(restore, "sha256", None)
    if isinstance(known, str):
        return known
    if not isinstance(restore, nn.Module):
        return None
    digest = hashlib.sha256(facts.encode())
    for name, tensor in sorted(restore.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
