"""The data sets of the paper, where they lie below a data folder, and the images that a command line can name."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from coldbench.core.errors import BadInput, Missing, foreign
from coldbench.core.files import sha256_of
from coldbench.core.paths import PACKAGE
from coldbench.data.sources import ImageSource, array_source, files_source, folder_source, image_files, npz_source
from coldbench.diffusion.catalog import DATASETS


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
    """CIFAR-10: torchvision's layout ``root/cifar-10-batches-py``, or else image folders ``root/cifar10/train|test``.

    Raises:
        Missing: neither is there, or torchvision's files have the wrong checksum.
    """
    from torchvision.datasets import CIFAR10

    folder = root / "cifar10" / ("train" if train else "test")
    if not (root / "cifar-10-batches-py").exists() and folder.is_dir():
        return folder_source(folder, name="CIFAR-10")
    try:
        images = CIFAR10(str(root), train=train).data
    except RuntimeError as error:
        raise Missing(f"CIFAR-10 is not under {root}: coldbench fetch cifar10 --data-root {root}") from error
    return array_source("CIFAR-10", images, hashlib.sha256(images.tobytes()).hexdigest())


def celeba(root: Path, *, train: bool = False) -> ImageSource:
    """CelebA-HQ at 128 pixels: ``root/celeba-hq``, all images in one folder or below it.

    The first nine tenths by relative path, sorted part by part, are for training, the rest for testing. The paper
    split by directory order, which differs from disk to disk, so its very split cannot be had again (PROTOCOL 5.1).
    A folder that is already split, into ``train`` and ``test``, is taken as it is.

    Raises:
        Missing: the folder is not there.
    """
    folder = root / "celeba-hq"
    splits = {name: folder / name for name in ("train", "test")}
    wanted = splits["train" if train else "test"]
    if any(split.is_dir() for split in splits.values()):
        return _split_folder("CelebA", wanted)
    files = image_files(folder)
    if not files:
        raise Missing(f"CelebA-HQ images are not at {folder}: coldbench fetch celeba says how to get them")
    if len(files) < 10:
        raise BadInput(f"{folder} has {len(files)} images, too few for nine tenths and a tenth")
    border = math.ceil(0.9 * len(files))  # index < 0.9 N trains
    return files_source("CelebA", folder, files[:border] if train else files[border:])


def afhq(root: Path, *, train: bool = False) -> ImageSource:
    """AFHQ, one folder a split: ``root/afhq/train`` (all three classes) and ``root/afhq/test``.

    Raises:
        Missing: the folder is not there.
    """
    return _split_folder("AFHQ", root / "afhq" / ("train" if train else "test"))


def _split_folder(name: str, folder: Path) -> ImageSource:
    if not folder.is_dir():
        raise Missing(f"{name} images are not at {folder}: coldbench fetch {name.lower()} says how to get them")
    return folder_source(folder, name=name)


def open_source(spec: str, root: Path, *, train: bool = False) -> ImageSource:
    """The images that a command line names.

    Args:
        spec: ``folder:PATH``, ``npz:PATH``, a name in ``DATASETS``, or ``module:function`` of the same signature.
        root: folder of the data sets.
        train: the training images of a data set.

    Raises:
        BadInput: none of these, or nothing usable there.
        Missing: a known data set that is absent.
    """
    kind, _, path = spec.partition(":")
    if kind == "folder" and path:
        return folder_source(Path(path))
    if kind == "npz" and path:
        return npz_source(Path(path))
    open_dataset = DATASETS[spec]
    with foreign(f"dataset '{spec}'"):
        source = open_dataset(root, train=train)
    if not isinstance(source, ImageSource):
        raise BadInput(f"dataset '{spec}' gave {type(source).__name__} instead of an ImageSource")
    return source


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
