"""What is kept of every single image, beside the numbers of all: the images themselves, and their own numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coldbench.core.errors import BadInput, foreign
from coldbench.core.files import TEMPORARY, write_atomically, write_text
from coldbench.core.paths import exists
from coldbench.core.processes import first_goes_first, is_first
from coldbench.data.float_images import BATCH, STYLES, numbered, open_images, read_floats, suffix, write_image
from coldbench.metrics.metric import Mean, Metric

#: Beside the images, what they are of.
MANIFEST = "images.json"


class SavedImages:
    """A folder that receives all images of a measurement, ``KIND/NAME.npy`` or ``.png``, or archives of many.

    Args:
        folder: made if need be.
        style: one of ``coldbench.data.float_images.STYLES``.
        kinds: methods, and what else must be there for an image to be done.
        name: the name of an image, by its position.
    """

    def __init__(self, folder: Path, style: str, kinds: Sequence[str], name: Callable[[int], str] = numbered) -> None:
        self.folder, self.style, self.kinds, self.name = folder, style, tuple(kinds), name

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Say what the images are of; clear away what a killed command was writing.

        Raises:
            BadInput: the folder holds images of something else, or cannot be written.
        """
        with first_goes_first():
            if is_first():
                self._claim(json.dumps(identity, indent=1, sort_keys=True, default=str) + "\n")

    def _claim(self, identity: str) -> None:
        manifest = self.folder / MANIFEST
        said = manifest.read_text(encoding="utf-8", errors="replace") if exists(manifest) else ""
        # Without a manifest, only what would be overwritten is in the way.
        folders = (
            [each for each in self.folder.glob("*") if each.is_dir()] if said else map(self.folder.joinpath, self.kinds)
        )
        if said != identity and any(map(_holds_images, folders)):
            why = f"as {manifest.name} in it says{_differing(said, identity)}" if said else "left by no command"
            raise BadInput(
                f"{self.folder} holds images of another model, other images or other settings, {why}: choose another "
                "folder, or remove this one"
            )
        for leftover in self.folder.rglob(f"{TEMPORARY}*"):
            leftover.unlink(missing_ok=True)
        write_text(manifest, identity)

    def write(self, positions: range, images: Mapping[str, Tensor]) -> None:
        """Write a batch, every file atomically, those of ``kinds`` last.

        Args:
            positions: of the images.
            images: kind -> (B, C, H, W) in [0, 1]; other kinds than ``kinds`` may have any values, and where a PNG
                cannot hold those, they are float32.

        Raises:
            BadInput: the folder cannot be written, or the disk is full.
        """
        for kind in sorted(images, key=lambda kind: kind in self.kinds):
            if self.style == "npz":
                self._write_archive(self.folder / kind, positions, images[kind])
                continue
            style = self.style if kind in self.kinds or _is_picture(images[kind]) else STYLES[0]
            for position, image in zip(positions, images[kind].cpu(), strict=True):
                write_image(image, self.folder / kind / f"{self.name(position)}{suffix(style)}", style)

    def path(self, kind: str, position: int) -> Path:
        """Of one image, where each has a file of its own."""
        return self.folder / kind / f"{self.name(position)}{suffix(self.style)}"

    def _write_archive(self, folder: Path, positions: range, images: Tensor) -> None:
        pixels, names = images.cpu().float().numpy(), np.array([self.name(each) for each in positions])
        path = folder / f"{numbered(positions.start)}-{numbered(positions.stop - 1)}.npz"
        write_atomically(path, lambda temporary: np.savez(temporary, images=pixels, names=names))
        _clear_covered({each: run for run, each in _archives(folder)}, path)

    def first(self, kind: str, most: int, count: int) -> Tensor:
        """The first images of one kind as they are in the files, (n, C, H, W).

        Args:
            kind: which.
            most: n is at most so many.
            count: how many images there are.
        """
        names = [self.name(position) for position in range(min(most, count))]
        if self.style == "npz":
            return open_images(self.folder / kind).chosen(names).batch(range(len(names)))
        return torch.stack([read_floats(self.path(kind, position)) for position in range(len(names))])

    def missing(self, positions: Sequence[int]) -> list[int]:
        """Those of these images that are not there in every one of ``kinds``."""
        if self.style != "npz":
            return [each for each in positions if not all(exists(self.path(kind, each)) for kind in self.kinds)]
        there = [{each for run, _ in _archives(self.folder / kind) for each in run} for kind in self.kinds]
        return [each for each in positions if not all(each in kind for kind in there)]


def _differing(said: str, identity: str) -> str:
    """What two manifests tell differently, in words; nothing where one is damaged."""
    try:
        before, now = json.loads(said), json.loads(identity)
        return f" (not the same: {', '.join(key for key in now if before.get(key) != now[key])})"
    except (ValueError, AttributeError):
        return ""


def _is_picture(images: Tensor) -> bool:
    """Whether a PNG can hold them, but for rounding; degraded images leave [0, 1] by the last decimal."""
    return images.shape[1] in (1, 3) and bool(images.min() > -1 / 255) and bool(images.max() < 1 + 1 / 255)


def _holds_images(folder: Path) -> bool:
    return any(path.suffix in map(suffix, STYLES) for path in folder.rglob("*"))


def _archives(folder: Path) -> list[tuple[range, Path]]:
    """The archives in a folder, and the positions of their images."""
    found = [(BATCH.fullmatch(path.name), path) for path in sorted(folder.glob("*.npz"))]
    return [(range(int(match[1]), int(match[2]) + 1), path) for match, path in found if match]


def _clear_covered(held: dict[Path, range], new: Path) -> None:
    """Remove archives of batches of another size, once others hold all of their images.

    Args:
        held: archive -> the positions of its images.
        new: the archive that was written last, which stays.
    """
    near = [old for old, run in held.items() if old != new and _overlap(run, held[new])]
    for old in near:
        others = {each for path, run in held.items() if path != old and _overlap(run, held[old]) for each in run}
        if others.issuperset(held[old]):
            old.unlink(missing_ok=True)  # another process may find it, too
            del held[old]


def _overlap(a: range, b: range) -> bool:
    return a.start < b.stop and b.start < a.stop


@dataclass(frozen=True)
class Details:
    """What is kept of every single image.

    Attributes:
        saved: receives the images; None where none are saved.
        each: whether every image's own number of each metric of pairs is kept.
    """

    saved: SavedImages | None = None
    each: bool = False


NO_DETAILS = Details()


def of_each(metric: Metric, images: Tensor, originals: Tensor) -> Tensor:
    """The metric of every image alone, float64 (B,) on the CPU.

    Args:
        metric: one that reads pairs.
        images, originals: (B, C, H, W) in [0, 1].
    """
    with foreign(f"metric '{metric.name}'"):
        empty = metric.accumulator()
        if type(empty) is Mean:
            return empty.per_image(images, originals).double().cpu()
        numbers = [_alone(metric, *pair) for pair in zip(images.split(1), originals.split(1), strict=True)]
        return torch.tensor(numbers, dtype=torch.float64)


def _alone(metric: Metric, image: Tensor, original: Tensor) -> float:
    seen = metric.accumulator()
    seen.update(image, original)
    return float(metric.result(seen))
