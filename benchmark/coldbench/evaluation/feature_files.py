"""The features of a measurement on disk: one file a kind of image and feature space, appended batch by batch.

So memory does not grow with the number of images, a stopped measurement takes them up where its state says, and any
number of metrics is computed from one extraction.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from coldbench.core.errors import BadInput, foreign, out_of_memory
from coldbench.core.rows import RowFile
from coldbench.metrics.features import FeatureSpace

#: (kind of image, feature space)
Key = tuple[str, str]


class FeatureFiles(Mapping[Key, RowFile]):
    """One file a kind of image and feature space.

    Args:
        beside: the files lie beside this path, and are named after it; in a temporary folder if None.
    """

    def __init__(self, beside: Path | None) -> None:
        if beside is None:
            scratch = Path(tempfile.mkdtemp(prefix="coldbench-"))
            weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
            beside = scratch / "features"
        self._beside = beside
        self._files: dict[Key, RowFile] = {}

    def __getitem__(self, key: Key) -> RowFile:
        return self._files[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def expect(self, keys: Iterable[Key]) -> None:
        """Say which files there will be, all of them empty."""
        self._files = {
            key: RowFile(self._beside.with_suffix(f".{number}.f32")) for number, key in enumerate(dict.fromkeys(keys))
        }

    def remove(self) -> None:
        """Delete the files."""
        for file in self._files.values():
            file.path.unlink(missing_ok=True)

    def extend(self, other: FeatureFiles) -> None:
        """Add the rows of other files of the same keys, each behind ours.

        Raises:
            BadInput: see ``RowFile.extend``.
        """
        for key, file in self.items():
            file.extend(other[key])

    def state_dict(self) -> dict[Key, dict[str, Any]]:
        """What ``load_state_dict`` takes up."""
        return {key: file.state() for key, file in self._files.items()}

    def load_state_dict(self, states: Mapping[Key, Mapping[str, Any]]) -> None:
        """Go on behind the rows that the states tell of.

        Raises:
            OSError, ValueError: a file is gone, or holds other rows.
        """
        for key, file in self._files.items():
            file.restore(states[key])


def extracted(space: FeatureSpace, batch: Tensor, images: range) -> np.ndarray:
    """The features of a batch, as float32 (B, d).

    Where the memory of a device does not hold what they need, the halves of the batch are taken one after the other.

    Args:
        space: the feature space.
        batch: images (B, C, S, S) in [0, 1].
        images: their numbers, for messages.

    Raises:
        BadInput: it gives something else than one finite vector an image; names the first that has none.
    """
    half = len(batch) // 2
    try:
        with foreign(f"feature '{space.name}'"):
            return _rows(space.extract(batch), space.name, images)
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error) != "device" or not half:
            raise
    parts = (extracted(space, batch[:half], images[:half]), extracted(space, batch[half:], images[half:]))
    return np.concatenate(parts)


def _rows(features: object, space: str, images: range) -> np.ndarray:
    shape = tuple(features.shape) if isinstance(features, Tensor) else ()
    if not isinstance(features, Tensor) or len(shape) != 2 or shape[0] != len(images) or not shape[1]:
        found = shape if isinstance(features, Tensor) else type(features).__name__
        raise BadInput(f"feature '{space}' must give one vector an image, shape ({len(images)}, d), not {found}")
    if not features.is_floating_point():
        raise BadInput(f"feature '{space}' must give finite floating-point numbers, not {features.dtype}")
    rows: np.ndarray = features.detach().to_dense().float().cpu().numpy()
    broken = ~np.isfinite(rows).all(axis=1)
    if broken.any():
        first = images[int(broken.argmax())]
        raise BadInput(
            f"feature '{space}' must give finite floating-point numbers, not NaN or infinity, first of image {first}"
        )
    return rows
