"""Image files of every kind, made for the tests."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

#: The marker at the end of a JPEG file.
END = b"\xff\xd9"
#: Kinds of JPEG files -> options of Pillow's.
JPEG_KINDS = {
    "sequential": {},
    "optimised": {"optimize": True, "quality": 90},
    "unreduced colour": {"subsampling": 0, "quality": 95},
    "restarts": {"restart_marker_blocks": 2},
    "progressive": {"progressive": True},
    "progressive with restarts": {"progressive": True, "subsampling": 0, "restart_marker_rows": 1},
}


def picture(width: int = 41, height: int = 37, seed: int = 0) -> Image.Image:
    """A smooth image of any size, with some noise in it."""
    y, x = np.mgrid[:height, :width]
    smooth = np.stack((127 + 120 * np.sin(x / 5 + y / 7 + seed), 6 * x, 255 - 6 * y), axis=-1).clip(0, 255)
    pixels = smooth.astype(np.uint8)
    rng = np.random.default_rng(seed)
    pixels[10:20, 5:15] = rng.integers(0, 256, pixels[10:20, 5:15].shape)
    return Image.fromarray(pixels)


def jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def coded(data: bytes) -> int:
    """Where the coded data of the first scan begin."""
    at = data.index(b"\xff\xda")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4])


def png(rows: bytes, width: int, height: int, bits: int, colour: int) -> bytes:
    """A PNG file as the standard has it; Pillow writes no more than 8 bits of colour."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
