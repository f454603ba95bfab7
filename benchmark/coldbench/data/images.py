"""One image file, read whole and upright, or refused: pixels are never guessed, and bits never cut off."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import simplejpeg
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError

from coldbench.core.errors import BadInput, one_line

#: As Pillow calls them. Of other formats Pillow may cut off bits unsaid (JPEG 2000, AVIF), or they are no photographs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
#: What Pillow may convert to the mode of C channels. Missing are the modes it would clip (16 bits, floats) or that hold
#: colour a grey image cannot. Alpha is dropped, as the released code drops it.
_CONVERTIBLE = {1: {"1", "L", "LA"}, 3: {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK"}}
#: Warnings of libjpeg's that are of headers which cameras write and which say nothing of the pixels.
_HARMLESS = ("Invalid SOS parameters", "Warning: unknown JFIF revision", "Corrupt JPEG data: bad ICC marker")
_PIL_MODES = {1: "L", 3: "RGB"}
_GREY = frozenset({"1", "L", "LA"})


def channels_of(image: Image.Image) -> int:
    """C: 1 if the image is grey, else 3."""
    return 1 if image.mode in _GREY else 3


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """Grey to colour, never colour to grey, and never more than 8 bits to 8.

    Raises:
        BadInput: the image has another mode.
    """
    if image.mode not in _CONVERTIBLE[channels]:
        raise BadInput(
            f"it has mode {image.mode}, but this row restores 8-bit {channels}-channel images; convert it first"
        )
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # or Pillow warns
    return image.convert(_PIL_MODES[channels])


def read_image(path: Path) -> Image.Image:
    """Decode one image file whole, and turn it as its EXIF orientation says.

    Raises:
        BadInput: it is damaged, as far as its format lets that be told; is no image, or several; or has samples of more
            than 8 bits.
    """
    try:
        data = path.read_bytes()
        with _strictly(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.filename = str(path)
            _check_kind(image, data)
            image.load()
            _check_whole(image, data)
            ImageOps.exif_transpose(image, in_place=True)
            return image
    except _Unfit as error:
        raise BadInput(f"{path} cannot be used: {error}") from error
    except Image.DecompressionBombError as error:
        raise BadInput(f"{path} cannot be used: it has more than 178 megapixels; resize it first") from error
    except UnidentifiedImageError as error:
        raise BadInput(f"{path} cannot be read as an image: it is none of {', '.join(FORMATS)}") from error
    except Exception as error:  # damaged files fail in a dozen ways
        raise BadInput(f"{path} cannot be read as an image: {one_line(error) or type(error).__name__}") from error


class Damaged(ValueError):
    """The file is not whole; says why."""


class _Unfit(ValueError):
    """A good image, but none that can be measured as it is; says why."""


@contextmanager
def _strictly() -> Iterator[None]:
    """What Pillow warns of is an error, and nothing is filled up, whatever a plug-in asked Pillow for."""
    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a large photograph
            # Entries of the EXIF data beside the orientation, which is read all the same.
            warnings.filterwarnings("ignore", "Metadata Warning|Tag data larger|Skipping")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _check_kind(image: ImageFile.ImageFile, data: bytes) -> None:
    # The other images of an MPO file, which is a JPEG file, are previews, depths or views from elsewhere.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        raise _Unfit(f"it holds {frames} images; give each a file of its own")
    bits = _bits(image, data)
    if bits > 8:
        raise _Unfit(f"it has {bits} bits a sample, but rows restore 8-bit images; convert it first")


def _bits(image: ImageFile.ImageFile, data: bytes) -> int:
    """Of a sample in the file, which Pillow cuts to 8 for most colour types without a word."""
    if image.format == "PNG":
        return data[24]  # of the header that comes first
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        if set(image.tag_v2.get(TiffImagePlugin.SAMPLEFORMAT, (1,))) != {1}:
            raise _Unfit("its samples are signed or floating-point numbers; convert it to 8-bit first")
        return max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    if image.format == "PPM":
        decoder = image.tile[0][3]  # its mode, and perhaps the largest sample
        largest = decoder[1] if isinstance(decoder, tuple) else 255
        return {"I": 16, "F": 32}.get(image.mode, int(largest).bit_length())
    return 8


def _check_whole(image: ImageFile.ImageFile, data: bytes) -> None:
    """What the decoder passes over."""
    if image.format == "PNG":
        check_png(data)
    elif image.format in ("JPEG", "MPO"):
        _check_jpeg(data)


def _check_jpeg(data: bytes) -> None:
    """Where coded data are damaged or cut, libjpeg fills up the image and warns; Pillow keeps the warning to itself."""
    try:
        _, _, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        simplejpeg.decode_jpeg(data, "CMYK" if colours in ("CMYK", "YCCK") else "GRAY", strict=True)
    except ValueError as error:
        if not str(error).startswith(_HARMLESS):
            raise Damaged(f"libjpeg warns: {error}") from error


def check_png(data: bytes) -> None:
    """The checksums of all chunks up to the last; Pillow knows those before the pixels.

    Raises:
        Damaged: one is wrong, or missing.
    """
    at, name = 8, b""
    while name != b"IEND":
        if at + 12 > len(data):
            raise Damaged("its end is missing")
        end = at + 8 + int.from_bytes(data[at : at + 4])
        name = data[at + 4 : at + 8]
        if crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise Damaged(f"the checksum of its chunk {name!r} is wrong")
        at = end + 4
