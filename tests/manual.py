"""The code blocks of README and manual: what each must be, and what it takes to run it.

A page is run from top to bottom in a folder of its own, which is empty at first:

- ``python`` is executed; the blocks of a page share their names.
- ``console`` has commands after ``$``, which are executed one after the other. A command must succeed, or leave with
  the exit code that ``# exit 2`` behind it says.
- ``toml`` and ``json`` must parse; ``text`` and ``yaml`` are only shown, but what coldbench is asked for in a line of
  them, or between the words of the page, must exist as well.
- ``<!-- file: NAME -->`` before a block writes it to that file instead.
- ``<!-- needs: WHAT -->`` before a block says what is absent here. It is only looked at: commands must exist with the
  options that they are given, and code must parse.

Any other block is an error, so that nothing escapes. What measures takes 16 images, or 50 under the released protocol.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
from markdown_it import MarkdownIt
from markdown_it.token import Token

from coldbench.cli import main
from tests.helpers import coldbench

ROOT = Path(__file__).parents[1]
LANGUAGES = ("console", "json", "python", "text", "toml", "yaml")
#: Directives of MyST that hold no code of ours, and those whose body is Markdown, which is looked at as well.
DIRECTIVES = ("{eval-rst}", "{figure}", "{image}", "{toctree}")
ADMONITIONS = ("{admonition}", "{caution}", "{important}", "{note}", "{tip}", "{warning}")
#: What comments in a page may be; the last two belong to the parts that commands fill.
COMMENT = re.compile(r"<!-- (?:(needs|file): (\S.*?)|filled by: .*?|end) -->")
IMAGES = 16
#: The released protocol computes features in batches of 50.
RELEASED_IMAGES = 50
#: What tells the shell more than words.
SHELL = re.compile(r"[|<>;&$`*~]|^\w+=")


class PageError(AssertionError):
    """A page is not what it must be; the message begins with the page and the line."""


@dataclass(frozen=True)
class Block:
    """A block of code in a page.

    Attributes:
        where: page and line, for messages.
        language: in ``LANGUAGES``.
        text: of the block.
        needs: what is absent here; empty where nothing is.
        file: that it is to be written to; empty where it is to be run.
    """

    where: str
    language: str
    text: str
    needs: str = ""
    file: str = ""


def pages() -> list[Path]:
    """README and every page of the manual that is written by hand or by us."""
    written = [path for path in (ROOT / "docs").rglob("*.md") if "generated" not in path.parts]
    return [ROOT / "README.md", *sorted(written)]


def blocks(text: str, name: str, first_line: int = 1) -> Iterator[Block]:
    """The blocks of a page, in order.

    Args:
        text: the page in Markdown.
        name: of the page, for messages.
        first_line: the number of the text's first line.

    Raises:
        PageError: a block of no known language, indented code, or a comment that is not understood.
    """
    said: dict[str, str] = {}
    for token in MarkdownIt("commonmark").parse(text):
        where = f"{name}:{first_line + token.map[0]}" if token.map else name
        if token.type == "inline":
            check_words(token, where)
        if token.type == "html_block":
            if re.search(r"```|~~~|<pre\b", token.content):
                raise PageError(f"{where}: code in HTML has no language")
            said |= _comments(token, where)
            continue
        if token.type == "code_block":
            raise PageError(f"{where}: indented code has no language")
        if token.type == "fence":
            yield from _fenced(token, name, where, said)
        elif said and token.level == 0:
            raise PageError(f"{where}: a comment on a block is followed by no block")
        said = {}
    if said:
        raise PageError(f"{name}: a comment on a block is followed by no block")


def _comments(token: Token, where: str) -> dict[str, str]:
    """What comments say of the next block."""
    for comment in re.findall(r"<!--.*?-->", token.content, re.DOTALL):
        if not COMMENT.fullmatch(comment):
            raise PageError(f"{where}: {comment} is not understood")
    return {what: value for what, value in COMMENT.findall(token.content) if what}


def _fenced(token: Token, name: str, where: str, said: dict[str, str]) -> Iterator[Block]:
    language = token.info.split()[0] if token.info.split() else ""
    if language in ADMONITIONS and token.map:
        yield from blocks(token.content, name, int(where.rpartition(":")[2]) + 1)
    elif language in LANGUAGES:
        yield Block(where, language, token.content, said.get("needs", ""), said.get("file", ""))
    elif language not in DIRECTIVES or "code" in token.content:
        raise PageError(f"{where}: a block of '{language}' is none of {', '.join(LANGUAGES)}")


@dataclass
class Runner:
    """Runs the blocks of one page.

    Attributes:
        folder: in which commands run and files are written.
        names: of the page's Python.
    """

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})

    def run(self, block: Block) -> None:
        """Do with a block what its language and its comments ask for.

        Raises:
            PageError: it is not what it must be.
        """
        self._parse(block)
        if block.file:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif not block.needs and block.language == "python":
            self._execute(block)
        elif not block.needs and block.language == "console":
            for command in commands(block):
                run_command(command, block.where, self.folder)

    def _parse(self, block: Block) -> None:
        try:
            if block.language == "toml":
                tomllib.loads(block.text)
            elif block.language == "json":
                json.loads(block.text)
            elif block.language == "python":
                compile(block.text, block.where, "exec")
            elif block.language == "console":
                for command in commands(block):
                    check_command(command, block.where)
            else:
                for line in re.findall(r"^(?:\$ |- run: )?((?:.* && )?coldbench .*)$", block.text, re.MULTILINE):
                    check_command(line.strip(), block.where)
        except (ValueError, SyntaxError) as error:
            raise PageError(f"{block.where}: {error}") from error

    def _execute(self, block: Block) -> None:
        try:
            exec(compile(fewer_images(block.text), block.where, "exec"), self.names)
        except Exception as error:
            raise PageError(f"{block.where}: {type(error).__name__}: {error}") from error


def commands(block: Block) -> list[str]:
    """The commands of a ``console`` block, those that go on after a backslash as one line.

    Raises:
        PageError: a line that is no command.
    """
    found = []
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
        if not line.startswith("$ "):
            raise PageError(f"{block.where}: '{line}' does not begin with '$ '; output belongs in a block of text")
        found.append(line.removeprefix("$ "))
    return found


def check_command(command: str, where: str) -> None:
    """See that whatever a line asks coldbench for exists.

    Raises:
        PageError: no such command or option, or a value that the option does not take.
    """
    for words in _parts(command):
        asked = _asked_of_coldbench(words)
        if not asked or asked[0].startswith("-"):
            continue
        name, *arguments = asked
        if name not in main.commands:
            raise PageError(f"{where}: coldbench has no command '{name}'")
        try:
            main.commands[name].make_context(name, arguments)
        except click.exceptions.Exit:
            pass
        except click.ClickException as error:
            raise PageError(f"{where}: {command}: {error.format_message()}") from error


def check_words(token: Token, where: str) -> None:
    """See that the commands and options exist that a paragraph names; what follows them may be left out there.

    Raises:
        PageError: they do not.
    """
    for child in token.children or ():
        words = child.content.split() if child.type == "code_inline" else []
        if words[:1] != ["coldbench"] or len(words) < 2 or words[1].startswith("-"):
            continue
        name, *others = words[1:]
        if name not in main.commands:
            raise PageError(f"{where}: coldbench has no command '{name}'")
        known = {"-h", "--help", *(each for parameter in main.commands[name].params for each in parameter.opts)}
        for option in (word.partition("=")[0] for word in others if word.startswith("--")):
            if option not in known:
                raise PageError(f"{where}: coldbench {name} has no option '{option}'")


def _asked_of_coldbench(words: list[str]) -> list[str]:
    """What a command gives to coldbench: itself, as a module, or in a container; nothing if it is another command."""
    if Path(words[0]).name == "coldbench":
        return words[1:]
    starts = [i + 2 for i, pair in enumerate(pairwise(words)) if pair == ("-m", "coldbench")]
    if words[:2] == ["docker", "run"]:
        starts += [i + 1 for i, word in enumerate(words) if word.startswith("coldbench")]
    return words[starts[0] :] if starts else []


def _parts(command: str) -> Iterator[list[str]]:
    """The words of each simple command of a line, without what is read and written."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word in (";", "&&", "||", "|"):
            yield from [words] if words else []
            words = []
        elif words and words[-1] in (">", ">>", "<"):
            words.pop()
        elif "=" not in word or words:
            words.append(word)


def run_command(command: str, where: str, folder: Path) -> None:
    """Run a line in a folder; coldbench alone in this process, which saves the seconds of importing torch.

    Raises:
        PageError: it leaves with another exit code than it must.
    """
    expected = int(found[1]) if (found := re.search(r"# exit (\d+)$", command)) else 0
    most = RELEASED_IMAGES if "--protocol released" in command else IMAGES
    command = re.sub(r"\s+#.*$", "", fewer_images(command, most))
    words = shlex.split(command)
    if words[0] == "coldbench" and not SHELL.search(command):
        done = coldbench(*with_few_images(words[1:], most), cwd=folder)
    else:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != expected:
        raise PageError(f"{where}: {command}: exit code {done.returncode}, not {expected}:\n{done.stderr[-2000:]}")


def with_few_images(words: list[str], most: int) -> list[str]:
    """A command that measures as many of the images that ship as it will, with few of them instead."""
    measures = bool(words) and words[0] in ("compare", "evaluate", "run", "sweep")
    own_data = any(":" in data for option, data in pairwise(words) if option == "--data")
    return [*words, "--images", str(most)] if measures and not own_data and "--images" not in words else words


def fewer_images(text: str, most: int = IMAGES) -> str:
    """A command or code with at most so many images wherever it says how many."""

    def fewer(match: re.Match[str]) -> str:
        return f"{match[1]}{min(int(match[2].replace('_', '')), most)}"

    return re.sub(r"(--images[ =]|\b(?:count|images)=)([\d_]+)\b", fewer, text)
