"""Decoding and transforms: the same pixels however many processes read them, and every bad file in one error."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.data import decoding as pixels_module
from coldbench.data.cache import ImageStore
from coldbench.data.decoding import decode
from coldbench.data.sources import ImageSource, array_source, folder_source, joined
from coldbench.data.transforms import TRANSFORMS, find_transform, to_model_range
from coldbench.diffusion.catalog import find_recipe
from coldbench.diffusion.checkpoints import load_restorer
from tests.helpers import loaded

NATIVE = TRANSFORMS["native"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """300 images of many sizes and modes."""
    for i in range(300):
        rng = np.random.default_rng(i)
        shape = (rng.integers(20, 60), rng.integers(20, 60), (1, 3, 4)[i % 3])
        array = rng.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(array[..., 0] if shape[2] == 1 else array).save(tmp_path / f"{i:03}.png")
    return tmp_path


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_change_nothing(workers: int, folder: Path) -> None:
    source = folder_source(folder)
    alone, together = (
        decode(source, transform=NATIVE, image_size=32, channels=3, workers=count) for count in (0, workers)
    )
    assert torch.equal(alone.batch(range(300)), together.batch(range(300)))


def test_reading_in_any_order_gives_the_same_images(folder: Path) -> None:
    images = decode(folder_source(folder), transform=NATIVE, image_size=32, channels=3)
    everything = images.batch(range(300))
    assert torch.equal(images.batch([7, 299, 0]), everything[[7, 299, 0]])
    assert torch.equal(images.batch(range(5, 9)), everything[5:9])


def test_only_the_first_images_are_decoded_where_only_they_are_wanted(folder: Path) -> None:
    (folder / "299.png").write_bytes(b"never looked at")
    assert decode(folder_source(folder), transform=NATIVE, image_size=32, channels=3, count=299).count == 299


@pytest.mark.parametrize("workers", [0, 2])
def test_all_bad_files_are_named_in_one_error(workers: int, folder: Path) -> None:
    (folder / "004.png").write_bytes((folder / "004.png").read_bytes()[:200])
    (folder / "100.png").write_bytes(b"<html>not found</html>")
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(folder / "299.png")
    with pytest.raises(BadInput) as caught:
        decode(folder_source(folder), transform=NATIVE, image_size=32, channels=3, workers=workers)
    message = str(caught.value)
    assert message.startswith("3 of 300 images of folder:")
    assert message.count("\n") == 0
    for name, reason in (("004", "truncated"), ("100", "none of JPEG, PNG"), ("299", "16 bits")):
        assert f"{name}.png cannot be" in message
        assert reason in message


def test_what_a_source_of_ones_own_gives_is_checked() -> None:
    source = ImageSource("mine", "0", 2, read=lambda index: np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(BadInput, match=r"image 0 of mine failed: TypeError: it is ndarray, not an image of Pillow's"):
        loaded(source)
    floats = ImageSource("mine", "0", 2, read=lambda index: Image.new("F", (8, 8), float("nan")))
    with pytest.raises(BadInput, match=r"image 0 of mine cannot be used: it has mode F"):
        loaded(floats)
    for array in (np.full((2, 8, 8), np.nan), np.zeros((3, 8, 8), np.uint8)):
        with pytest.raises(BadInput, match=r"^mine: the array of 2 images must be uint8"):
            ImageSource("mine", "0", 2, read=lambda index: Image.new("L", (8, 8)), array=array)


def test_an_image_that_would_need_gigabytes_is_refused(tmp_path: Path) -> None:
    """Resized, a line of 200,000 pixels would be 32 times as wide."""
    Image.new("L", (200_000, 1)).save(tmp_path / "line.png")
    with pytest.raises(BadInput, match=r"line\.png cannot be used: it is too narrow, 200000x1 pixels"):
        loaded(folder_source(tmp_path))
    Image.new("L", (2_000, 1), 7).save(tmp_path / "line.png")
    assert (loaded(folder_source(tmp_path)) == 7).all()


def test_many_bad_files_are_counted(tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / f"{i}.jpg").write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"20 of 20 images .*; and 12 more$"):
        loaded(folder_source(tmp_path))


def test_a_full_disk_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pixels_module.os, "write", full)
    with pytest.raises(BadInput, match=r"no room for decoded images in .* \(No space left on device\): set TMPDIR"):
        decode(folder_source(folder), transform=NATIVE, image_size=32, channels=3, workers=0)
    monkeypatch.setattr(pixels_module.os, "write", real)


def test_nothing_is_left_open_or_behind(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    images = decode(folder_source(folder), transform=NATIVE, image_size=32, channels=3)
    images.batch([0])
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 1
    del images
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert after == before - 1


def test_an_array_of_the_right_size_is_not_decoded_at_all() -> None:
    array = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)

    def never(index: int) -> Image.Image:
        raise AssertionError

    source = dataclasses.replace(array_source("a", array), read=never)
    images = decode(source, transform=NATIVE, image_size=32, channels=3)
    assert np.array_equal(images.batch(range(2, 5)).numpy(), array[2:5].transpose(0, 3, 1, 2))
    images.batch([0])[:] = 0
    assert array[0].any(), "a batch is a copy: what is done to it must not reach the source"


def test_joined_sources_come_one_after_the_other(folder: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    first, second = folder_source(folder), array_source("a", array)
    both = joined([first, second])
    assert both.count == 309
    assert torch.equal(loaded(both), torch.cat((loaded(first), loaded(second))))
    assert both.digest not in (first.digest, second.digest, joined([second, first]).digest)


def test_a_store_opens_and_decodes_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = pixels_module.with_channels
    monkeypatch.setattr(
        pixels_module, "with_channels", lambda image, channels: (read.append(1), real(image, channels))[1]
    )
    store = ImageStore(folder, workers=0)
    for count in (10, 8, None, 300):
        source = store.source(f"folder:{folder}")
        store.pixels(source, transform="native", image_size=32, channels=3, count=count)
    assert len(read) == 10 + 300


def gradient(width: int, height: int) -> ImageSource:
    """Each pixel tells where it is: red its row, green its column."""
    rows, columns = np.indices((height, width), dtype=np.uint8)
    return array_source("g", np.stack((rows, columns, np.full_like(rows, 200)), axis=-1)[None])


def test_native_keeps_the_centre() -> None:
    crop = loaded(gradient(48, 32))[0]
    assert (crop[0, 0, 0], crop[1, 0, 0], crop[1, 0, -1]) == (0, 8, 39)


def test_zoom_is_resize_35_and_the_centre_for_32_pixels() -> None:
    """int(1.12 * 32) = 35; the crop begins at round((35 - 32) / 2) = 2 (PROTOCOL 4)."""
    image = Image.fromarray(gradient(32, 32).array[0])
    expected = np.asarray(image.resize((35, 35), Image.Resampling.BILINEAR))[2:34, 2:34]
    assert np.array_equal(loaded(gradient(32, 32), transform="zoom")[0].permute(1, 2, 0).numpy(), expected)


def crops(name: str, keys: range, seed: int = 0) -> Tensor:
    images = decode(gradient(32, 32), transform=find_transform(name), image_size=32, channels=3)
    return torch.stack([images.batch([0], seed=seed, keys=[key])[0] for key in keys])


def test_random_crops_reach_every_offset_and_flip_half() -> None:
    taken = crops("pad-random", range(600))
    blue = taken[:, 2] == 200
    tops, flipped = set(), 0
    for crop, inside in zip(taken, blue, strict=True):
        rows, columns = torch.nonzero(inside, as_tuple=True)
        row, column = int(rows[0]), int(columns[0])
        tops.add(row - int(crop[0, row, column]))
        flipped += bool(crop[1, row, column] > crop[1, row, int(columns[-1])])
    assert tops == set(range(-4, 5))
    assert 240 < flipped < 360


@pytest.mark.parametrize("name", ["pad-random", "zoom-random"])
def test_random_crops_are_drawn_by_key_and_seed(name: str) -> None:
    assert torch.equal(crops(name, range(20)), crops(name, range(20)))
    assert not torch.equal(crops(name, range(20)), crops(name, range(20), seed=1))
    images = decode(gradient(32, 32), transform=find_transform(name), image_size=32, channels=3)
    together = images.batch([0] * 20, keys=range(20))
    assert torch.equal(together, crops(name, range(20)))


def test_zoomed_random_crops_come_from_the_35_pixels() -> None:
    stored = decode(gradient(32, 32), transform=find_transform("zoom-random"), image_size=32, channels=3).read([0])
    assert stored.shape == (1, 3, 35, 35)


@pytest.mark.parametrize("call", [lambda: find_transform("native "), lambda: ImageStore(Path()).source("folder:")])
def test_unknown_names(call: Callable[[], object]) -> None:
    with pytest.raises(BadInput, match=r"unknown transform|names no path"):
        call()


def test_loading_is_ten_times_faster_than_the_full_size_network(tmp_path: Path) -> None:
    """CIFAR-10-sized PNG files through one process, against the forward of the paper's network for CIFAR-10."""
    for i in range(256):
        array = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(array).save(tmp_path / f"{i}.png")
    started = time.perf_counter()
    images = decode(folder_source(tmp_path), transform=NATIVE, image_size=32, channels=3, workers=0)
    x = to_model_range(images.batch(range(256)))
    loading = (time.perf_counter() - started) / 256
    full_size = dataclasses.replace(find_recipe("cifar10-blur"), sha256=None)
    restore = load_restorer(full_size, torch.device("cpu"), random=True)
    with torch.inference_mode():
        restore(x[:16], 1)  # the first call is slower
        started = time.perf_counter()
        restore(x[:16], 1)
    forward = (time.perf_counter() - started) / 16
    print(f"loading {1e3 * loading:.2f} ms an image, forward {1e3 * forward:.1f} ms: {forward / loading:.0f} times")
    assert forward > 10 * loading
