"""How each data set is fetched: downloaded where that is allowed, explained where a licence must be agreed to."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path

from coldbench.core.download import Download, download
from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import locked


def fetch_mnist(root: Path, *, quiet: bool = False) -> str:
    """The MNIST training and test images, where torchvision looks for them."""
    from torchvision.datasets import MNIST

    for name, md5 in MNIST.resources:
        urls = tuple(f"{mirror}{name}" for mirror in MNIST.mirrors)
        download(Download(urls, root / "MNIST" / "raw" / name, "md5", md5), quiet=quiet)
    return f"MNIST is in {root / 'MNIST'}"


def fetch_cifar10(root: Path, *, quiet: bool = False) -> str:
    """CIFAR-10, unpacked where torchvision looks for it."""
    from torchvision.datasets import CIFAR10

    target = root / CIFAR10.base_folder
    with locked(root / f"{CIFAR10.base_folder}.lock", "another command is getting CIFAR-10: waiting for it"):
        try:
            CIFAR10(str(root))
        except RuntimeError:
            archive = Download((CIFAR10.url,), root / CIFAR10.filename, "md5", CIFAR10.tgz_md5)
            download(archive, quiet=quiet)
            _unpack(archive.path, target)
    return f"CIFAR-10 is in {target}"


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


def _unpack(archive: Path, target: Path) -> None:
    """Unpack the folder ``target.name`` of a .tar.gz beside it, then put it in its place, and drop the archive."""
    begun = f".{target.name}-"
    try:
        for left in target.parent.glob(f"{begun}*"):  # by a command that was killed
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=begun) as scratch:
            with tarfile.open(archive) as bundle:
                bundle.extractall(scratch, filter="data")
            shutil.rmtree(target, ignore_errors=True)
            (Path(scratch) / target.name).rename(target)
        archive.unlink()
    except (OSError, tarfile.TarError) as error:
        raise BadInput(f"cannot unpack {archive}: {error}") from error
