"""Images: files, folders and arrays."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from tests.bad_input.case import Case, nothing
from tests.data.pictures import png

#: A measurement that needs no network, and takes no time.
_MEASURE = ("run", "--table", "3", "--rows", "mnist", "--methods", "degraded", "--metrics", "RMSE", "--output", "out")
_FOLDER = (*_MEASURE, "--data", "folder:pics")
_NPZ = (*_MEASURE, "--data", "npz:a.npz")
_DAMAGED = r"pics/bad\.{} cannot be read as an image: {}"
_UNFIT = r"pics/bad\.{} cannot be used: {}"


def _good(folder: Path, count: int = 2) -> None:
    """Grey images that can be measured."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        _grey(number).save(folder / f"{number}.png")


def _grey(seed: int = 0, size: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8))


def _with(spoil: Callable[[Path], object]) -> Callable[[Path], None]:
    """A folder ``pics`` of two good images, and what spoils it."""

    def arrange(folder: Path) -> None:
        _good(folder / "pics")
        spoil(folder / "pics")

    return arrange


def _damaged(form: str, damage: Callable[[bytes], bytes], **options: object) -> Callable[[Path], None]:
    """A good image of some format, then damaged."""

    def spoil(pics: Path) -> None:
        path = pics / f"bad.{form}"
        _grey().save(path, **options)
        path.write_bytes(damage(path.read_bytes()))

    return _with(spoil)


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _overwritten(data: bytes) -> bytes:
    middle = 3 * len(data) // 4
    return data[:middle] + bytes(40) + data[middle + 40 :]


def _frames(form: str) -> Callable[[Path], None]:
    return _with(lambda pics: _grey().save(pics / f"bad.{form}", save_all=True, append_images=[_grey(1)]))


def _array(images: object, name: str = "images") -> Callable[[Path], None]:
    return lambda folder: np.savez(folder / "a.npz", **{name: images})


def _not_finite() -> np.ndarray:
    images = np.zeros((4, 8, 8))
    images[2, 3, 3] = np.nan
    return images


def _deep_png(pics: Path) -> None:
    """RGB, which Pillow would read as if it had 8 bits."""
    (pics / "bad.png").write_bytes(png(8 * bytes(1 + 8 * 6), 8, 8, 16, 2))


def _deep_ppm(pics: Path) -> None:
    (pics / "bad.ppm").write_bytes(b"P6 2 2 65535 " + bytes(24))


def _bad_exif(pics: Path) -> None:
    _grey().save(pics / "bad.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0")


def _file(name: str, data: bytes = b"") -> Callable[[Path], None]:
    return _with(lambda pics: (pics / name).write_bytes(data))


def _loop(pics: Path) -> None:
    (pics / "again").symlink_to(".")


def _archive(pics: Path) -> None:
    pics.mkdir()
    (pics / "images.tar").touch()


def _npy(folder: Path) -> None:
    with (folder / "a.npz").open("wb") as stream:
        np.save(stream, np.zeros((4, 8, 8), np.uint8))


def _celeba(folder: Path) -> None:
    _good(folder / "home" / "data" / "celeba-hq", 9)


def _idx(folder: Path) -> None:
    raw = folder / "home" / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        (raw / name).write_bytes(gzip.compress(b"\0\0\x0d\x03" + bytes(12)))


CASES = (
    Case("no folder there", nothing, _FOLDER, 2, r"no folder at pics"),
    Case("an empty folder", lambda folder: (folder / "pics").mkdir(), _FOLDER, 2, r"no images in pics \(it is empty\)"),
    Case(
        "a folder of other files",
        lambda folder: _archive(folder / "pics"),
        _FOLDER,
        2,
        r"no images in pics \(1 file left out: \.tar 1\): read are \.jpg",
    ),
    Case("other files beside the images", _file("labels.txt"), _FOLDER, 0, r"pics: 1 file left out: \.txt 1"),
    Case(
        "images of a format that is not read",
        _file("bad.heic"),
        _FOLDER,
        2,
        r"pics holds 1 image of formats that are not read \(\.heic 1\): convert to PNG, or take out of the folder",
    ),
    Case(
        "an image without a suffix",
        _with(lambda pics: _grey().save(pics / "bad", "PNG")),
        _FOLDER,
        2,
        r"pics holds 1 image of formats that are not read \(without suffix 1\)",
    ),
    Case("a loop of links", _with(_loop), _FOLDER, 0, r"pics: 1 link not followed, to folders that are read already"),
    Case(
        "a link that leads nowhere",
        _with(lambda pics: (pics / "bad.png").symlink_to("nowhere")),
        _FOLDER,
        2,
        r"pics/bad\.png cannot be read: it is a link that leads nowhere",
    ),
    Case(
        "a pipe by the name of an image",
        _with(lambda pics: os.mkfifo(pics / "bad.png")),
        _FOLDER,
        2,
        r"pics/bad\.png cannot be read: it is no file",
    ),
    Case(
        "a web page by the name of an image",
        _file("bad.jpg", b"<html>"),
        _FOLDER,
        2,
        _DAMAGED.format("jpg", "it is none of JPEG, PNG"),
    ),
    Case("an empty image file", _file("bad.png"), _FOLDER, 2, _DAMAGED.format("png", "it is none of JPEG, PNG")),
    Case(
        "PNG, 16 bits a sample, colour",
        _with(_deep_png),
        _FOLDER,
        2,
        _UNFIT.format("png", "it has 16 bits a sample, but rows restore 8-bit images"),
    ),
    Case(
        "PNG, 16 bits a sample, grey",
        _with(lambda pics: Image.new("I;16", (8, 8)).save(pics / "bad.png")),
        _FOLDER,
        2,
        _UNFIT.format("png", "it has 16 bits a sample"),
    ),
    Case(
        "TIFF, 16 bits a sample, colour",
        _with(lambda pics: tifffile.imwrite(pics / "bad.tif", np.zeros((8, 8, 3), np.uint16), photometric="rgb")),
        _FOLDER,
        2,
        _UNFIT.format("tif", "it has 16 bits a sample"),
    ),
    Case(
        "TIFF, floating-point",
        _with(lambda pics: tifffile.imwrite(pics / "bad.tif", np.zeros((8, 8), np.float32))),
        _FOLDER,
        2,
        _UNFIT.format("tif", "its samples are signed or floating-point numbers"),
    ),
    Case("PPM, 16 bits a sample", _with(_deep_ppm), _FOLDER, 2, _UNFIT.format("ppm", "it has 16 bits a sample")),
    Case(
        "an animated GIF",
        _frames("gif"),
        _FOLDER,
        2,
        _UNFIT.format("gif", "it holds 2 images; give each a file of its own"),
    ),
    Case("a TIFF of several pages", _frames("tif"), _FOLDER, 2, _UNFIT.format("tif", "it holds 2 images")),
    Case(
        "colour where the row is grey",
        _with(lambda pics: Image.new("RGB", (8, 8)).save(pics / "bad.png")),
        _FOLDER,
        2,
        _UNFIT.format("png", "it has mode RGB, but this row restores 8-bit 1-channel images"),
    ),
    Case("JPEG, cut", _damaged("jpg", _half), _FOLDER, 2, _DAMAGED.format("jpg", "image file is truncated")),
    Case(
        "JPEG, cut and ended",
        _damaged("jpg", lambda data: _half(data) + b"\xff\xd9"),
        _FOLDER,
        2,
        _DAMAGED.format("jpg", "libjpeg warns: "),
    ),
    Case(
        "JPEG, progressive, cut and ended",
        _damaged("jpg", lambda data: _half(data) + b"\xff\xd9", progressive=True, quality=95),
        _FOLDER,
        2,
        _DAMAGED.format("jpg", ".*"),
    ),
    Case("JPEG, overwritten in the middle", _damaged("jpg", _overwritten), _FOLDER, 2, _DAMAGED.format("jpg", ".*")),
    Case("JPEG, damaged EXIF data", _with(_bad_exif), _FOLDER, 2, _DAMAGED.format("jpg", "Corrupt EXIF data")),
    Case("PNG, cut", _damaged("png", _half), _FOLDER, 2, _DAMAGED.format("png", ".*")),
    Case(
        "PNG, without its end",
        _damaged("png", lambda data: data[:-12]),
        _FOLDER,
        2,
        _DAMAGED.format("png", "its end is missing"),
    ),
    Case("WebP, cut", _damaged("webp", _half), _FOLDER, 2, _DAMAGED.format("webp", ".*")),
    Case(
        "a line of pixels",
        _with(lambda pics: Image.new("L", (200_000, 1)).save(pics / "bad.png")),
        _FOLDER,
        2,
        _UNFIT.format("png", "it is too narrow, 200000x1 pixels, to be resized whole; crop it first"),
    ),
    Case(
        "several bad images",
        _with(lambda pics: [(pics / f"bad{number}.png").touch() for number in range(3)]),
        _FOLDER,
        2,
        r"3 of 5 images of folder:pics cannot be used: pics/bad0\.png .*; pics/bad1\.png .*; pics/bad2\.png .*",
    ),
    Case(
        "a name that no file can have",
        nothing,
        (*_MEASURE, "--data", f"folder:{'a' * 300}"),
        2,
        r"cannot look at .* \(File name too long\)",
    ),
    Case(
        "images without what they are",
        lambda folder: _good(folder / "pics"),
        (*_MEASURE, "--data", "pics"),
        2,
        r"'pics' is no data set; did you mean folder:pics\?",
    ),
    Case("no .npz file there", nothing, _NPZ, 2, r"no file at a\.npz"),
    Case(
        ".npz, of floating-point numbers",
        _array(np.full((4, 8, 8), 0.5)),
        _NPZ,
        2,
        r"npz:a\.npz: images must be uint8 .*, not float64 4x8x8 from 0\.5 to 0\.5",
    ),
    Case(".npz, with NaN", _array(_not_finite()), _NPZ, 2, r"npz:a\.npz: .*, of which image 2 holds NaN or infinity"),
    Case(".npz, complex", _array(np.zeros((4, 8, 8), complex)), _NPZ, 2, r"npz:a\.npz: .*, not complex128 4x8x8"),
    Case(".npz, of objects", _array(np.array([None])), _NPZ, 2, r"a\.npz is not .*: Object arrays cannot be loaded"),
    Case(".npz, no image", _array(np.zeros((0, 8, 8), np.uint8)), _NPZ, 2, r"npz:a\.npz: .*, not uint8 0x8x8"),
    Case(".npz, no pixel", _array(np.zeros((4, 0, 8), np.uint8)), _NPZ, 2, r"npz:a\.npz: .*, not uint8 4x0x8"),
    Case(
        ".npz, one photograph",
        _array(np.zeros((20, 24, 3), np.uint8)),
        _NPZ,
        2,
        r"npz:a\.npz: 20x24x3 may be one image of 3 channels: add an axis, images\[None\] for one image",
    ),
    Case(
        ".npz, one photograph with its channels first",
        _array(np.zeros((3, 20, 24), np.uint8)),
        _NPZ,
        2,
        r"npz:a\.npz: 3x20x24 may be one image with its channels first: np\.moveaxis",
    ),
    Case(
        ".npz, of something else",
        _array(np.zeros(3), "x_test"),
        _NPZ,
        2,
        r"a\.npz is not an \.npz file with an array 'images': it holds x_test",
    ),
    Case(
        ".npz, which is an .npy",
        _npy,
        _NPZ,
        2,
        r"a\.npz is not .*: it is one array, as np\.save writes it: np\.savez\('FILE\.npz', images=np\.load",
    ),
    Case(
        ".npz, a web page",
        lambda folder: (folder / "a.npz").write_text("<html>"),
        _NPZ,
        2,
        r"a\.npz is not .*: it is no zip archive, or was cut",
    ),
    Case(
        "too few images of CelebA",
        _celeba,
        ("run", "--table", "3", "--rows", "celeba", "--methods", "degraded"),
        2,
        "has 9 images, too few",
    ),
    Case(
        "MNIST's training images, damaged",
        _idx,
        ("statistics", "mnist", "--train", "--features", "mnist-cnn", "--output", "b.npz"),
        2,
        r"train-images-idx3-ubyte\.gz is not a gzipped IDX file",
    ),
)
