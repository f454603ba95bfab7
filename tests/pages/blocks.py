"""The blocks of the pages: what a command fills, and what a reader may type."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

from tests.helpers import coldbench

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_FILLED = re.compile(r"(<!-- filled by: (?P<command>[^\n]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_CONSOLE = re.compile(r"(?P<needs><!-- needs: [^\n]+ -->\n)?^```console\n(?P<lines>.*?)^```", re.DOTALL | re.MULTILINE)


def commands_that_fill(text: str) -> list[str]:
    """The commands that print the filled parts of a page."""
    return [match["command"] for match in _FILLED.finditer(text)]


def filled(text: str) -> str:
    """A page with every part between two comments as its command prints it now."""
    return _FILLED.sub(lambda match: f"{match[1]}\n{printed_by(match['command'])}\n\n{match[3]}", text)


def printed_by(command: str) -> str:
    """What a command prints in the root of the repository: ``coldbench ...``, or a passage of ``tests.pages``."""
    program, *words = shlex.split(command)
    if program == "coldbench":
        done = coldbench(*words, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
    assert program == "python", command
    option, module, name = words
    assert option == "-m", command
    return str(importlib.import_module(module).PASSAGES[name]()).strip()


def typed_commands(text: str, *, needs: bool = True) -> list[str]:
    """The commands of a page's console blocks, without the prompt and without comments.

    Args:
        text: of the page.
        needs: also those of blocks that need more than what ships.
    """
    blocks = [match["lines"] for match in _CONSOLE.finditer(text) if needs or not match["needs"]]
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [re.split(r" {2,}#", line.removeprefix("$ "))[0].strip() for line in lines if line.startswith("$ ")]
