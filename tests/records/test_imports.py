"""Records are read, compared and shown at once: nothing of this waits for torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "benchmark" / "coldbench"
QUICK = Path(__file__).parents[2] / "results" / "reference" / "quick"
HEAVY = ("torch", "torchvision", "torch_fidelity", "scipy", "skimage")


def leaves_out_torch(program: str) -> None:
    check = f"import sys\nassert not [each for each in {HEAVY} if each in sys.modules], 'imported'"
    subprocess.run([sys.executable, "-c", f"{program}\n{check}"], check=True, capture_output=True)


@pytest.mark.parametrize("room", ["records", "cli", "tables"])
def test_every_module_of_these_rooms(room: str) -> None:
    modules = sorted(path.stem for path in (PACKAGE / room).glob("*.py"))
    assert len(modules) > 1
    names = [f"coldbench.{room}" if name == "__init__" else f"coldbench.{room}.{name}" for name in modules]
    leaves_out_torch("\n".join(f"import {name}" for name in names))


@pytest.mark.parametrize("command", ["'diff', path, path", "'show', path", "'--help'", "'run', '--help'"])
def test_commands_that_only_read(command: str) -> None:
    path = str(QUICK / "table-3.json")
    leaves_out_torch(
        f"from coldbench.cli import main; path = {path!r}\n"
        f"try: main([{command}], standalone_mode=False)\nexcept SystemExit: pass"
    )


def test_a_full_stdout_is_told_in_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "coldbench", "show", str(QUICK / "table-3.json")],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, "coldbench: cannot write to stdout: No space left on device\n")
