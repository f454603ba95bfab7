"""Print docs/bad-input.md: what happens with bad input, from the list that the tests run."""

from __future__ import annotations

import re
from pathlib import Path

from tests.bad_input.case import all_cases

PAGE = Path(__file__).parents[2] / "docs" / "bad-input.md"
_HEAD = """# Bad input

What coldbench says to input that it cannot use: one line on stderr, never a traceback, and an exit code. The codes are
0 (done), 1 (a check failed), 2 (bad usage or bad input), 3 (something needed is missing), 70 (a defect) and 130
(interrupted).

`tests/bad_input` runs all of these cases, and this page is made from them:
`python -m tests.bad_input > docs/bad-input.md`. Three dots stand for what varies.

stdout is for results: whatever plug-ins and libraries print goes to stderr. If the reader of stdout has gone, as `head`
does when it has seen enough, that is no error, and the exit code is that of the command. If stdout is full, the exit
code is 2, and the records have been written. A stderr that is closed, full or a broken pipe changes nothing.
"""


def page() -> str:
    """The page in Markdown."""
    parts = [_HEAD]
    for title, cases in all_cases().items():
        rows = [f"| {case.name} | {case.code} | {readable(case.message)} |" for case in cases]
        parts.append("\n".join([f"## {title}", "", "| Input | Exit code | Message |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def readable(message: str) -> str:
    """A regular expression of a message as the words that it stands for, with ``...`` for what may vary."""
    plain = re.sub(r"(?<!\\)[\^$]", "", message)
    plain = re.sub(r"(?:\\[dwS][+*]?|(?<!\\)\.[*+]\??)+", "...", plain)
    return re.sub(r"\\(.)", r"\1", plain).strip().replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    print(page(), end="")
