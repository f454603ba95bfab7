"""Where images come from: folders, .npz files, arrays; each with a digest that identifies what was read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from coldbench.core.errors import BadInput, foreign
from coldbench.core.files import sha256_of

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
#: What Pillow may convert to the mode of C channels. Missing are the modes it would clip (16 bits, floats) or that hold
#: colour a grey image cannot. Alpha is dropped, as the released code drops it.
_CONVERTIBLE = {1: {"1", "L", "LA"}, 3: {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK"}}
_PIL_MODES = {1: "L", 3: "RGB"}
_GREY = frozenset({"1", "L", "LA"})


@dataclass(frozen=True)
class ImageSource:
    """A finite, ordered set of images.

    Attributes:
        name: how the set is called in tables and records.
        digest: SHA-256 of what the images were read from.
        count: number of images.
        read: index -> the image; raises ``BadInput`` naming the file.
        array: the images as they are held in memory, uint8 (N, H, W) or (N, H, W, C); None if they are not.
        parallel: whether reading is worth worker processes, and ``read`` can be pickled for them.
    """

    name: str
    digest: str
    count: int
    read: Callable[[int], Image.Image]
    array: np.ndarray | None = None
    parallel: bool = False

    @property
    def channels(self) -> int:
        """C of the first image: 1 if it is grey, else 3.

        Raises:
            BadInput: there is none, or it cannot be decoded.
        """
        if self.count < 1:
            raise BadInput(f"{self.name} holds no image")
        with foreign(f"image 0 of {self.name}"):
            return 1 if self.read(0).mode in _GREY else 3


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """Grey to colour, never colour to grey, and never more than 8 bits to 8.

    Raises:
        BadInput: the image has another mode.
    """
    if image.mode not in _CONVERTIBLE[channels]:
        raise BadInput(
            f"it has mode {image.mode}, but this row restores 8-bit {channels}-channel images; convert it first"
        )
    return image.convert(_PIL_MODES[channels])


def folder_source(path: Path, name: str | None = None) -> ImageSource:
    """All images below a folder, in order of their relative paths.

    Raises:
        BadInput: no such folder, or no image in it.
    """
    if not path.is_dir():
        raise BadInput(f"no folder at {path}")
    files = image_files(path)
    if not files:
        raise BadInput(f"no {', '.join(IMAGE_SUFFIXES)} images in {path}")
    title = os.fsencode(path.resolve().name).decode(errors="replace")
    return files_source(name or f"folder:{title}", path, files)


def image_files(path: Path) -> list[Path]:
    """The image files below a folder, sorted by relative path; empty where there is no folder."""
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())


def files_source(name: str, root: Path, files: Sequence[Path]) -> ImageSource:
    """These files, in this order; the digest covers their content and their paths below ``root``."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.fsencode(file.relative_to(root)) + f" {sha256_of(file)}\n".encode())
    return ImageSource(name, digest.hexdigest(), len(files), partial(_read_nth, files), parallel=True)


def _read_nth(files: Sequence[Path], index: int) -> Image.Image:
    return read_image(files[index])


def read_image(path: Path) -> Image.Image:
    """Decode one image file whole.

    Raises:
        BadInput: it is truncated, or no image.
    """
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            image.load()
            return image
    except Exception as error:  # damaged files fail in a dozen ways
        reason = str(error).replace(repr(str(path)), "it")
        raise BadInput(f"{path} cannot be read as an image: {reason}") from error


def npz_source(path: Path) -> ImageSource:
    """The array ``images`` of an .npz file: uint8 (N, H, W, C), C = 1 or 3; (N, H, W) is grey.

    Raises:
        BadInput: missing, truncated, or another array.
    """
    if not path.is_file():
        raise BadInput(f"no file at {path}")
    try:
        # Opened here: on a damaged archive np.load would leave the file open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            images = archive["images"]
            if not isinstance(images, np.ndarray):
                raise ValueError("'images' is no array")
    except Exception as error:  # a damaged archive fails in a dozen ways
        raise BadInput(f"{path} is not an .npz file with an array 'images': {error}") from error
    return array_source(f"npz:{path.name}", images, sha256_of(path))


def array_source(name: str, images: np.ndarray, digest: str | None = None) -> ImageSource:
    """Images held in memory: uint8 (N, H, W) or (N, H, W, C).

    Args:
        name: of the set.
        images: the pixels.
        digest: of the file they came from; the SHA-256 of shape and pixels where there is none.

    Raises:
        BadInput: another dtype or shape, or no image at all.
    """
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    colour = images.ndim == 4 and images.shape[-1] == 3
    if images.dtype != np.uint8 or not (colour or images.ndim == 3) or images.size == 0:
        shape = "x".join(map(str, images.shape))
        raise BadInput(f"{name}: images must be uint8 (N, H, W, C) with C = 1 or 3, not {images.dtype} {shape}")
    if digest is None:
        digest = hashlib.sha256(f"{images.shape}".encode() + np.ascontiguousarray(images).tobytes()).hexdigest()
    return ImageSource(name, digest, len(images), partial(_nth_array, images), array=images)


def _nth_array(images: np.ndarray, index: int) -> Image.Image:
    return Image.fromarray(images[index])


def joined(sources: Sequence[ImageSource]) -> ImageSource:
    """Several sets, one after the other."""
    if len(sources) == 1:
        return sources[0]
    digest = hashlib.sha256("\n".join(source.digest for source in sources).encode()).hexdigest()
    return ImageSource(
        name=" + ".join(source.name for source in sources),
        digest=digest,
        count=sum(source.count for source in sources),
        read=partial(_read_joined, sources),
        parallel=any(source.parallel for source in sources),
    )


def _read_joined(sources: Sequence[ImageSource], index: int) -> Image.Image:
    for source in sources:
        if index < source.count:
            return source.read(index)
        index -= source.count
    raise IndexError(index)
