"""The command line as a subprocess, and images as tensors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from torch import Tensor

from coldbench.images import ImageSource
from coldbench.pixels import decode
from coldbench.transforms import TRANSFORMS


def coldbench(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "coldbench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def interruptible(*arguments: str) -> list[str]:
    """The command line as one that heeds Ctrl-C: started in the background of a shell, it would ignore it."""
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    return [sys.executable, "-c", f"{heed}; from coldbench.cli import entry_point; entry_point()", *arguments]


def assert_one_clear_line(done: subprocess.CompletedProcess[str], code: int, message: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert done.stdout == ""


def loaded(source: ImageSource, image_size: int = 32, channels: int = 3, transform: str = "native") -> Tensor:
    """All images of a source, uint8 (N, C, S, S)."""
    pixels = decode(source, transform=TRANSFORMS[transform], image_size=image_size, channels=channels)
    return pixels.batch(range(source.count))
