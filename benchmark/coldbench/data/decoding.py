"""Decoding: every image once, by worker processes where that pays, and every bad one named before anything is measured.

What is decoded waits in a temporary file, not in memory: the operating system keeps as much of it at hand as it can.
"""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from coldbench.core.errors import BadInput, foreign, one_line
from coldbench.core.processes import local_size
from coldbench.data.images import with_channels
from coldbench.data.sources import ImageSource
from coldbench.data.transforms import Transform

#: Images a worker decodes before it reports.
_BLOCK = 64
#: Worker processes, at most: beyond, the disk is the limit.
_MOST_WORKERS = 8
#: Bad images named in one error.
_NAMED = 8

#: Decoded images (n, C, R, R), zeros in the place of bad ones, and what is wrong with those.
_Block = tuple[np.ndarray, list[str]]


@dataclass(frozen=True)
class Pixels:
    """Decoded images.

    Attributes:
        source: what they are.
        count: how many, from the first on.
        transform: what was done to them, and what is drawn at every reading.
        image_size: S, in pixels.
        channels: C.
        read: positions -> uint8 (B, C, R, R).
    """

    source: ImageSource
    count: int
    transform: Transform
    image_size: int
    channels: int
    read: Callable[[Sequence[int]], Tensor] = field(repr=False)

    def batch(self, positions: Sequence[int], *, seed: int = 0, keys: Sequence[int] | None = None) -> Tensor:
        """Some of the images, as uint8 (B, C, S, S).

        Args:
            positions: in the source.
            seed: of a random transform.
            keys: of a random transform, one an image; their positions unless given.
        """
        return self.transform.finish(self.read(positions), self.image_size, positions if keys is None else keys, seed)


def decode(
    source: ImageSource,
    *,
    transform: Transform,
    image_size: int,
    channels: int,
    count: int | None = None,
    workers: int | None = None,
    watch: Callable[[int, int], object] = lambda done, of: None,
) -> Pixels:
    """Read, check and resize the first images of a source.

    Args:
        source: where they come from.
        transform: see ``coldbench.data.transforms``.
        image_size: S, in pixels.
        channels: C, 1 or 3.
        count: how many; all of them unless given.
        workers: processes; as many as there are cores, up to eight, unless given. 0 decodes in this one.
        watch: called with the images done and their total.

    Raises:
        BadInput: images that cannot be decoded, or have more channels than C, by name; no room for the decoded ones.
    """
    count = source.count if count is None else count
    side = transform.kept_size(image_size)
    held = _held(source, side, channels) if transform.keeps(side, image_size) else None
    if held is not None:
        return Pixels(source, count, transform, image_size, channels, partial(_read_array, held))
    blocks = _Blocks(source, count, transform, image_size, channels)
    store = _Scratch()
    bad: list[str] = []
    done = 0
    for pixels, errors in _decoded(blocks, _workers(source, count) if workers is None else workers):
        bad += errors
        store.append(pixels)
        done += len(pixels)
        watch(done, count)
    if bad:
        raise BadInput(_named(bad, count, source.name))
    return Pixels(source, count, transform, image_size, channels, partial(_read_file, store, (channels, side, side)))


def _held(source: ImageSource, side: int, channels: int) -> np.ndarray | None:
    """The source's own array as (N, C, H, W), if it is already what is wanted."""
    if source.array is None:
        return None
    array = source.array[:, None] if source.array.ndim == 3 else source.array.transpose(0, 3, 1, 2)
    return array if array.shape[1:] == (channels, side, side) else None


def _read_array(array: np.ndarray, positions: Sequence[int]) -> Tensor:
    picked = array[_slice(positions) or np.asarray(positions)]
    return torch.from_numpy(np.array(picked, order="C"))


class _Scratch:
    """A temporary file without a name, gone when nobody can read it any more."""

    def __init__(self) -> None:
        try:
            with tempfile.TemporaryFile(prefix="coldbench-") as file:
                self.descriptor = os.dup(file.fileno())
        except OSError as error:
            raise BadInput(f"no folder for decoded images ({error.strerror}): set TMPDIR") from error
        weakref.finalize(self, os.close, self.descriptor)

    def append(self, pixels: np.ndarray) -> None:
        rest = memoryview(pixels.tobytes())
        try:
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
        except OSError as error:
            raise BadInput(
                f"no room for decoded images in {tempfile.gettempdir()} ({error.strerror}): set TMPDIR"
            ) from error


def _read_file(store: _Scratch, shape: tuple[int, int, int], positions: Sequence[int]) -> Tensor:
    size = shape[0] * shape[1] * shape[2]
    run = _slice(positions)
    if run:
        raw = os.pread(store.descriptor, size * len(positions), size * run.start)
    else:
        raw = b"".join(os.pread(store.descriptor, size, size * i) for i in positions)
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(len(positions), *shape)


def _slice(positions: Sequence[int]) -> slice | None:
    """Neighbouring images as a slice."""
    if isinstance(positions, range) and positions.step == 1:
        return slice(positions.start, positions.stop)
    return None


class _Blocks(Dataset[_Block]):
    """Blocks of images, decoded; errors are values, since an exception would lose its words between processes."""

    def __init__(self, source: ImageSource, count: int, transform: Transform, image_size: int, channels: int) -> None:
        self.source, self.count, self.transform = source, count, transform
        self.image_size, self.channels = image_size, channels

    def __len__(self) -> int:
        return math.ceil(self.count / _BLOCK)

    def __getitem__(self, block: int) -> _Block:
        if block >= len(self):
            raise IndexError(block)
        indices = range(block * _BLOCK, min((block + 1) * _BLOCK, self.count))
        side = self.transform.kept_size(self.image_size)
        pixels, errors = np.zeros((len(indices), self.channels, side, side), np.uint8), []
        for place, index in enumerate(indices):
            try:
                with foreign(f"image {index} of {self.source.name}"):
                    pixels[place] = self._decode(index)
            except BadInput as error:
                errors.append(str(error))
        return pixels, errors

    def _decode(self, index: int) -> np.ndarray:
        image = self.source.read(index)
        if not isinstance(image, Image.Image):
            raise TypeError(f"it is {type(image).__name__}, not an image of Pillow's")
        try:
            prepared = self.transform.prepare(with_channels(image, self.channels), self.image_size)
        except BadInput as error:
            where = getattr(image, "filename", "") or f"image {index} of {self.source.name}"
            raise BadInput(f"{where} cannot be used: {error}") from error
        array = np.asarray(prepared)
        return array.reshape(*array.shape[:2], self.channels).transpose(2, 0, 1)


def _decoded(blocks: _Blocks, workers: int) -> Iterator[_Block]:
    # A generator of its own, so that the loader draws nothing from the one that training's weights come from.
    generator = torch.Generator()
    try:
        yield from DataLoader(blocks, batch_size=None, num_workers=workers, collate_fn=_as_is, generator=generator)
    except Exception as error:  # a worker was killed, or the source cannot be sent to one
        raise BadInput(
            f"worker processes cannot decode {blocks.source.name} ({one_line(error)}): --workers 0"
        ) from error


def _as_is(block: Any) -> Any:
    """Arrays travel by pipe; tensors would need more shared memory than containers have."""
    return block


def _workers(source: ImageSource, count: int) -> int:
    """None where starting them takes longer than they save."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(1, cores // local_size()), _MOST_WORKERS) if source.parallel and count >= 4 * _BLOCK else 0


def _named(bad: Sequence[str], count: int, name: str) -> str:
    if len(bad) == 1:
        return bad[0]
    more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    return f"{len(bad)} of {count} images of {name} cannot be used: {'; '.join(bad[:_NAMED])}{more}"
