"""What a number was computed with: versions, revision, and a digest of the code."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
from functools import cache

from coldbench import __version__
from coldbench.core.files import sha256_of
from coldbench.core.paths import PACKAGE
from coldbench.core.progress import tell

#: Stands for the hash of weights that nobody trained.
RANDOM_WEIGHTS = "random"
#: The libraries that numbers depend on.
_LIBRARIES = ("torch", "torchvision", "torch-fidelity", "scikit-image", "numpy", "scipy", "pillow")


@cache
def versions() -> dict[str, str]:
    """The versions of coldbench, of Python and of the libraries that numbers depend on."""
    return {
        "coldbench": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


@cache
def code_digest() -> str:
    """SHA-256 of the package's own code: a state may only be continued by the code that began it."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


@cache
def revision() -> str:
    """``git describe`` of the package's own checkout, with a ``-dirty`` flag; empty outside of one."""
    tracked = _git("ls-files", "--error-unmatch", "__init__.py")
    return _git("describe", "--always", "--dirty", "--abbrev=12") if tracked else ""


def _git(*arguments: str) -> str:
    """What git says in the package's folder; empty where it fails, or is absent. That it refuses is told."""
    command, plain = ["git", "-C", str(PACKAGE), *arguments], {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
    except OSError:
        return ""
    refused = re.search(r"dubious ownership in repository at '(.+)'", done.stderr)
    if refused:
        tell(
            f"warning: records name no revision, since somebody else owns {refused[1]}: "
            f"git config --global --add safe.directory '{refused[1]}'"
        )
    return done.stdout.strip() if done.returncode == 0 else ""
