"""Mean and covariance of features in a file, as pytorch-fid, clean-fid and EDM write and read them.

Such a file is an .npz archive with two arrays, ``mu`` (d,) and ``sigma`` (d, d), the unbiased covariance. It says
neither of how many images they are, nor of which feature space.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
from torch import Tensor

from coldbench.core.errors import BadInput, one_line
from coldbench.core.files import write_atomically
from coldbench.core.paths import is_file
from coldbench.metrics.frechet import FeatureStatistics

SUFFIX = ".npz"
#: How far a covariance may be from symmetric and from positive semi-definite, relative to its largest entry and
#: eigenvalue. Whoever wrote the file may have computed in float32, whatever it is stored in.
_ROUNDING = 1e-5


def check_name(path: Path) -> None:
    """Whether a file of statistics may be called so.

    Raises:
        BadInput: other programs would not know it for one.
    """
    if path.suffix != SUFFIX:
        raise BadInput(f"{path} must end in {SUFFIX}, by which other programs know a file of statistics")


def write_statistics(statistics: FeatureStatistics, path: Path) -> None:
    """Write ``mu`` and ``sigma``, float64, atomically.

    Raises:
        BadInput: fewer than two images have been seen, another suffix than ``.npz``, or a file that cannot be written.
    """
    check_name(path)
    mu, sigma = statistics.mean.numpy(), statistics.covariance().numpy()
    write_atomically(path, lambda temporary: np.savez(temporary, mu=mu, sigma=sigma))


def read_statistics(path: Path) -> FeatureStatistics:
    """The statistics in a file, of images whose number is not known.

    Args:
        path: of an .npz file with ``mu`` (d,) and ``sigma`` (d, d), float32 or float64; other arrays in it are ignored.

    Raises:
        BadInput: there is none, or it holds something else: numbers that are not finite, or that are no covariance.
    """
    if not is_file(path):
        raise BadInput(f"no file of statistics at {path}")
    try:
        mean, covariance = _arrays(path)
        return FeatureStatistics.of(mean, _checked(mean, covariance))
    except Exception as error:  # a damaged archive fails in a dozen ways
        raise BadInput(
            f"{path} holds no statistics of features, mu (d,) and sigma (d, d): {one_line(error)}"
        ) from error


def _arrays(path: Path) -> tuple[Tensor, Tensor]:
    """``mu`` and ``sigma``, float64; raises an error of some kind where there are no such arrays."""
    if not is_zipfile(path):
        raise ValueError("it is no .npz archive")
    # Opened here: on a damaged archive np.load would leave the file open.
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return _tensor(archive, "mu"), _tensor(archive, "sigma")


def _tensor(archive: Mapping[str, Any], name: str) -> Tensor:
    if name not in archive:
        raise ValueError(f"it has no array {name}")
    array = archive[name]
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.dtype.itemsize not in (4, 8):
        raise ValueError(f"{name} is {getattr(array, 'dtype', 'no array')}, not float32 or float64")
    return torch.from_numpy(array.astype(np.float64))


def _checked(mean: Tensor, covariance: Tensor) -> Tensor:
    """The covariance, exactly symmetric; raises ValueError where the two are not mean and covariance."""
    d = mean.numel()
    if d < 1 or mean.shape != (d,) or covariance.shape != (d, d):
        raise ValueError(f"mu has shape {tuple(mean.shape)}, and sigma {tuple(covariance.shape)}")
    if not mean.isfinite().all() or not covariance.isfinite().all():
        raise ValueError("a number is not finite")
    difference = float((covariance - covariance.T).abs().max())
    if difference > _ROUNDING * float(covariance.abs().max()):
        raise ValueError(f"sigma is not symmetric: entries that must be equal differ by up to {difference:g}")
    symmetric = (covariance + covariance.T) / 2
    eigenvalues = torch.linalg.eigvalsh(symmetric)
    if float(eigenvalues[0]) < -_ROUNDING * float(eigenvalues.abs().max()):
        raise ValueError(f"sigma has the eigenvalue {float(eigenvalues[0]):g}, and a covariance has none below zero")
    return symmetric
