"""Images in, tensors out: the paper's transform, and a digest that identifies what was read."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as transforms

from coldbench.errors import BadInput, Missing
from coldbench.files import sha256_of
from coldbench.paths import PACKAGE

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
#: What Pillow may convert to the mode of C channels. Missing are the modes it would clip (16 bits, floats) or that hold
#: colour a grey image cannot. Alpha is dropped, as the released code drops it.
_CONVERTIBLE = {1: {"1", "L"}, 3: {"1", "L", "P", "RGB", "RGBA", "CMYK"}}
_PIL_MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class ImageSource:
    """A finite, ordered set of images.

    Attributes:
        name: how the set is called in tables and records.
        digest: SHA-256 of what the images were read from.
        count: number of images.
        read: index -> the image, undecoded errors included: raises ``BadInput`` naming the file.
    """

    name: str
    digest: str
    count: int
    read: Callable[[int], Image.Image]

    def load(self, indices: Sequence[int], *, image_size: int, channels: int) -> Tensor:
        """The paper's evaluation transform: shorter side to S (bilinear, antialiased), centre crop S x S.

        Args:
            indices: positions in the set.
            image_size: S, in pixels.
            channels: C, 1 or 3.

        Returns:
            uint8 (B, C, S, S).

        Raises:
            BadInput: an image that cannot be decoded, or that has more channels than C.
        """
        return torch.stack([self._prepare(i, image_size, channels) for i in indices])

    def _prepare(self, index: int, image_size: int, channels: int) -> Tensor:
        image = with_channels(self.read(index), channels, f"image {index} of {self.name}")
        return transforms.pil_to_tensor(transforms.center_crop(transforms.resize(image, image_size), image_size))


def with_channels(image: Image.Image, channels: int, where: str) -> Image.Image:
    """Grey to colour, never colour to grey, and never more than 8 bits to 8.

    Raises:
        BadInput: the image has another mode.
    """
    if image.mode not in _CONVERTIBLE[channels]:
        raise BadInput(
            f"{where} has mode {image.mode}, but this row restores 8-bit {channels}-channel images; convert it first"
        )
    return image.convert(_PIL_MODES[channels])


def to_model_range(pixels: Tensor) -> Tensor:
    """uint8 0..255 -> float32 in [-1, 1]."""
    return pixels.float() / 255 * 2 - 1


def mnist(root: Path, *, train: bool = False) -> ImageSource:
    """MNIST (Y. LeCun, C. Cortes; CC BY-SA 3.0). The 10,000 test images ship with coldbench.

    Raises:
        Missing: the training images are not under ``root``.
    """
    path = _mnist_file("images-idx3", root, train=train)
    return array_source("MNIST", read_idx(path), sha256_of(path))


def mnist_labels(root: Path, *, train: bool) -> np.ndarray:
    """The digits 0..9 of ``mnist``, int64 (N,); raises as it does."""
    return read_idx(_mnist_file("labels-idx1", root, train=train)).astype(np.int64)


def _mnist_file(kind: str, root: Path, *, train: bool) -> Path:
    name = f"{'train' if train else 't10k'}-{kind}-ubyte.gz"
    path = root / "MNIST" / "raw" / name if train else PACKAGE / "data" / "mnist" / name
    if not path.exists():
        raise Missing(f"the MNIST training images are not at {path}: coldbench fetch mnist --data-root {root}")
    return path


def cifar10(root: Path, *, train: bool = False) -> ImageSource:
    """CIFAR-10 in torchvision's layout: ``root/cifar-10-batches-py``.

    Raises:
        Missing: it is not there, or its files have the wrong checksum.
    """
    from torchvision.datasets import CIFAR10

    try:
        images = CIFAR10(str(root), train=train).data
    except RuntimeError as error:
        raise Missing(f"CIFAR-10 is not under {root}: coldbench fetch cifar10 --data-root {root}") from error
    return array_source("CIFAR-10", images, hashlib.sha256(images.tobytes()).hexdigest())


def celeba(root: Path, *, train: bool = False) -> ImageSource:
    """CelebA-HQ at 128 pixels, one folder a split: ``root/celeba-hq/train`` and ``root/celeba-hq/test``.

    Raises:
        Missing: the folder is not there.
    """
    return _dataset_folder("CelebA-HQ", root / "celeba-hq" / ("train" if train else "test"), name="CelebA")


def afhq(root: Path, *, train: bool = False) -> ImageSource:
    """AFHQ, one folder a split: ``root/afhq/train`` (all three classes) and ``root/afhq/test``.

    Raises:
        Missing: the folder is not there.
    """
    return _dataset_folder("AFHQ", root / "afhq" / ("train" if train else "test"), name="AFHQ")


def _dataset_folder(title: str, path: Path, *, name: str) -> ImageSource:
    if not _image_files(path):
        raise Missing(f"{title} images are not at {path}: put them there")
    return folder_source(path, name=name)


def open_source(spec: str) -> ImageSource:
    """The images named on the command line: ``folder:PATH`` or ``npz:PATH``.

    Raises:
        BadInput: neither, or nothing usable there.
    """
    kind, _, path = spec.partition(":")
    if kind not in ("folder", "npz") or not path:
        raise BadInput(f"--data '{spec}' is neither folder:PATH nor npz:PATH")
    return folder_source(Path(path)) if kind == "folder" else npz_source(Path(path))


def folder_source(path: Path, name: str | None = None) -> ImageSource:
    """All images below a folder, in order of their relative paths.

    Raises:
        BadInput: no such folder, or no image in it.
    """
    if not path.is_dir():
        raise BadInput(f"no folder at {path}")
    files = _image_files(path)
    if not files:
        raise BadInput(f"no {', '.join(IMAGE_SUFFIXES)} images in {path}")
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.fsencode(file.relative_to(path)) + f" {sha256_of(file)}\n".encode())
    title = os.fsencode(path.resolve().name).decode(errors="replace")
    return ImageSource(name or f"folder:{title}", digest.hexdigest(), len(files), lambda i: read_image(files[i]))


def _image_files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())


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


def array_source(name: str, images: np.ndarray, digest: str) -> ImageSource:
    """Images held in memory: uint8 (N, H, W) or (N, H, W, C).

    Raises:
        BadInput: another dtype or shape, or no image at all.
    """
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    colour = images.ndim == 4 and images.shape[-1] == 3
    if images.dtype != np.uint8 or not (colour or images.ndim == 3) or images.size == 0:
        shape = "x".join(map(str, images.shape))
        raise BadInput(f"{name}: images must be uint8 (N, H, W, C) with C = 1 or 3, not {images.dtype} {shape}")
    return ImageSource(name, digest, len(images), lambda i: Image.fromarray(images[i]))


def read_image(path: Path) -> Image.Image:
    """Decode one image file whole.

    Raises:
        BadInput: it is truncated, or no image.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} cannot be read as an image: {error}") from error


def read_idx(path: Path) -> np.ndarray:
    """A gzipped IDX file of bytes, the format of MNIST: uint8, with the shape that its header states.

    Raises:
        BadInput: truncated or another kind of file.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
        shape = np.frombuffer(raw, ">i4", raw[3], offset=4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise BadInput(f"{path} is not a gzipped IDX file: {error}") from error
