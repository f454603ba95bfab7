"""Images with all of their digits: files of 8 or 16 bits or float32, read as numbers in [0, 1], and written so.

What a measurement saves is read here again, and nothing is rounded that a file holds. Sets that are measured are of 8
bits, and elsewhere: see ``coldbench.data.sources``.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_png

from coldbench.core.errors import BadInput, one_line
from coldbench.core.files import sha256_of, write_atomically
from coldbench.core.paths import is_file, is_folder
from coldbench.data.folders import look_into
from coldbench.data.images import channels_of, check_png, read_image, with_channels
from coldbench.data.transforms import to_model_range

#: How an image can be written: float32, PNG of 8 bits, PNG of 16 bits; or many in an archive, float32.
STYLES = ("npy", "png", "png16", "npz")
#: What is read beside image files.
_ARRAYS = (".npy", ".npz")
#: Where floating-point images must lie. Restored ones leave [0, 1], and noise leaves it far; 0 to 255 is a mistake.
_LEAST, _MOST = -16.0, 17.0
#: Files named in one error.
_NAMED = 8
_PNG = b"\x89PNG\r\n\x1a\n"
#: An archive of a batch of a measurement, called after the first and the last of its images.
BATCH = re.compile(r"(\d+)-(\d+)\.npz")


@dataclass(frozen=True)
class FloatImages:
    """A finite set of images, each with a name.

    Attributes:
        name: of the set.
        digest: SHA-256 of what they are read from.
        names: of the images, in order: their paths in the folder without suffix, or their numbers.
        read: index -> float32 (C, H, W), in [0, 1] or not far from it; raises ``BadInput`` naming the file.
    """

    name: str
    digest: str
    names: tuple[str, ...]
    read: Callable[[int], Tensor] = field(repr=False)

    def batch(self, positions: Sequence[int]) -> Tensor:
        """Some of the images, float32 (B, C, H, W); see ``shape_of_all``."""
        return torch.stack([self.read(position) for position in positions])

    def chosen(self, names: Sequence[str]) -> FloatImages:
        """The images of these names, in their order.

        Raises:
            KeyError: one is not among them.
        """
        places = {name: place for place, name in enumerate(self.names)}
        return FloatImages(self.name, self.digest, tuple(names), partial(_read_at, self, [places[n] for n in names]))


def _read_at(images: FloatImages, places: Sequence[int], index: int) -> Tensor:
    return images.read(places[index])


def open_images(path: Path) -> FloatImages:
    """The images of a folder, with what lies below it, of an .npz archive, or of a single file.

    A folder may hold image files (8 bits, or PNGs of 16), .npy files of one image each, and .npz archives of many. An
    archive holds ``images``, and perhaps their ``names``. Arrays are (C, H, W), (H, W, C) or (H, W) an image: uint8,
    uint16, or floats in [0, 1].

    Raises:
        BadInput: nothing there, no image in it, or two images of one name.
    """
    if is_folder(path):
        return _folder(path)
    if not is_file(path):
        raise BadInput(f"no folder or file of images at {path}")
    found = list(_entries(path, Path(path.stem)))
    return FloatImages(path.name, sha256_of(path), *_columns(found))


#: The name of an image, and how it is read.
_Entry = tuple[str, Callable[[], Tensor]]


def _folder(folder: Path) -> FloatImages:
    contents = look_into(folder)
    files = sorted([*contents.images, *(file for file in contents.others if file.suffix.lower() in _ARRAYS)])
    if not files:
        raise BadInput(f"no images in {folder} ({str(contents) or 'it is empty'})")
    digest = hashlib.sha256()
    found: dict[str, tuple[Path, _Entry]] = {}
    for file in files:
        relative = file.relative_to(folder)
        digest.update(os.fsencode(relative) + f" {sha256_of(file)}\n".encode())
        for entry in _entries(file, relative.with_suffix("")):
            other = found[entry[0]][0] if entry[0] in found else None
            # Batches of other sizes, which a stopped measurement leaves, hold the same image.
            if other and not (BATCH.fullmatch(file.name) and BATCH.fullmatch(other.name)):
                raise BadInput(f"{other} and {file} both hold an image called {entry[0]}: keep one of them")
            found[entry[0]] = file, entry
    title = os.fsencode(folder.resolve().name).decode(errors="replace")
    return FloatImages(title, digest.hexdigest(), *_columns([entry for _, (_, entry) in sorted(found.items())]))


def _columns(entries: Sequence[_Entry]) -> tuple[tuple[str, ...], Callable[[int], Tensor]]:
    """Names, and what reads the n-th."""
    readers = [read for _, read in entries]
    return tuple(name for name, _ in entries), lambda index: readers[index]()


def _entries(file: Path, name: Path) -> Iterator[_Entry]:
    """The images of one file."""
    if file.suffix.lower() == ".npz":
        names = _archive(file)[1]
        parent = name.parent
        for place, each in enumerate(names):
            yield (parent / each).as_posix(), partial(_read_archived, file, place)
    else:
        yield name.as_posix(), partial(read_floats, file)


def _read_archived(file: Path, place: int) -> Tensor:
    return _as_floats(_archive(file)[0][place], f"image {place} of {file}")


@lru_cache(maxsize=4)
def _archive(file: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """The images of an .npz archive, and their names; numbers of six digits where it has none."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            if "images" not in archive:
                raise ValueError(f"it holds {', '.join(archive) or 'nothing'}")
            images = archive["images"]
            names = (
                tuple(map(str, archive["names"])) if "names" in archive else tuple(map(numbered, range(len(images))))
            )
        if images.ndim not in (3, 4) or not len(images) or len(names) != len(images):
            raise ValueError(f"{len(names)} names, and images of shape {images.shape}")
        if len(set(names)) != len(names):
            raise ValueError("two of its images have one name")
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
            raise ValueError("a name leads out of the folder")
    except Exception as error:  # a damaged archive fails in a dozen ways
        reason = one_line(error) or type(error).__name__
        raise BadInput(f"{file} is not an .npz file with an array 'images': {reason}") from error
    return images, names


def numbered(position: int) -> str:
    """The name of an image that has none, after its position."""
    return f"{position:06d}"


def read_floats(file: Path) -> Tensor:
    """One image, float32 (C, H, W): of 8 or 16 bits in [0, 1], of floating-point numbers as they are.

    Raises:
        BadInput: it is damaged, is no image, or holds something else than such numbers.
    """
    if file.suffix.lower() != ".npy":
        deep = _read_png16(file) if file.suffix.lower() == ".png" else None
        return _as_floats(np.asarray(_read_8_bit(file)) if deep is None else deep, str(file))
    try:
        with file.open("rb") as stream:
            array = np.load(stream, allow_pickle=False)
    except Exception as error:  # a damaged file fails in a dozen ways
        raise BadInput(f"{file} is not an .npy file: {one_line(error) or type(error).__name__}") from error
    return _as_floats(array, str(file))


def _read_8_bit(file: Path) -> np.ndarray:
    image = read_image(file)
    return np.asarray(with_channels(image, channels_of(image)))


def _read_png16(file: Path) -> np.ndarray | None:
    """The pixels of a PNG of 16 bits, uint16 (C, H, W) without alpha; None if it is another file."""
    try:
        data = file.read_bytes()
        if not data.startswith(_PNG) or data[24:25] != b"\x10":
            return None
        check_png(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a buffer that cannot be written
            pixels = decode_png(torch.frombuffer(data, dtype=torch.uint8), ImageReadMode.UNCHANGED).numpy()
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput(f"{file} cannot be read as an image: {one_line(error)}") from error
    return pixels[: {2: 1, 4: 3}.get(len(pixels), len(pixels))]


def _as_floats(array: np.ndarray, what: str) -> Tensor:
    """One image as float32 (C, H, W).

    Raises:
        BadInput: it cannot be one; says ``what``.
    """
    known = array.dtype in (np.uint8, np.uint16) or array.dtype.kind == "f"
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and array.shape[0] > 4 >= array.shape[2]:
        array = array.transpose(2, 0, 1)
    if not known or array.ndim != 3 or not 1 <= len(array) <= 4 or not array.size:
        raise BadInput(
            f"{what} is {array.dtype} {array.shape}, no image: (C, H, W) of uint8, uint16 or floats in [0, 1]"
        )
    if array.dtype == np.uint8:
        # By way of [-1, 1], as measured images go: to the last bit the same.
        return (to_model_range(torch.from_numpy(array.copy())) + 1) / 2
    if array.dtype == np.uint16:
        return torch.from_numpy(array.astype(np.float32) / 65535)
    if not np.isfinite(array).all():
        raise BadInput(f"{what} holds NaN or infinity instead of pixels")
    if array.min() < _LEAST or array.max() > _MOST:
        raise BadInput(
            f"{what} has values from {array.min():g} to {array.max():g}: floating-point pixels are in [0, 1]"
        )
    return torch.from_numpy(array.astype(np.float32))


def shape_of_all(images: FloatImages) -> tuple[int, int, int]:
    """(C, H, W), which all of them must have; every image is read for it.

    Raises:
        BadInput: one cannot be read, or has another shape than the first; names those.
    """
    shapes = [tuple(images.read(index).shape) for index in range(len(images.names))]
    odd = [f"{name} is {sized(shape)}" for name, shape in zip(images.names, shapes, strict=True) if shape != shapes[0]]
    if odd:
        raise BadInput(
            f"the images of {images.name} differ in size: {images.names[0]} is {sized(shapes[0])}, {listed(odd)}"
        )
    channels, height, width = shapes[0]
    return channels, height, width


def sized(shape: Sequence[int]) -> str:
    """A shape in words, e.g. 3x32x32."""
    return "x".join(map(str, shape))


def listed(names: Sequence[str]) -> str:
    """Some names in words: the first of them, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def write_image(image: Tensor, path: Path, style: str) -> None:
    """Write one image atomically.

    Args:
        image: (C, H, W) in [0, 1], with 1 or 3 channels for a PNG, to whose grey levels it is clamped and rounded.
        path: of the file, with the suffix of the style; see ``suffix``.
        style: ``npy`` for float32 as they are, ``png`` or ``png16``.

    Raises:
        BadInput: the file cannot be written.
    """
    content = image.detach().cpu().float().numpy()
    if style == "npy":
        write_atomically(path, lambda temporary: np.save(temporary, content))
        return
    bits = 16 if style == "png16" else 8
    levels = np.rint(content.clip(0, 1).astype(np.float64) * (2**bits - 1)).astype(f">u{bits // 8}")
    write_atomically(path, lambda temporary: temporary.write_bytes(_png(levels, bits)))


def suffix(style: str) -> str:
    """Of a file in one of ``STYLES``."""
    return f".{style.removesuffix('16')}"


def _png(levels: np.ndarray, bits: int) -> bytes:
    """A PNG of the pixels (C, H, W), big-endian; Pillow writes none of 16 bits in colour (ISO/IEC 15948)."""
    channels, height, width = levels.shape
    header = struct.pack(">IIBBBBB", width, height, bits, {1: 0, 3: 2}[channels], 0, 0, 0)
    lines = levels.transpose(1, 2, 0).reshape(height, -1)
    scanlines = b"".join(b"\0" + line.tobytes() for line in lines)  # each begins with its filter, none
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(scanlines)), (b"IEND", b""))
    return _PNG + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
