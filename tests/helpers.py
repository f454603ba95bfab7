"""The command line, as whoever types it sees it, and images as tensors."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from unittest import mock

from torch import Tensor

from coldbench.cli import entry_point
from coldbench.data.decoding import decode
from coldbench.data.sources import ImageSource
from coldbench.data.transforms import TRANSFORMS


def coldbench(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A command and its outcome, without the seconds that a process of its own would spend on importing torch."""
    command = ["coldbench", *map(str, arguments)]
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", command),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        contextlib.chdir(cwd or Path.cwd()),
    ):
        try:
            entry_point()
        except SystemExit as left:
            code = int(left.code or 0)
    return subprocess.CompletedProcess(command, code, stdout.getvalue(), stderr.getvalue())


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
