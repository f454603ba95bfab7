"""Data sets: what each is called, how it is opened and fetched, and the images that a command line can name."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from coldbench.core.errors import BadInput, Missing, foreign
from coldbench.core.files import sha256_of
from coldbench.core.paths import PACKAGE, exists, expanded, is_folder
from coldbench.core.registry import Registry
from coldbench.data.fetch import fetch_afhq, fetch_celeba, fetch_cifar10, fetch_mnist
from coldbench.data.folders import look_into
from coldbench.data.sources import ImageSource, array_source, files_source, folder_source, npz_source

DATASETS = Registry(
    "dataset",
    {
        "mnist": "coldbench.data.datasets:MNIST",
        "cifar10": "coldbench.data.datasets:CIFAR10",
        "celeba": "coldbench.data.datasets:CELEBA",
        "afhq": "coldbench.data.datasets:AFHQ",
    },
)


class Open(Protocol):
    """Opens the test images of a data set, or its training images, below the folder of all data sets."""

    def __call__(self, root: Path, *, train: bool) -> ImageSource: ...


class Fetch(Protocol):
    """Supplies a data set below the folder of all data sets, or says how to; returns what to tell the user."""

    def __call__(self, root: Path, *, quiet: bool) -> str: ...


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        title: as tables print it.
        open: how its images are opened.
        fetch: how they are supplied; None where coldbench does not know.
        features: feature spaces of its own, beside that of the FID.
    """

    title: str
    open: Open
    fetch: Fetch | None = None
    features: tuple[str, ...] = ()


def find_dataset(name: str) -> Dataset:
    """The data set of this name, or a plain function ``(root, train) -> ImageSource`` as one.

    Raises:
        BadInput: there is none, or it is neither.
    """
    found: Any = DATASETS[name]
    if isinstance(found, Dataset):
        return found
    if not callable(found):
        raise BadInput(f"dataset '{name}' is {type(found).__name__}, not a Dataset or a function of (root, train)")
    return Dataset(name, found)


def open_mnist(root: Path, *, train: bool = False) -> ImageSource:
    """MNIST (Y. LeCun, C. Cortes; CC BY-SA 3.0). The 10,000 test images ship with coldbench.

    Raises:
        Missing: the training images are not under ``root``.
    """
    path = _mnist_file("images-idx3", root, train=train)
    return array_source("MNIST", read_idx(path), sha256_of(path))


def mnist_labels(root: Path, *, train: bool) -> np.ndarray:
    """The digits 0..9 of ``open_mnist``, int64 (N,); raises as it does."""
    return read_idx(_mnist_file("labels-idx1", root, train=train)).astype(np.int64)


def _mnist_file(kind: str, root: Path, *, train: bool) -> Path:
    name = f"{'train' if train else 't10k'}-{kind}-ubyte.gz"
    path = root / "MNIST" / "raw" / name if train else PACKAGE / "data" / "mnist" / name
    if not exists(path):
        raise Missing(f"the MNIST training images are not at {path}: coldbench fetch mnist --data-root {root}")
    return path


def open_cifar10(root: Path, *, train: bool = False) -> ImageSource:
    """CIFAR-10: torchvision's layout ``root/cifar-10-batches-py``, or else image folders ``root/cifar10/train|test``.

    Raises:
        Missing: neither is there, or torchvision's files have the wrong checksum.
    """
    from torchvision import datasets

    folder = root / "cifar10" / ("train" if train else "test")
    if not exists(root / "cifar-10-batches-py") and is_folder(folder):
        return folder_source(folder, name="CIFAR-10")
    try:
        images = datasets.CIFAR10(str(root), train=train).data
    except RuntimeError as error:
        raise Missing(f"CIFAR-10 is not under {root}: coldbench fetch cifar10 --data-root {root}") from error
    return array_source("CIFAR-10", images, hashlib.sha256(images.tobytes()).hexdigest())


def open_celeba(root: Path, *, train: bool = False) -> ImageSource:
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
    if any(map(is_folder, splits.values())):
        return _split_folder("CelebA", wanted)
    contents = look_into(folder) if is_folder(folder) else None
    if contents is None or not contents.images:
        raise Missing(f"CelebA-HQ images are not at {folder}: coldbench fetch celeba says how to get them")
    if len(contents.images) < 10:
        raise BadInput(f"{folder} has {len(contents.images)} images, too few for nine tenths and a tenth")
    part = nine_tenths(len(contents.images), train=train)
    return files_source("CelebA", folder, contents.images[part], left_out=contents.left_out)


def nine_tenths(count: int, *, train: bool) -> slice:
    """The first nine tenths of so many images, which train: those with index < 0.9 N (PROTOCOL 5.1); or the rest."""
    border = math.ceil(0.9 * count)
    return slice(border) if train else slice(border, None)


def open_afhq(root: Path, *, train: bool = False) -> ImageSource:
    """AFHQ, one folder a split: ``root/afhq/train`` (all three classes) and ``root/afhq/test``.

    Raises:
        Missing: the folder is not there.
    """
    return _split_folder("AFHQ", root / "afhq" / ("train" if train else "test"))


def _split_folder(name: str, folder: Path) -> ImageSource:
    if not is_folder(folder):
        raise Missing(f"{name} images are not at {folder}: coldbench fetch {name.lower()} says how to get them")
    return folder_source(folder, name=name)


def open_source(spec: str, root: Path, *, train: bool = False) -> ImageSource:
    """The images that a command line names.

    Args:
        spec: ``folder:PATH``, ``npz:PATH``, a name in ``DATASETS``, or ``module:attribute`` of a data set of yours.
        root: folder of the data sets.
        train: the training images of a data set.

    Raises:
        BadInput: none of these, or nothing usable there.
        Missing: a known data set that is absent.
    """
    kind, colon, path = spec.partition(":")
    if kind in _FILES and colon and not path:
        raise BadInput(f"'{spec}' names no path: give {kind}:PATH")
    if kind in _FILES and path:
        return _FILES[kind](expanded(path))
    if spec not in DATASETS and exists(Path(spec)):
        there = Path(spec)
        meant = f"npz:{there}" if there.suffix == ".npz" else f"folder:{there if is_folder(there) else there.parent}"
        raise BadInput(f"'{spec}' is no data set; did you mean {meant}?")
    dataset = find_dataset(spec)
    with foreign(f"dataset '{spec}'"):
        source = dataset.open(root, train=train)
    if not isinstance(source, ImageSource):
        raise BadInput(f"dataset '{spec}' gave {type(source).__name__} instead of an ImageSource")
    return source


def dataset_title(spec: str) -> str:
    """What tables call the images of a specification: a data set's title, or the name of the folder or file."""
    return spec if _is_file(spec) else find_dataset(spec).title


def dataset_features(spec: str) -> tuple[str, ...]:
    """The feature spaces of a data set's own; a folder or a file has none."""
    return () if _is_file(spec) else find_dataset(spec).features


def _is_file(spec: str) -> bool:
    """Whether a specification names files, or nothing that could be a data set."""
    return spec not in DATASETS and (spec.partition(":")[0] in _FILES or ":" not in spec)


#: What may stand before a path.
_FILES: dict[str, Callable[[Path], ImageSource]] = {"folder": folder_source, "npz": npz_source}


#: How an IDX file of unsigned bytes begins.
_IDX_BYTES = b"\0\0\x08"


def read_idx(path: Path) -> np.ndarray:
    """A gzipped IDX file of bytes, the format of MNIST: uint8, with the shape that its header states.

    Raises:
        BadInput: truncated or another kind of file.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
        shape = np.frombuffer(raw, ">i4", raw[3], offset=4)
        if raw[:3] != _IDX_BYTES or (shape < 1).any():
            raise ValueError("its header is another")
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise BadInput(f"{path} is not a gzipped IDX file: {error}") from error


MNIST = Dataset("MNIST", open_mnist, fetch_mnist, features=("mnist-cnn",))
CIFAR10 = Dataset("CIFAR-10", open_cifar10, fetch_cifar10, features=("efficientnet-lite0",))
CELEBA = Dataset("CelebA", open_celeba, fetch_celeba, features=("efficientnet-lite0",))
AFHQ = Dataset("AFHQ", open_afhq, fetch_afhq)
