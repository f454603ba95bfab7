"""What a folder of images holds: every image in it is read, or the folder is refused; nothing is left out unsaid."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from PIL import Image

from coldbench.core.errors import BadInput

#: Suffixes of the formats that are read; see ``coldbench.data.images``.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
#: Of images that Pillow does not know, or only with a plug-in.
_STRANGE_SUFFIXES = (
    *(".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2", ".dcm", ".nii", ".exr", ".hdr", ".pam", ".qoi"),
    *(".avif", ".heic", ".heif", ".hif", ".jxl", ".jxr", ".xcf"),
)
#: Of what Pillow counts among its formats, but holds no photographs.
_NO_IMAGES = frozenset({".pdf", ".h5", ".hdf", ".mpg", ".mpeg", ".grib", ".bufr"})
#: How images begin, by whatever name.
_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*"),
    *(b"8BPS", b"\x76\x2f\x31\x01", b"\0\0\0\x0cjP  ", b"\0\0\0\x0cJXL "),
)
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
#: Folders of previews and of what was thrown away, which systems make beside the user's images.
_OF_SYSTEMS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")


@dataclass(frozen=True)
class Contents:
    """What a folder holds.

    Attributes:
        folder: where.
        images: the files that are read, in the order of their paths.
        others: all other files, none of which is an image.
        repeated: folders that were met again, behind links.
    """

    folder: Path
    images: Sequence[Path]
    others: Sequence[Path]
    repeated: int

    def __str__(self) -> str:
        """What it holds besides images, in words; empty if nothing."""
        files = f"{_counted(len(self.others), 'file')} left out: {_kinds(self.others)}"
        links = f"{_counted(self.repeated, 'link')} not followed, to folders that are read already"
        return "; ".join([files] * bool(self.others) + [links] * bool(self.repeated))

    @property
    def left_out(self) -> str:
        """The same with the folder's name; empty if nothing is left out."""
        return f"{self.folder}: {self}" if str(self) else ""


def look_into(folder: Path) -> Contents:
    """All images in a folder and below it, links followed.

    A folder that is met again, as in a loop of links, is not read again. Names that begin with a dot do not count, nor
    do the folders that systems make, such as ``__MACOSX``.

    Raises:
        BadInput: something cannot be read: a folder, a link that leads nowhere, or images of a format that is not read.
    """
    files, repeated = _walk(folder)
    images = sorted(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)
    others = sorted(set(files) - set(images))
    _check_files(folder, [*images, *filter(os.path.islink, others)])
    if strange := [file for file in others if _may_be_image(file)]:
        what = f"{_counted(len(strange), 'image')} of formats that are not read ({_kinds(strange)})"
        raise BadInput(f"{folder} holds {what}: convert to PNG, or take out of the folder")
    return Contents(folder, images, others, repeated)


def _walk(folder: Path) -> tuple[list[Path], int]:
    """All files that count, and how many folders were met again."""
    files: list[Path] = []
    seen: set[tuple[int, int]] = set()
    repeated = 0
    waiting = [folder]
    for start in waiting:  # which grows: what lies behind links comes after what does not
        for top, folders, names in os.walk(start, onerror=_refuse):
            identity = _identity(top)
            below = [Path(top, name) for name in sorted(folders) if _counts(name)]
            folders.clear()
            if identity in seen:
                repeated += 1
                continue
            seen.add(identity)
            waiting += [each for each in below if os.path.islink(each)]
            folders += [each.name for each in below if not os.path.islink(each)]
            files += [Path(top, name) for name in names if _counts(name)]
    return files, repeated


def _counts(name: str) -> bool:
    return not name.startswith(".") and name not in _OF_SYSTEMS


def _identity(folder: str) -> tuple[int, int]:
    try:
        status = os.stat(folder)
    except OSError as error:
        _refuse(error)
    return status.st_dev, status.st_ino


def _refuse(error: OSError) -> NoReturn:
    raise BadInput(f"cannot read the folder {error.filename}: {error.strerror or error}") from error


def _check_files(folder: Path, files: Iterable[Path]) -> None:
    """Whether all of them are files. (What a link that leads nowhere has led to, nobody knows.)"""
    bad = [(file, trouble) for file in files if (trouble := _trouble(file))]
    if bad:
        more = f" (and {len(bad) - 1} more in {folder})" if len(bad) > 1 else ""
        raise BadInput(f"{bad[0][0]} cannot be read: {bad[0][1]}{more}")


def _trouble(file: Path) -> str:
    """Why this is no file; empty if it is one."""
    try:
        return "" if stat.S_ISREG(file.stat().st_mode) else "it is no file"
    except OSError as error:
        nowhere = isinstance(error, FileNotFoundError)
        return "it is a link that leads nowhere" if nowhere else error.strerror or str(error)


def _may_be_image(file: Path) -> bool:
    """By its suffix, or by how it begins."""
    suffix = file.suffix.lower()
    if suffix in _STRANGE_SUFFIXES or (suffix in Image.registered_extensions() and suffix not in _NO_IMAGES):
        return True
    if _trouble(file):
        return False
    try:
        with file.open("rb") as stream:
            head = stream.read(12)
    except OSError:
        return False
    return head.startswith(_BEGINNINGS) or head[8:12] == b"WEBP" or (head[4:8] == b"ftyp" and head[8:] in _BRANDS)


def _kinds(files: Sequence[Path]) -> str:
    """How many files there are of each suffix, the most frequent first."""
    counts = Counter(file.suffix.lower() or "without suffix" for file in files)
    return ", ".join(f"{suffix} {count:,}" for suffix, count in counts.most_common())


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
