"""One image file: read whole, upright and with all of its bits, or refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from coldbench.core.errors import BadInput
from coldbench.data.images import channels_of, read_image, with_channels
from tests.data.pictures import END, JPEG_KINDS, coded, jpeg, picture, png

PIXELS = np.asarray(picture(24, 16))
#: Kind of file -> the format, as Pillow calls it, and options.
LOSSLESS = {
    "png": ("PNG", {}),
    "webp": ("WEBP", {"lossless": True}),
    "bmp": ("BMP", {}),
    "tiff": ("TIFF", {}),
    "deflated tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "ppm": ("PPM", {}),
}
ALL = {
    **LOSSLESS,
    "gif": ("GIF", {}),
    "lossy webp": ("WEBP", {}),
    **{f"{kind} jpeg": ("JPEG", options) for kind, options in JPEG_KINDS.items()},
}


def saved(folder: Path, kind: str, **more: object) -> Path:
    name, options = ALL[kind]
    path = folder / "image"
    Image.fromarray(PIXELS).save(path, name, **options, **more)
    return path


@pytest.mark.parametrize("kind", LOSSLESS)
def test_the_pixels_are_those_of_the_file(kind: str, tmp_path: Path) -> None:
    path = saved(tmp_path, kind)
    assert np.array_equal(np.asarray(read_image(path)), PIXELS)
    assert read_image(path).filename == str(path)


@pytest.mark.parametrize(("colour", "samples"), [(0, 1), (4, 2), (2, 3), (6, 4)])
def test_16_bit_png_files_of_every_colour_type_are_refused(colour: int, samples: int, tmp_path: Path) -> None:
    """Pillow reads all but the grey ones as if they had 8 bits."""
    path = tmp_path / "deep.png"
    for bits, kind in ((16, ">u2"), (8, ">u1")):
        pixels = (np.arange(5 * 4 * samples).reshape(5, 4, samples) * 3 + 1).astype(kind)
        rows = b"".join(b"\0" + row.tobytes() for row in pixels)
        path.write_bytes(png(rows, 4, 5, bits, colour))
        if bits == 8:
            assert np.array_equal(np.asarray(read_image(path)).reshape(5, 4, samples), pixels)
        else:
            with pytest.raises(
                BadInput, match=r"deep\.png cannot be used: it has 16 bits a sample, but .* 8-bit images"
            ):
                read_image(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 8), np.uint16), "16 bits a sample"),
        (np.zeros((8, 8, 3), np.uint16), "16 bits a sample"),
        (np.zeros((8, 8, 4), np.uint16), "16 bits a sample"),
        (np.zeros((8, 8), np.uint32), "32 bits a sample"),
        (np.zeros((8, 8), np.int8), "signed or floating-point"),
        (np.zeros((8, 8), np.int16), "signed or floating-point"),
        (np.zeros((8, 8), np.float32), "signed or floating-point"),
    ],
)
def test_tiff_files_that_8_bits_cannot_hold_are_refused(array: np.ndarray, message: str, tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    colour = "rgb" if array.ndim == 3 else "minisblack"
    tifffile.imwrite(path, array, photometric=colour, extrasamples=["unassalpha"] * (array.shape[2:] == (4,)))
    with pytest.raises(BadInput, match=f"deep.tif cannot be used: .*{message}"):
        read_image(path)


@pytest.mark.parametrize(
    "header", [b"P6 2 1 65535 ", b"P6 2 1 1023 ", b"P5 2 1 65535 ", b"P5 2 1 256 ", b"P3 2 1 65535\n"]
)
def test_netpbm_files_of_more_than_8_bits_are_refused(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "deep.ppm").write_bytes(header + (b"1 2 3 4 5 6 " if header.startswith(b"P3") else bytes(12)))
    with pytest.raises(BadInput, match=r"cannot be used: it has (9|10|16) bits a sample"):
        read_image(tmp_path / "deep.ppm")


def test_netpbm_files_of_fewer_bits_reach_white(tmp_path: Path) -> None:
    (tmp_path / "4.pgm").write_bytes(b"P5 3 1 15 " + bytes([0, 5, 15]))
    assert np.asarray(read_image(tmp_path / "4.pgm")).tolist() == [[0, 85, 255]]


#: EXIF orientation -> what is done to the stored pixels to stand them upright (EXIF 2.32, 4.6.4).
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
def test_images_are_turned_upright(kind: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, kind, exif=exif)
    image = read_image(path)
    expected = UPRIGHT[orientation](PIXELS)
    assert image.size == expected.shape[1::-1]
    assert np.array_equal(np.asarray(image), expected)
    assert image.filename == str(path)


def test_jpeg_files_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(jpeg(picture(24, 16), exif=exif))
    (tmp_path / "b.jpg").write_bytes(jpeg(picture(24, 16)))
    sideways = np.asarray(read_image(tmp_path / "b.jpg"))
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.jpg")), np.rot90(sideways, -1))


def test_an_orientation_that_cannot_be_read_is_no_guess(tmp_path: Path) -> None:
    cut = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0"
    (tmp_path / "a.jpg").write_bytes(jpeg(picture(24, 16), exif=cut))
    with pytest.raises(BadInput, match=r"a\.jpg cannot be read as an image: .*EXIF"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_images_in_a_file_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"moving.{kind.lower()}"
    frames = [picture(24, 16, seed) for seed in range(3)]
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    with pytest.raises(BadInput, match=r"cannot be used: it holds 3 images; give each a file of its own"):
        read_image(path)
    frames[0].save(path, kind)
    assert read_image(path).size == (24, 16)


def test_of_a_photograph_with_others_behind_it_the_first_counts(tmp_path: Path) -> None:
    """An MPO file, which telephones call .jpg."""
    path = tmp_path / "a.jpg"
    first, second = picture(24, 16), picture(12, 8, 1)
    first.save(path, "MPO", save_all=True, append_images=[second], quality=95)
    expected = Image.open(io.BytesIO(jpeg(first, quality=95)))
    assert np.array_equal(np.asarray(read_image(path)), np.asarray(expected))


def read_or_refused(path: Path, content: bytes) -> np.ndarray | None:
    """The pixels of a file with this content; None where it is refused by name."""
    path.write_bytes(content)
    try:
        return np.asarray(read_image(path))
    except BadInput as error:
        if not str(error).startswith(f"{path} cannot be "):
            raise
        return None


@pytest.mark.parametrize("kind", ALL)
def test_of_a_file_that_was_cut_all_pixels_are_had_or_none(kind: str, tmp_path: Path) -> None:
    path = saved(tmp_path, kind)
    whole, pixels = path.read_bytes(), np.asarray(read_image(path))
    lengths = {*range(0, len(whole), max(len(whole) // 60, 1)), *range(len(whole) - 20, len(whole))}
    had = {length: read_or_refused(path, whole[:length]) for length in lengths}
    read = [length for length, found in had.items() if found is not None]
    assert all(np.array_equal(had[length], pixels) for length in read)
    assert len(read) <= 10, "but for the last few bytes, which may hold no pixels"


@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_a_jpeg_file_cut_in_half_and_ended_is_refused(kind: str, tmp_path: Path) -> None:
    """Pillow alone fills up the rest with grey."""
    path = tmp_path / "half.jpg"
    data = jpeg(picture(96, 96), **JPEG_KINDS[kind])
    path.write_bytes(data[: (coded(data) + len(data)) // 2] + END)
    if "progressive" not in kind:
        Image.open(path).load()
    with pytest.raises(BadInput, match=r"half\.jpg cannot be read as an image: "):
        read_image(path)


def test_every_wrong_byte_of_a_png_file_is_found(tmp_path: Path) -> None:
    """Even of what comes after the pixels, where an orientation may stand."""
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    path.write_bytes(png(b"\0\1\2\0\3\4", 2, 2, 8, 0))
    whole = path.read_bytes()
    tail = whole.index(b"IEND") - 4
    body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    whole = whole[:tail] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + whole[tail:]
    path.write_bytes(whole)
    assert np.asarray(read_image(path)).tolist() == [[3, 1], [4, 2]]
    for at in range(len(whole)):
        damaged = whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]
        assert read_or_refused(path, damaged) is None, f"byte {at}"


def test_what_a_plug_in_asks_of_pillow_is_not_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, "bmp")
    path.write_bytes(path.read_bytes()[:-100])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(BadInput, match="truncated"):
        read_image(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES, "but others may hear it"


def test_an_absurd_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png(b"", 20_000, 20_000, 8, 0))
    with pytest.raises(BadInput, match=r"huge\.png cannot be used: it has more than 178 megapixels"):
        read_image(path)


def test_other_formats_are_named(tmp_path: Path) -> None:
    picture(24, 16).save(tmp_path / "a.png", "JPEG2000")
    with pytest.raises(BadInput, match=r"a\.png cannot be read as an image: it is none of JPEG, PNG, "):
        read_image(tmp_path / "a.png")


def test_palettes_keep_their_colours(tmp_path: Path) -> None:
    """Transparency is dropped, as that of other images is, and nobody is warned."""
    indices = np.arange(16, dtype=np.uint8).reshape(4, 4)
    image = Image.fromarray(indices)
    image.putpalette(bytes(range(48)))
    image.save(tmp_path / "a.png", transparency=bytes(16))
    read = read_image(tmp_path / "a.png")
    assert (read.mode, channels_of(read)) == ("P", 3)
    assert np.array_equal(np.asarray(with_channels(read, 3)).reshape(-1), np.arange(48))


def test_a_large_photograph_is_read_and_a_huge_one_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns of twice as few pixels as it refuses."""
    path = tmp_path / "large.png"
    picture(30, 20).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    assert read_image(path).size == (30, 20)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(BadInput, match=r"large\.png cannot be used: it has more than 178 megapixels; resize it first"):
        read_image(path)


def test_an_orientation_is_read_whatever_else_the_camera_wrote(tmp_path: Path) -> None:
    """A maker's name that points out of the file."""
    exif = (
        b"Exif\0\0II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\xff\0\0\0\xff\xff\0\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    )
    picture(24, 16).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").size == (16, 24)
