"""Files of mean and covariance, as pytorch-fid, clean-fid and EDM write and read them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from coldbench.core.errors import BadInput
from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.statistics_file import read_statistics, write_statistics

FEATURES = np.random.default_rng(0).normal(size=(50, 6)) @ np.random.default_rng(1).normal(size=(6, 6)) + 3
MU, SIGMA = FEATURES.mean(axis=0), np.cov(FEATURES, rowvar=False)


def seen(features: np.ndarray) -> FeatureStatistics:
    statistics = FeatureStatistics()
    statistics.update(torch.from_numpy(features))
    return statistics


def test_a_file_is_what_other_programs_read(tmp_path: Path) -> None:
    """pytorch-fid: ``f["mu"][:], f["sigma"][:]``; clean-fid and EDM: ``f["mu"], f["sigma"]``."""
    path = tmp_path / "new" / "s.npz"
    write_statistics(seen(FEATURES), path)
    with np.load(path) as archive:
        assert sorted(archive) == ["mu", "sigma"]
        assert {archive[name].dtype for name in archive} == {np.dtype(np.float64)}
        np.testing.assert_allclose(archive["mu"][:], MU, rtol=1e-13)
        np.testing.assert_allclose(archive["sigma"][:], SIGMA, rtol=1e-12, atol=1e-13)
    assert list(path.parent.iterdir()) == [path], "no unfinished file is left"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", [">f8", "<f8", "<f4"])
def test_what_other_programs_write_is_read(save: Callable[..., None], dtype: str, tmp_path: Path) -> None:
    """Whatever else is in the file, as in those of guided-diffusion."""
    path = tmp_path / "theirs.npz"
    save(path, mu=MU.astype(dtype), sigma=SIGMA.astype(dtype), mu_s=np.zeros(3), arr_0=np.zeros(2, np.uint8))
    read = read_statistics(path)
    assert (read.mean.dtype, read.covariance().dtype) == (torch.float64, torch.float64)
    rtol = 1e-6 if dtype == "<f4" else 0
    np.testing.assert_allclose(read.mean.numpy(), MU, rtol=rtol)
    np.testing.assert_allclose(read.covariance().numpy(), SIGMA, rtol=rtol, atol=rtol)
    others = seen(FEATURES + 1)
    assert frechet_distance(others, read) == pytest.approx(frechet_distance(others, seen(FEATURES)), rel=1e-5)


def test_what_is_written_is_read_bit_for_bit(tmp_path: Path) -> None:
    written = seen(FEATURES)
    write_statistics(written, tmp_path / "s.npz")
    read = read_statistics(tmp_path / "s.npz")
    assert torch.equal(read.mean, written.mean)
    assert torch.equal(read.covariance(), written.covariance())


@pytest.mark.parametrize("count", [2, 40])
def test_rounding_is_borne_with(count: int, tmp_path: Path) -> None:
    """Fewer images than dimensions: eigenvalues that are zero but for rounding, here in float32."""
    features = np.random.default_rng(2).random((count, 200)).astype(np.float32) + 1
    sigma = np.cov(features, rowvar=False, dtype=np.float32)
    sigma[0, 1] = np.nextafter(sigma[0, 1], np.float32(1))
    assert np.linalg.eigvalsh(sigma.astype(np.float64))[0] < 0
    np.savez(tmp_path / "s.npz", mu=features.mean(axis=0), sigma=sigma)
    covariance = read_statistics(tmp_path / "s.npz").covariance()
    assert torch.equal(covariance, covariance.T)


def asymmetric() -> np.ndarray:
    sigma = SIGMA.copy()
    sigma[0, 1] += 1e-3 * abs(sigma).max()
    return sigma


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": MU}, "it has no array sigma"),
        ({"sigma": SIGMA}, "it has no array mu"),
        ({"images": MU}, "it has no array mu"),
        ({"mu": MU[:5], "sigma": SIGMA}, r"mu has shape \(5,\), and sigma \(6, 6\)"),
        ({"mu": MU, "sigma": SIGMA[:5]}, r"sigma \(5, 6\)"),
        ({"mu": MU[None], "sigma": SIGMA}, r"mu has shape \(1, 6\)"),
        ({"mu": np.float64(1), "sigma": np.float64(1)}, r"mu has shape \(\)"),
        ({"mu": MU[:0], "sigma": SIGMA[:0, :0]}, r"mu has shape \(0,\)"),
        ({"mu": np.full(6, np.nan), "sigma": SIGMA}, "a number is not finite"),
        ({"mu": MU, "sigma": np.full((6, 6), np.inf)}, "a number is not finite"),
        ({"mu": MU, "sigma": asymmetric()}, "sigma is not symmetric: entries that must be equal differ by up to"),
        ({"mu": MU, "sigma": -SIGMA}, "and a covariance has none below zero"),
        ({"mu": MU, "sigma": SIGMA - 0.5 * np.eye(6) * np.linalg.eigvalsh(SIGMA)[-1]}, "none below zero"),
        ({"mu": MU.astype(np.int64), "sigma": SIGMA}, "mu is int64, not float32 or float64"),
        ({"mu": MU, "sigma": SIGMA.astype(np.float16)}, "sigma is float16"),
        ({"mu": MU, "sigma": SIGMA.astype(complex)}, "sigma is complex128"),
        ({"mu": MU, "sigma": np.array([None, SIGMA], dtype=object)}, "allow_pickle=False"),
    ],
)
def test_what_is_no_statistics_is_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.npz"
    np.savez(path, **arrays)
    with pytest.raises(BadInput, match=rf"odd\.npz holds no statistics of features.*: .*{message}") as error:
        read_statistics(path)
    assert "\n" not in str(error.value)


def text(path: Path) -> None:
    path.write_text("mu, sigma")


def an_array(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, SIGMA)


def a_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"mu": MU, "sigma": SIGMA}))


def cut_off(path: Path) -> None:
    np.savez(path, mu=MU, sigma=SIGMA)
    path.write_bytes(path.read_bytes()[:-300])


def a_damaged_member(path: Path) -> None:
    np.savez(path, mu=MU, sigma=SIGMA)
    content = bytearray(path.read_bytes())
    content[300] ^= 255  # of mu's numbers
    path.write_bytes(bytes(content))


def another_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mu", "1 2 3")
        archive.writestr("sigma", "1 2 3")


@pytest.mark.parametrize("write", [text, an_array, a_pickle, cut_off, a_damaged_member, another_archive])
def test_what_is_no_such_archive_is_refused(write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "odd.npz"
    write(path)
    with pytest.raises(BadInput, match=r"odd\.npz holds no statistics of features"):
        read_statistics(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.npz"):
        with pytest.raises(BadInput, match=f"no file of statistics at {path}$"):
            read_statistics(path)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"s\.txt must end in \.npz"):
        write_statistics(seen(FEATURES), tmp_path / "s.txt")
    with pytest.raises(BadInput, match="at least 2 images"):
        write_statistics(seen(FEATURES[:1]), tmp_path / "s.npz")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot write"):
        write_statistics(seen(FEATURES), tmp_path / "file" / "s.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
