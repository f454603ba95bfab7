"""``coldbench fetch``: the only code that downloads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from sys import stderr
from urllib.error import URLError

from coldbench.errors import Missing


def fetch_mnist(root: Path) -> str:
    """The MNIST training and test images, checked against torchvision's checksums."""
    from torchvision.datasets import MNIST

    return _download("MNIST", root, lambda: MNIST(str(root), download=True))


def fetch_cifar10(root: Path) -> str:
    """CIFAR-10, checked against torchvision's checksums."""
    from torchvision.datasets import CIFAR10

    return _download("CIFAR-10", root, lambda: CIFAR10(str(root), download=True))


def fetch_inception(root: Path) -> str:
    """The Inception weights of torch-fidelity, to torch's hub folder, checked against the hash in their name."""
    from torch.hub import download_url_to_file
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    from coldbench.metrics.features import INCEPTION_SHA256, inception_weights

    path = inception_weights()

    def download() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=INCEPTION_SHA256)

    return _download("Inception", path, download)


FETCH: dict[str, Callable[[Path], str]] = {
    "mnist": fetch_mnist,
    "cifar10": fetch_cifar10,
    "inception": fetch_inception,
}


def _download(name: str, target: Path, download: Callable[[], object]) -> str:
    try:
        with redirect_stdout(stderr):
            download()
    except (URLError, OSError, RuntimeError) as error:
        raise Missing(f"{name} could not be downloaded to {target}: {str(error).splitlines()[0]}") from error
    return f"{name} is in {target}"
