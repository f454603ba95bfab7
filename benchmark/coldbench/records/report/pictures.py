"""Pictures that are part of the page itself."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError, features

from coldbench.core.errors import BadInput

#: Of larger files, a smaller one is made that has the same pixels, in bytes.
_LARGE = 100_000


@dataclass(frozen=True)
class Picture:
    """A picture as an ``img`` has it.

    Attributes:
        source: all of it, as a ``data:`` address.
        width, height: in pixels.
        name: of its file.
    """

    source: str
    width: int
    height: int
    name: str


def read_picture(path: Path) -> Picture:
    """A PNG file as a picture; a large one is packed anew as WebP, without loss, where that makes it smaller.

    Raises:
        BadInput: it cannot be read, or is no PNG.
    """
    try:
        content, kind = path.read_bytes(), "png"
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.load()
            width, height = image.size
            if len(content) > _LARGE and features.check("webp"):
                content, kind = min((content, kind), (_as_webp(image), "webp"), key=lambda each: len(each[0]))
    except UnidentifiedImageError as error:
        raise BadInput(f"{path} is no PNG picture") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(
            f"{path} cannot be read as a PNG picture: {getattr(error, 'strerror', None) or error}"
        ) from error
    return Picture(f"data:image/{kind};base64,{base64.b64encode(content).decode()}", width, height, path.name)


def _as_webp(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="WEBP", lossless=True)
    return stream.getvalue()
