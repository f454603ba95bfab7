"""The images of one command: each set opened once, and decoded once, however many rows need it."""

from __future__ import annotations

from pathlib import Path

from coldbench.core.progress import Progress, no_progress, tell
from coldbench.data.datasets import open_source
from coldbench.data.decoding import Pixels, decode
from coldbench.data.sources import ImageSource
from coldbench.data.transforms import find_transform


class ImageStore:
    """Opens and decodes, and remembers what it has opened and decoded.

    Args:
        data_root: folder of the data sets that do not ship.
        workers: processes that decode; see ``coldbench.data.decoding.decode``.
        progress: a label -> what is told of every block of images decoded under it.
    """

    def __init__(
        self,
        data_root: Path,
        *,
        workers: int | None = None,
        progress: Progress = no_progress,
    ) -> None:
        self.data_root, self.workers, self.progress = data_root, workers, progress
        self._sources: dict[tuple[str, bool], ImageSource] = {}
        self._pixels: dict[tuple[str, str, int, int], Pixels] = {}
        self._told: set[str] = set()

    def source(self, spec: str, *, train: bool = False) -> ImageSource:
        """See ``coldbench.data.datasets.open_source``; what a folder holds besides images is told once."""
        key = (spec, train)
        if key not in self._sources:
            self._sources[key] = open_source(spec, self.data_root, train=train)
            self._tell(self._sources[key].left_out)
        return self._sources[key]

    def _tell(self, left_out: str) -> None:
        if left_out and left_out not in self._told:
            self._told.add(left_out)
            tell(left_out)

    def pixels(
        self, source: ImageSource, *, transform: str, image_size: int, channels: int, count: int | None = None
    ) -> Pixels:
        """The first ``count`` images or more, decoded; see ``coldbench.data.decoding.decode``."""
        key = (source.digest, transform, image_size, channels)
        known = self._pixels.get(key)
        if known is None or known.count < (source.count if count is None else count):
            self._pixels[key] = decode(
                source,
                transform=find_transform(transform),
                image_size=image_size,
                channels=channels,
                count=count,
                workers=self.workers,
                watch=self.progress(f"Reading {source.name}"),
            )
        return self._pixels[key]
