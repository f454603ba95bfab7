"""``coldbench fetch``: the only code that downloads. What breaks off is kept, and gone on with by the same command."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import ssl
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
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


def fetch_mnist(root: Path, *, quiet: bool = False) -> str:
    """The MNIST training and test images, where torchvision looks for them."""
    from torchvision.datasets import MNIST

    for name, md5 in MNIST.resources:
        download(Download(f"{MNIST.mirrors[0]}{name}", root / "MNIST" / "raw" / name, "md5", md5), quiet=quiet)
    return f"MNIST is in {root / 'MNIST'}"


def fetch_cifar10(root: Path, *, quiet: bool = False) -> str:
    """CIFAR-10, unpacked where torchvision looks for it."""
    from torchvision.datasets import CIFAR10

    target = root / CIFAR10.base_folder
    try:
        CIFAR10(str(root))
    except RuntimeError:
        archive = Download(CIFAR10.url, root / CIFAR10.filename, "md5", CIFAR10.tgz_md5)
        download(archive, quiet=quiet)
        _unpack(archive.path, target)
    return f"CIFAR-10 is in {target}"


def fetch_inception(root: Path, *, quiet: bool = False) -> str:
    """The Inception weights of torch-fidelity, in torch's hub folder."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    from coldbench.metrics.features import INCEPTION_SHA256, inception_weights

    path = inception_weights()
    download(Download(URL_INCEPTION_V3, path, "sha256", INCEPTION_SHA256), quiet=quiet)
    return f"the Inception weights are at {path}"


def fetch_celeba(root: Path, *, quiet: bool = False) -> str:
    """Instructions: the licence must be agreed to by hand."""
    raise Missing(
        "CelebA-HQ cannot be downloaded for you. Agree to its licence at "
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, get the 30,000 images of CelebA-HQ at 128 pixels "
        f"(https://github.com/tkarras/progressive_growing_of_gans) and put them in {root / 'celeba-hq'}"
    )


def fetch_afhq(root: Path, *, quiet: bool = False) -> str:
    """Instructions: the licence must be agreed to by hand."""
    raise Missing(
        "AFHQ cannot be downloaded for you. Agree to its licence (CC BY-NC 4.0) at "
        "https://github.com/clovaai/stargan-v2, get the first version of the data set (14,630 training images) and put "
        f"its folder 'train' in {root / 'afhq'}"
    )


FETCH: dict[str, Callable[..., str]] = {
    "mnist": fetch_mnist,
    "cifar10": fetch_cifar10,
    "inception": fetch_inception,
    "celeba": fetch_celeba,
    "afhq": fetch_afhq,
}


def download(item: Download, *, quiet: bool = False) -> None:
    """Get a file, unless it is there; go on with what an earlier attempt left in ``PATH.part``.

    Raises:
        Missing: the net does not answer, or breaks off; what came stays in ``PATH.part``.
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
        kept = f"; {part.stat().st_size:,} bytes are kept, the same command goes on from there" if part.exists() else ""
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


def _unpack(archive: Path, target: Path) -> None:
    """Unpack the folder ``target.name`` of a .tar.gz beside it, then put it in its place, and drop the archive."""
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            with tarfile.open(archive) as bundle:
                bundle.extractall(scratch, filter="data")
            shutil.rmtree(target, ignore_errors=True)
            (Path(scratch) / target.name).rename(target)
        archive.unlink()
    except (OSError, tarfile.TarError) as error:
        raise BadInput(f"cannot unpack {archive}: {error}") from error
