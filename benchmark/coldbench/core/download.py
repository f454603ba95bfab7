"""The only code that downloads, but for models of the hub, which the hub's own library gets.

What an interrupted download has received is kept, and the same command resumes it.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import locked
from coldbench.core.paths import exists
from coldbench.core.progress import tell

_CHUNK = 1 << 18
#: Seconds without a byte before a connection counts as broken.
_PATIENCE = 30
#: Seconds before every address is tried once more; begun anew by whatever brings bytes.
_WAITS = (1.0, 2.0, 4.0)
#: What ends a transfer, and not the machine's own disk.
_LOST = (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, TimeoutError, ConnectionError)


@dataclass(frozen=True)
class Download:
    """A file on the net.

    Attributes:
        urls: where from; several serve the same file.
        path: where to.
        algorithm: of its checksum, as ``hashlib`` calls it.
        checksum: its first hexadecimal digits, or all of them.
    """

    urls: tuple[str, ...]
    path: Path
    algorithm: str
    checksum: str

    @property
    def part(self) -> Path:
        """What has been received so far."""
        return self.path.with_name(f"{self.path.name}.part")


def download(item: Download, *, quiet: bool = False) -> None:
    """Get a file, unless it is there; an earlier attempt is resumed from ``PATH.part``.

    Its addresses are tried in turn, and again after a growing wait, while any of them may still answer. Of several
    processes that want the same file, one gets it, and the others wait.

    Raises:
        Missing: no address answers, or the connection is lost; what came stays in ``PATH.part``.
        BadInput: what came is not what was expected, or cannot be written.
    """
    lock = item.path.with_name(f"{item.path.name}.lock")
    try:
        with locked(lock, f"another command is getting {item.path.name}: waiting for it"):
            if not (exists(item.path) and _is_right(item.path, item)):
                _get(item, quiet=quiet)
    except OSError as error:
        raise BadInput(f"cannot write {item.path}: {error.strerror or error}") from error


def _get(item: Download, *, quiet: bool) -> None:
    """Try the addresses until the file is there, whole."""
    hopeful, lost, wrong = list(item.urls), dict[str, str](), ""
    waits = list(_WAITS)
    while True:
        for url in tuple(hopeful):
            before = _received(item)
            try:
                _transfer(url, item, quiet=quiet)
            except _LOST as error:
                lost[url] = str(getattr(error, "reason", None) or error)
                if not _may_pass(error):
                    hopeful.remove(url)
                if _received(item) > before:
                    waits = list(_WAITS)
                continue
            if _is_right(item.part, item):
                item.part.replace(item.path)
                return
            item.part.unlink()
            wrong = url
            if not before:  # what it went on with may have been another's
                hopeful.remove(url)
        if not hopeful or not waits:
            raise _failure(item, lost, wrong)
        if not quiet:
            tell(f"{item.path.name} is not here yet: trying once more in {waits[0]:g} s")
        time.sleep(waits.pop(0))


def _received(item: Download) -> int:
    """How many bytes there are of the file."""
    return item.part.stat().st_size if exists(item.part) else 0


def _may_pass(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, urllib.error.HTTPError):
        busy = (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS)
        return error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR or error.code in busy
    reason = getattr(error, "reason", error)
    unknown = isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME
    return not (unknown or isinstance(reason, ssl.SSLCertVerificationError))


def _failure(item: Download, lost: Mapping[str, str], wrong: str) -> BadInput | Missing:
    """Why the file is not there."""
    if not lost:
        return BadInput(f"{wrong} is not the file expected (its {item.algorithm} is another): try once more")
    size = _received(item)
    kept = f"; {size:,} bytes are kept, and the same command resumes the download" if size else ""
    reasons = [f"{url} ({reason})" for url, reason in lost.items()]
    return Missing(f"{item.path.name} could not be downloaded from {', nor from '.join(reasons)}{kept}")


def _transfer(url: str, item: Download, *, quiet: bool) -> None:
    have = _received(item)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is left to get: the checksum will tell whether it is right
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # this server cannot go on, and begins again
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdecimal() else None
        with (
            item.part.open("ab" if have else "wb") as stream,
            tqdm(total=total, initial=have, desc=item.path.name, unit="B", unit_scale=True, disable=quiet) as bar,
        ):
            while chunk := response.read1(_CHUNK):
                stream.write(chunk)
                bar.update(len(chunk))
    if total is not None and _received(item) < total:
        raise ConnectionError("the connection broke off")


def _is_right(path: Path, item: Download) -> bool:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, item.algorithm).hexdigest().startswith(item.checksum)
