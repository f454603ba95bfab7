"""Weights and states in files: each is what its SHA-256 says, and fits its network, or is refused."""

from __future__ import annotations

import hashlib
import io
import math
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

#: No trained network of this field has a parameter beyond it (the largest of ours is 1.5, and statistics of batch
#: normalisation stay below 1e4), while the highest bit of its exponent, flipped, makes most of them 1e30 and more.
_ABSURD = 1e6
#: How often a tensor may repeat its numbers, as one kernel for all channels: a few bytes are not to fill the memory.
_REPEATED = 16


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
        BadInput: they have other names or shapes than the network's, or values that no parameter has.
    """
    own = network.state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in own.items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            there, wanted = (str(shapes.get(name, "absent")) for shapes in (found, expected))
            raise BadInput(f"{path} does not fit its network: {name} is {there}, and should be {wanted}")
    for name in expected:
        if own[name].is_floating_point():  # others count something
            check_values(name, weights[name], path)
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})


def check_values(name: str, tensor: Tensor, path: Path) -> None:
    """Whether a tensor can be a parameter: real numbers in memory, finite, and of a size that training makes.

    Args:
        name: of the parameter.
        tensor: of any shape.
        path: of the file that it is from.

    Raises:
        BadInput: it cannot.
    """
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        kind = "no numbers" if tensor.is_meta else "quantized" if tensor.is_quantized else str(tensor.layout)
        raise BadInput(f"{path} holds no plain weights: {name} is {kind.removeprefix('torch.')}")
    if not tensor.is_floating_point():
        raise BadInput(f"{path} holds no plain weights: {name} is {str(tensor.dtype).removeprefix('torch.')}")
    held = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > _REPEATED * held:
        raise BadInput(f"{path} holds no plain weights: {name} is {tensor.numel():,} values made of {held:,} bytes")
    largest = float(tensor.double().abs().max()) if tensor.numel() else 0.0
    if not math.isfinite(largest):
        raise BadInput(f"{path} is damaged: {name} is not finite")
    if largest > _ABSURD:
        raise BadInput(f"{path} is damaged: a value of {name} is {largest:.1e}, which no training makes")


def save_weights(
    network: nn.Module, path: Path, *, half: bool = False, metadata: Mapping[str, str] | None = None
) -> str:
    """Write the parameters as .safetensors, atomically; returns the file's SHA-256.

    Args:
        network, half, metadata: see ``pack_weights``.
        path: of the file.
    """
    content = pack_weights(network, half=half, metadata=metadata)
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
    return hashlib.sha256(content).hexdigest()


def pack_weights(network: nn.Module, *, half: bool = False, metadata: Mapping[str, str] | None = None) -> bytes:
    """The contents of a .safetensors file with the parameters.

    Args:
        network: whose parameters.
        half: in half precision (float16) instead of float32.
        metadata: kept with them.
    """
    dtype = torch.float16 if half else torch.float32
    weights: dict[str, Tensor] = {
        name: tensor.detach().cpu().to(dtype).contiguous() for name, tensor in network.state_dict().items()
    }
    return to_bytes(weights, metadata=dict(metadata or {}) or None)


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Write what a stopped command needs to go on, atomically, for ``torch.load``.

    Raises:
        BadInput: it cannot be written.
    """
    content = io.BytesIO()  # writing to the file itself, torch hides what the system says of a full disk
    torch.save(dict(state), content)
    write_atomically(path, lambda temporary: temporary.write_bytes(content.getbuffer()))
