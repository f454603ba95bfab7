"""Images with all of their digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import io

from coldbench.core.errors import BadInput
from coldbench.data.float_images import open_images, read_floats, shape_of_all, write_image


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("style", "levels"), [("png", 255), ("png16", 65535)])
def test_other_programs_read_what_is_written(channels: int, style: str, levels: int, tmp_path: Path) -> None:
    image = torch.rand(channels, 12, 17, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.2
    write_image(image, tmp_path / "x.png", style)
    wanted = np.rint(image.double().clamp(0, 1).numpy() * levels)
    if style == "png" or channels == 1:  # Pillow cuts colours to 8 bits
        found = np.asarray(Image.open(tmp_path / "x.png")).reshape(12, 17, channels).transpose(2, 0, 1)
        assert np.array_equal(found, wanted)
    assert np.array_equal(np.rint(read_floats(tmp_path / "x.png").double().numpy() * levels), wanted)


def test_npy_keeps_every_bit(tmp_path: Path) -> None:
    image = torch.randn(3, 9, 9)
    write_image(image, tmp_path / "x.npy", "npy")
    assert torch.equal(read_floats(tmp_path / "x.npy"), image)


def test_arrays_of_other_layouts_and_types(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 18, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    io.imsave(tmp_path / "b.png", pixels)
    np.savez(tmp_path / "c.npz", images=pixels[None])
    images = open_images(tmp_path)
    assert images.names == ("000000", "a", "b")
    assert shape_of_all(images) == (3, 20, 18)
    assert all(torch.equal(images.read(0), images.read(index)) for index in (1, 2))


def test_names_are_paths_without_suffix(tmp_path: Path) -> None:
    for name in ("b/1.5.npy", "a.npy", ".hidden.npy", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("wb") as stream:
            np.save(stream, np.zeros((4, 4), np.float32))
    assert open_images(tmp_path).names == ("a", "b/1.5")


def write(path: Path, content: object) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    else:
        np.save(path, content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.npy", b"", "x.npy is not an .npy file"),
        ("x.npy", np.zeros((2, 3, 4, 4), np.float32), r"is float32 \(2, 3, 4, 4\), no image"),
        ("x.npy", np.zeros((4, 4), np.int64), "is int64"),
        ("x.npy", np.full((4, 4), np.nan, np.float32), "holds NaN or infinity"),
        ("x.npy", np.full((4, 4), 255.0, np.float32), "has values from 255 to 255"),
        ("x.npy", np.array([object()]), "is not an .npy file"),
        ("x.npz", b"PK", "x.npz is not an .npz file with an array 'images'"),
        ("x.npz", {"mu": np.zeros(3)}, "it holds mu"),
        ("x.npz", {"images": np.zeros((2, 4, 4)), "names": np.array(["a"])}, "1 names, and images of shape"),
        ("x.npz", {"images": np.zeros((1, 4, 4)), "names": np.array(["../a"])}, "a name leads out of the folder"),
        ("x.npz", {"images": np.zeros((2, 4, 4)), "names": np.array(["a", "a"])}, "two of its images have one name"),
        ("x.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 16 + b"\x10" + b"\0" * 9, "cannot be read as an image"),
    ],
)
def test_damaged_files_are_named(name: str, content: object, message: str, tmp_path: Path) -> None:
    write(tmp_path / name, content)
    with pytest.raises(BadInput, match=message):
        shape_of_all(open_images(tmp_path))


def test_a_bit_flipped_in_16_bits_is_found(tmp_path: Path) -> None:
    write_image(torch.rand(3, 20, 20), tmp_path / "x.png", "png16")
    data = bytearray((tmp_path / "x.png").read_bytes())
    data[100] ^= 4
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(BadInput, match="the checksum of its chunk"):
        read_floats(tmp_path / "x.png")


def test_sizes_that_differ_and_names_that_do_not(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 4), np.float32))
    np.save(tmp_path / "b.npy", np.zeros((4, 5), np.float32))
    with pytest.raises(BadInput, match="a is 1x4x4, b is 1x4x5"):
        shape_of_all(open_images(tmp_path))
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(BadInput, match="both hold an image called a: keep one"):
        open_images(tmp_path)
    with pytest.raises(BadInput, match="no folder or file of images"):
        open_images(tmp_path / "c")


def test_archives_without_names_do_not_hide_each_other(tmp_path: Path) -> None:
    for name in ("first", "second"):
        np.savez(tmp_path / f"{name}.npz", images=np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(BadInput, match="both hold an image called 000000"):
        open_images(tmp_path)


def test_batches_of_a_stopped_measurement_may_overlap(tmp_path: Path) -> None:
    for name, names in (("000000-000001", ["a", "b"]), ("000001-000002", ["b", "c"])):
        np.savez(tmp_path / f"{name}.npz", images=np.zeros((2, 4, 4), np.uint8), names=np.array(names))
    assert open_images(tmp_path).names == ("a", "b", "c")
