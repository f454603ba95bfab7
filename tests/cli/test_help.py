"""The help: no line overflows a terminal of 80 columns, no summary is cut, and commands stand in the order of use."""

from __future__ import annotations

import re

import pytest

from coldbench.cli import main
from coldbench.cli.sections import COMMANDS
from tests.helpers import coldbench

FIRST = ["run", "compare", "evaluate", "score", "restore", "check", "diff", "show", "report", "fetch", "train"]
FIRST += ["import", "list"]


def help_of(command: str) -> list[str]:
    return coldbench(*([command] if command else []), "--help").stdout.splitlines()


@pytest.mark.parametrize("columns", ["80", "200"])
@pytest.mark.parametrize("command", ["", *main.commands])
def test_no_line_of_any_help_is_longer_than_80_columns(
    command: str, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = help_of(command)
    assert len(lines) > 10
    assert [line for line in lines if len(line) > 80] == []


def test_every_command_has_a_summary_that_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = "\n".join(help_of(""))
    summaries = dict(re.findall(r"^  ([a-z]+) +([A-Z].*)$", text[text.index("Options:") :], flags=re.MULTILINE))
    assert set(summaries) == set(main.commands)
    for name, summary in summaries.items():
        assert not summary.endswith("..."), name
        assert summary.endswith("."), name
        assert f"  {summary}" in help_of(name), "the summary is the first sentence of the command's own help"


def test_commands_stand_in_the_order_of_their_use() -> None:
    lines = help_of("")
    listed = [found[1] for line in lines if (found := re.match(r"  ([a-z]+)  +[A-Z]", line))]
    assert listed[: len(set(FIRST) & set(main.commands))] == [name for name in FIRST if name in main.commands]
    assert listed == [name for names in COMMANDS.values() for name in names if name in main.commands]
    assert [line for line in lines if line.rstrip(":") in COMMANDS] == [f"{heading}:" for heading in COMMANDS]


@pytest.mark.parametrize("command", list(main.commands))
def test_every_option_is_explained_by_a_sentence(command: str) -> None:
    for parameter in main.commands[command].params:
        told = getattr(parameter, "help", None)
        if told is not None:
            sentence = told.partition("  [default")[0]
            assert re.match(r"[A-Za-z]", sentence), parameter.name
            assert sentence.endswith("."), parameter.name
