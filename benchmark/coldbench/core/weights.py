"""Weights and states in files: each is what its SHA-256 says, and fits its network, or is refused."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from coldbench.core.errors import BadInput
from coldbench.core.files import sha256_of, write_atomically


def load_weights(network: nn.Module, path: Path, sha256: str) -> None:
    """Load a .safetensors file into ``network``, checking first that it is the file expected.

    Raises:
        BadInput: another file, a corrupt one, or parameters of other names or shapes.
    """
    found = sha256_of(path)
    if found != sha256:
        raise BadInput(
            f"{path} has sha256 {found[:12]}..., but the registry expects {sha256[:12]}...; restore the file"
        )
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise BadInput(f"{path} does not fit its network: {str(error).splitlines()[0]}") from error
    fill(network, weights, path)


def fill(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load parameters into ``network``, as float32.

    Raises:
        BadInput: they have other names or shapes than the network's.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            there, wanted = (str(shapes.get(name, "absent")) for shapes in (found, expected))
            raise BadInput(f"{path} does not fit its network: {name} is {there}, and should be {wanted}")
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})


def save_weights(
    network: nn.Module, path: Path, *, half: bool = False, metadata: Mapping[str, str] | None = None
) -> str:
    """Write the parameters as .safetensors, atomically; returns the file's SHA-256.

    Args:
        network: whose parameters.
        path: of the file.
        half: in half precision (float16) instead of float32.
        metadata: kept with them.
    """
    dtype = torch.float16 if half else torch.float32
    weights: dict[str, Tensor] = {
        name: tensor.detach().cpu().to(dtype).contiguous() for name, tensor in network.state_dict().items()
    }
    content = to_bytes(weights, metadata=dict(metadata or {}) or None)
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
    return sha256_of(path)


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Write what a stopped command needs to go on, atomically, for ``torch.load``.

    Raises:
        BadInput: it cannot be written.
    """
    content = io.BytesIO()  # writing to the file itself, torch hides what the system says of a full disk
    torch.save(dict(state), content)
    write_atomically(path, lambda temporary: temporary.write_bytes(content.getbuffer()))
