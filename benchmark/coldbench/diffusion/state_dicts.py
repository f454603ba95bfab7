"""State dicts in other people's files: read without running any code in them, or refused with the cause.

What ``torch.save`` wrote is a zip archive, whose checksums are checked, or, before PyTorch 1.6, a pickle that has none;
a .safetensors file has none either.
"""

from __future__ import annotations

import re
import stat
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from coldbench.core.errors import BadInput, one_line
from coldbench.core.paths import status
from coldbench.core.weights import check_values

#: The key of the averaged parameters in the released files.
EMA = "ema"
#: The key that stands for the file itself.
WHOLE = "."
_OPTION = "--weights-key"
#: What DataParallel and torch.compile put into the names of parameters.
_WRAPPERS = frozenset({"module", "_orig_mod"})
_ZIP, _LEGACY, _PICKLE = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"\x80"
#: How files begin that were meant to be checkpoints, and what they are.
_OTHERS = {
    **dict.fromkeys((b"<!", b"<?", b"<h", b"<H"), "is a web page or XML, no checkpoint: download the file itself"),
    b"version https://git-lfs": "is a pointer of Git LFS, no checkpoint: git lfs pull gets the file",
    b"\x1f\x8b": "is compressed by gzip: unpack it first",
    b"\x89HDF": "is an HDF5 file (Keras), no checkpoint of PyTorch",
    b"\x93NUMPY": "is a NumPy array, no checkpoint",
}
#: As many bytes as tell the kind of a file.
_HEAD = 64


def read_state_dict(path: Path, key: str | None = None) -> dict[str, Tensor]:
    """The parameters and buffers in a file, as float32, under their names without DataParallel's and compile's parts.

    Args:
        path: of the file, by ``torch.save`` or .safetensors.
        key: of the state dict in the file, ``ema`` unless given; dots lead deeper, and ``WHOLE`` is the file itself.
            Of a .safetensors file, the first parts of the names.

    Raises:
        BadInput: no such file, another kind of file, a damaged one, or one without such a state dict; says which.
    """
    head = _head(path)
    # Its first byte, of a length, may be any: it comes before what is told by the first byte.
    tensors = _from_safetensors(path, key) if _is_safetensors(head) else _from_torch(path, head, key)
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        check_values(name, tensor, path)
        plain = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
        if plain in found:
            raise BadInput(f"{path} holds {plain} twice, once as {name}")
        found[plain] = tensor.detach().float()
    return found


def _head(path: Path) -> bytes:
    """How a regular file begins.

    Raises:
        BadInput: it is none, is empty, or cannot be read.
    """
    found = status(path)
    if found is None:
        raise BadInput(f"cannot read {path}: there is no such file")
    if not stat.S_ISREG(found.st_mode):
        what = "a folder; name the file in it" if stat.S_ISDIR(found.st_mode) else "a pipe or a device, no file"
        raise BadInput(f"cannot read {path}: it is {what}")
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error
    if not head:
        raise BadInput(f"{path} is empty")
    return head


def _is_safetensors(head: bytes) -> bool:
    """Whether a file begins with the length of a header in JSON."""
    return head[4:9] == b"\0\0\0\0{"


def _from_safetensors(path: Path, key: str | None) -> Mapping[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise BadInput(f"{path} is a damaged .safetensors file: {one_line(error)}") from error
    if key == WHOLE:
        return tensors
    prefix = f"{key or EMA}."
    found = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if not found:
        raise BadInput(
            f"{path} is a .safetensors file without tensors under {prefix[:-1]}: name the first parts of theirs with "
            f"{_OPTION}, or take all with {_OPTION} {WHOLE}"
        )
    return found


def _from_torch(path: Path, head: bytes, key: str | None) -> Mapping[str, Tensor]:
    for start, told in _OTHERS.items():
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(start):
            raise BadInput(f"{path} {told}")
    if head.startswith(_ZIP):
        _check_archive(path)
    elif not head.startswith(_PICKLE):
        raise BadInput(f"{path} is no checkpoint: neither torch.save nor safetensors wrote it")
    return _state_dict(path, _loaded(path, head), key)


def _check_archive(path: Path) -> None:
    """Whether an archive of ``torch.save`` is whole, by its own checksums.

    Raises:
        BadInput: it is not, or is another archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.rpartition("/")[2] for name in archive.namelist()]
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        cut = "not a zip file" in str(error)
        told = "is truncated: the end of the archive is missing" if cut else f"is damaged: {one_line(error)}"
        raise BadInput(f"{path} {told}") from error
    except Exception as error:  # what a damaged header promises fails in many ways
        raise BadInput(f"{path} is damaged: {getattr(error, 'strerror', None) or one_line(error)}") from error
    if damaged is not None:
        raise BadInput(f"{path} is damaged: {damaged} in it has not its checksum")
    if "constants.pkl" in names:
        raise BadInput(
            f"{path} is a TorchScript archive, which is not loaded since that may run code: save the state dict alone"
        )
    if "data.pkl" not in names:
        raise BadInput(f"{path} is a zip archive, but none of torch.save")


def _loaded(path: Path, head: bytes) -> Any:
    """What ``torch.save`` wrote, code excepted.

    Raises:
        BadInput: it cannot be read, or holds more than tensors, numbers, words and containers of them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are refused anyway
            return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # damaged archives and foreign pickles fail in many ways
        code = re.search(r"(?:GLOBAL|class) ([\w.]+)", str(error))
        if code:
            raise BadInput(
                f"{path} holds {code[1]}, which is not loaded since that may run code: save the state dict alone, "
                "torch.save({'ema': state_dict}, ...)"
            ) from error
        if head.startswith(_PICKLE) and not head.startswith(_LEGACY[: len(head)]):
            raise BadInput(f"{path} is a pickle, but none of torch.save") from error
        truncated = isinstance(error, EOFError) or "EOF" in str(error)
        raise BadInput(f"{path} is {'truncated' if truncated else 'damaged: torch.load cannot read it'}") from error


def _state_dict(path: Path, content: Any, key: str | None) -> Mapping[str, Tensor]:
    """The state dict under a key of a file's contents.

    Raises:
        BadInput: there is none; says what there is.
    """
    found = _under(path, content, EMA if key is None else key)
    where = f"{path} has no state dict under '{EMA if key is None else key}'"
    if not isinstance(found, Mapping):
        raise BadInput(f"{where}, but something of type {type(found).__name__}")
    if not found:
        raise BadInput(f"{where}, but an empty one")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            told = f"what it calls {_quoted(name)} is of type {type(value).__name__}"
            raise BadInput(f"{where}: {told}{_choices(found, '' if key == WHOLE else key or EMA)}")
    return found


def _under(path: Path, content: Any, key: str, above: str = "") -> Any:
    """What a file's contents have under a key; ``above`` is the key under which these contents are themselves."""
    if key == WHOLE:
        return content
    if not isinstance(content, Mapping):
        raise BadInput(f"{path} holds something of type {type(content).__name__}, no state dict")
    if not content:
        raise BadInput(f"{path} holds an empty dict, no state dict")
    if key in content:
        return content[key]
    first, dot, rest = key.partition(".")
    if dot and isinstance(content.get(first), Mapping):
        return _under(path, content[first], rest, _below(above, first))
    if not above and content and all(isinstance(value, Tensor) for value in content.values()):
        raise BadInput(f"{path} is a bare state dict, without '{key}': take it with {_OPTION} {WHOLE}")
    raise BadInput(f"{path} has {_listed(content)}, but no '{_below(above, key)}'{_choices(content, above)}")


def _quoted(key: object) -> str:
    """A key in a message: on one line, and not too long."""
    return f"'{' '.join(str(key).split())[:40]}'"


def _listed(content: Mapping[Any, Any]) -> str:
    """The keys of a dict in words."""
    keys = [_quoted(key) for key in content]
    shown = keys if len(keys) <= 6 else [*keys[:5], f"{len(keys) - 5} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def _below(above: str, key: str) -> str:
    return f"{above}.{key}" if above else key


def _choices(content: Mapping[Any, Any], above: str) -> str:
    """The advice to name one of the state dicts that there are."""
    dicts = [key for key, value in content.items() if isinstance(key, str) and isinstance(value, Mapping) and value]
    return f": name the state dict to take, e.g. {_OPTION} {_quoted(_below(above, dicts[0]))[1:-1]}" if dicts else ""
