"""Weights in files: each is what its SHA-256 says, and fits its network, or is refused."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
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
        weights = {name: tensor.float() for name, tensor in load_file(path).items()}
        network.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        raise BadInput(f"{path} does not fit its network: {str(error).splitlines()[0]}") from error


def save_weights(network: nn.Module, path: Path) -> str:
    """Write the parameters as float32 .safetensors, atomically; returns the file's SHA-256."""
    weights: dict[str, Tensor] = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    write_atomically(path, lambda temporary: save_file(weights, temporary))
    return sha256_of(path)
