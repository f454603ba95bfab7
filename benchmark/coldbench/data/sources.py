"""Where images come from: folders, .npz files, arrays; each with a digest that identifies what was read."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from coldbench.core.errors import BadInput, foreign, one_line
from coldbench.core.files import sha256_of
from coldbench.core.paths import is_file, is_folder
from coldbench.data.folders import IMAGE_SUFFIXES, look_into
from coldbench.data.images import channels_of, read_image


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
        names: of the images; empty where they have none but their positions.
        left_out: what lies beside the images and is not read, in words; empty if there is nothing.

    Raises:
        BadInput: the array is another, or holds another number of images.
    """

    name: str
    digest: str
    count: int
    read: Callable[[int], Image.Image]
    array: np.ndarray | None = None
    parallel: bool = False
    left_out: str = ""
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.array is not None and (self.array.dtype != np.uint8 or len(self.array) != self.count):
            what = _described(self.array)
            raise BadInput(f"{self.name}: the array of {self.count} images must be uint8, one row an image, not {what}")

    @property
    def channels(self) -> int:
        """C of the first image: 1 if it is grey, else 3.

        Raises:
            BadInput: there is none, or it cannot be decoded.
        """
        if self.count < 1:
            raise BadInput(f"{self.name} holds no image")
        with foreign(f"image 0 of {self.name}"):
            return channels_of(self.read(0))


def folder_source(path: Path, name: str | None = None) -> ImageSource:
    """All images below a folder, in order of their relative paths.

    Raises:
        BadInput: no such folder, no image in it, or something in it that cannot be read; see
            ``coldbench.data.folders.look_into``.
    """
    if not is_folder(path):
        raise BadInput(f"no folder at {path}")
    contents = look_into(path)
    if not contents.images:
        raise BadInput(f"no images in {path} ({str(contents) or 'it is empty'}): read are {', '.join(IMAGE_SUFFIXES)}")
    title = os.fsencode(path.resolve().name).decode(errors="replace")
    return files_source(name or f"folder:{title}", path, contents.images, left_out=contents.left_out)


def files_source(name: str, root: Path, files: Sequence[Path], *, left_out: str = "") -> ImageSource:
    """These files, in this order; the digest covers their content and their paths below ``root``."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.fsencode(file.relative_to(root)) + f" {sha256_of(file)}\n".encode())
    read = partial(_read_nth, files)
    names = tuple(file.relative_to(root).as_posix() for file in files)
    return ImageSource(name, digest.hexdigest(), len(files), read, parallel=True, left_out=left_out, names=names)


def _read_nth(files: Sequence[Path], index: int) -> Image.Image:
    return read_image(files[index])


def npz_source(path: Path) -> ImageSource:
    """The array ``images`` of an .npz file: uint8 (N, H, W, C), C = 1 or 3; (N, H, W) is grey.

    Raises:
        BadInput: missing, truncated, or another array.
    """
    if not is_file(path):
        raise BadInput(f"no file at {path}")
    try:
        with path.open("rb") as stream:
            images = _read_npz(stream)
    except Exception as error:  # a damaged archive fails in a dozen ways
        reason = one_line(error) or type(error).__name__
        raise BadInput(f"{path} is not an .npz file with an array 'images': {reason}") from error
    return array_source(f"npz:{path.name}", images, sha256_of(path))


def _read_npz(stream: io.BufferedReader) -> np.ndarray:
    """The array ``images``; the stream is the caller's to close, which np.load forgets on a damaged archive."""
    if stream.peek(6).startswith(b"\x93NUMPY"):
        raise ValueError("it is one array, as np.save writes it: np.savez('FILE.npz', images=np.load('FILE.npy'))")
    if not zipfile.is_zipfile(stream):
        raise ValueError("it is no zip archive, or was cut")
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as archive:
        if "images" not in archive:
            raise ValueError(f"it holds {', '.join(archive) or 'nothing'}")
        images = archive["images"]
    if not isinstance(images, np.ndarray):
        raise ValueError("'images' is no array")
    return images


def array_source(name: str, images: np.ndarray, digest: str | None = None) -> ImageSource:
    """Images held in memory: uint8 (N, H, W) or (N, H, W, C).

    Args:
        name: of the set.
        images: the pixels.
        digest: of the file they came from; the SHA-256 of shape and pixels where there is none.

    Raises:
        BadInput: another dtype or shape, no image at all, or what may be a single image.
    """
    if not isinstance(images, np.ndarray):
        raise BadInput(f"{name}: images must be an array of numpy's, not {type(images).__name__}")
    if images.ndim == 3 and images.shape[-1] in (1, 3, 4):
        raise BadInput(
            f"{name}: {_shape(images)} may be one image of {images.shape[-1]} channels: add an axis, images[None] for "
            "one image, images[..., None] for grey ones"
        )
    if images.ndim == 3 and images.shape[0] == 3 < min(images.shape[1:]):
        raise BadInput(
            f"{name}: {_shape(images)} may be one image with its channels first: np.moveaxis(images, 0, -1)[None] for "
            "one image, images[..., None] for three grey ones"
        )
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    colour = images.ndim == 4 and images.shape[-1] == 3
    if images.dtype != np.uint8 or not (colour or images.ndim == 3) or images.size == 0:
        raise BadInput(f"{name}: images must be uint8 (N, H, W, C) with C = 1 or 3, not {_described(images)}")
    if digest is None:
        digest = hashlib.sha256(f"{images.shape}".encode() + np.ascontiguousarray(images).tobytes()).hexdigest()
    return ImageSource(name, digest, len(images), partial(_nth_array, images), array=images)


def _described(images: np.ndarray) -> str:
    """Type, shape and range, and the first image that has no range."""
    what = f"{images.dtype} {_shape(images)}"
    if images.size == 0 or images.ndim == 0 or images.dtype.kind not in "iuf":
        return what
    finite = np.isfinite(images).reshape(len(images), -1).all(axis=1)
    if not finite.all():
        return f"{what}, of which image {int(finite.argmin())} holds NaN or infinity"
    return f"{what} from {images.min():g} to {images.max():g}"


def _shape(images: np.ndarray) -> str:
    return "x".join(map(str, images.shape))


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
