"""JPEG files that are whole pass, whatever their kind; what was cut, or made libjpeg warn, does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from coldbench.data.images import Damaged
from coldbench.data.images import _check_jpeg as check_jpeg
from tests.data.pictures import END, JPEG_KINDS, coded, jpeg, picture


@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_whole_files_pass_whatever_their_size(kind: str) -> None:
    for seed, (width, height) in enumerate([(1, 1), (7, 9), (8, 8), (16, 16), (17, 33), (64, 5), (41, 37)]):
        for mode in ("RGB", "L", "CMYK", "YCbCr"):
            check_jpeg(jpeg(picture(width, height, seed).convert(mode), **JPEG_KINDS[kind]))


@pytest.mark.parametrize("quality", [1, 50, 100])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_extreme_images_pass(level: int, quality: int) -> None:
    flat = np.full((24, 24, 3), level, np.uint8)
    noise = np.random.default_rng(level).choice(np.array([0, 255], np.uint8), (24, 24, 3))
    for pixels in (flat, noise):
        check_jpeg(jpeg(Image.fromarray(pixels), quality=quality))


def damaged(data: bytes) -> bool:
    try:
        check_jpeg(data)
    except Damaged:
        return True
    return False


def cuts(data: bytes) -> Iterator[bytes]:
    """The file, cut at every byte of its coded data and ended properly: Pillow reads it without a word."""
    for length in range(coded(data), len(data) - len(END)):
        yield data[:length] + END


@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_files_that_were_cut_are_found(kind: str) -> None:
    """All but progressive ones that end with one of their passes over the image: these are whole, and less sharp."""
    data = jpeg(picture(), **JPEG_KINDS[kind])
    missed = [len(cut) for cut in cuts(data) if not damaged(cut)]
    assert len(missed) <= (4 * data.count(b"\xff\xda") if "progressive" in kind else 0)


def test_what_lies_around_the_codes_does_not_matter() -> None:
    """Bytes after the end, as in the files of many telephones; ones before a marker; comments."""
    data = jpeg(picture(), restart_marker_blocks=2)
    check_jpeg(data + b"a trailer" + END)
    check_jpeg(data[:2] + b"\xff\xfe\x00\x06\xff\xd9\xff\xda" + data[2:])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.removesuffix(END),
        lambda data: data.replace(b"\xff\xd1", b"", 1),
        lambda data: data[: coded(data) + 40] + b"\0" * 40 + data[coded(data) + 80 :],
    ],
    ids=["no end marker", "a restart marker is missing", "forty bytes of nothing"],
)
def test_damage_is_found(damage: Callable[[bytes], bytes]) -> None:
    data = jpeg(picture(96, 96), restart_marker_blocks=2)
    assert not damaged(data)
    assert damaged(damage(data))


def test_headers_that_cameras_write_are_no_damage() -> None:
    """A scan that names no last coefficient, and a JFIF revision that libjpeg does not know."""
    data = jpeg(picture(96, 96))
    last = coded(data) - 2
    check_jpeg(data[:last] + b"\0" + data[last + 1 :])
    revision = data.index(b"JFIF\0") + 5
    check_jpeg(data[:revision] + b"\2" + data[revision + 1 :])
