"""The only code that downloads. What an interrupted download has received is kept, and the same command resumes it."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from coldbench.core.errors import BadInput, Missing

_CHUNK = 1 << 18
#: Seconds without a byte before a connection counts as broken.
_PATIENCE = 30


@dataclass(frozen=True)
class Download:
    """A file on the net.

    Attributes:
        url: where from.
        path: where to.
        algorithm: of its checksum, as ``hashlib`` calls it.
        checksum: its first hexadecimal digits, or all of them.
    """

    url: str
    path: Path
    algorithm: str
    checksum: str


def download(item: Download, *, quiet: bool = False) -> None:
    """Get a file, unless it is there; an earlier attempt is resumed from ``PATH.part``.

    Raises:
        Missing: the net does not answer, or the connection is lost; what came stays in ``PATH.part``.
        BadInput: what came is not what was expected, or cannot be written.
    """
    part = item.path.with_name(f"{item.path.name}.part")
    try:
        if item.path.exists() and _is_right(item.path, item):
            return
        item.path.parent.mkdir(parents=True, exist_ok=True)
        _transfer(item, part, quiet=quiet)
        if not _is_right(part, item):
            part.unlink()
            raise BadInput(f"{item.url} is not the file expected (its {item.algorithm} is another): try once more")
        part.replace(item.path)
    except (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, TimeoutError, ConnectionError) as error:
        size = part.stat().st_size if part.exists() else 0
        kept = f"; {size:,} bytes are kept, and the same command resumes the download" if size else ""
        reason = getattr(error, "reason", None) or error
        raise Missing(f"{item.path.name} could not be downloaded from {item.url} ({reason}){kept}") from error
    except OSError as error:
        raise BadInput(f"cannot write {item.path}: {error.strerror or error}") from error


def _transfer(item: Download, part: Path, *, quiet: bool) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(item.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is left to get: the checksum will tell whether it is right
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # this server cannot go on, and begins again
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with (
            part.open("ab" if have else "wb") as stream,
            tqdm(total=total, initial=have, desc=item.path.name, unit="B", unit_scale=True, disable=quiet) as bar,
        ):
            while chunk := response.read(_CHUNK):
                stream.write(chunk)
                bar.update(len(chunk))
    if total is not None and part.stat().st_size < total:
        raise ConnectionError("the connection broke off")


def _is_right(path: Path, item: Download) -> bool:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, item.algorithm).hexdigest().startswith(item.checksum)
