"""Tables as LaTeX: a complete ``table`` with caption, label and notes; it needs the packages booktabs and adjustbox."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pandas as pd

#: What is printed where a cell has nothing.
_ABSENT = "--"
#: What a backslash does not escape in LaTeX, and what not every font has.
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"\ensuremath{\pm}",
    "†": r"\textdagger{}",
}
#: A number, perhaps with what belongs to it: a sign before it, and an interval or marks of notes behind it.
_NUMBER = re.compile(r"(?:< )?[+-]?\d[\d,.]*(?:e[+-]?\d+)?(?: (?:±|to) [+-]?\d[\d,.]*)?[*†]*")


def print_latex(frame: pd.DataFrame, title: str, notes: Sequence[str], absent: str) -> str:
    """A frame whose first two columns are names, as a table to be included.

    Columns without anything in them are left out. A column of measured numbers and one of those that are printed
    elsewhere, ``NAME`` and ``NAME (source)``, have a heading in common. Numbers are aligned at their decimals: they
    stand at the right, and marks of notes take no room.

    Args:
        frame: of text.
        title: of the table; LaTeX itself writes ``Table N:``.
        notes: below the table.
        absent: a cell that has nothing.
    """
    names = list(frame.columns[:2])
    kept = [name for name in frame.columns if name in names or any(cell not in (absent, "") for cell in frame[name])]
    frame = frame[kept].replace({absent: _ABSENT, "": _ABSENT})
    alignment = "".join(_side(frame[name]) for name in kept)
    found = re.match(r"Table ([^:]+): ", title)
    caption, label = (title[found.end() :], f"table {found[1]}") if found else (title, title)
    lines = [
        f"% {title}",
        r"% \usepackage{booktabs,adjustbox}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escaped(caption)}}}",
        rf"  \label{{tab:{re.sub(r'[^a-z0-9]+', '-', label.lower()).strip('-')}}}",
        r"  \begin{adjustbox}{max width=\linewidth}",
        rf"    \begin{{tabular}}{{{alignment}}}",
        r"      \toprule",
        *(f"      {line}" for line in _heading(kept)),
        r"      \midrule",
        *(f"      {line}" for line in _body(frame)),
        r"      \bottomrule",
        r"    \end{tabular}",
        r"  \end{adjustbox}",
        *_below(notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    return re.sub(r"[&%$#_{}\\^~<>|±†]", lambda each: _SPECIAL.get(each[0], f"\\{each[0]}"), text)


def _side(cells: pd.Series) -> str:
    """Where a column is aligned: numbers at the right."""
    return "r" if all(cell == _ABSENT or _NUMBER.fullmatch(cell) for cell in cells) else "l"


def _heading(columns: Sequence[str]) -> list[str]:
    """One line; or two, where numbers are measured and printed elsewhere."""
    groups: list[list[str]] = []
    for name in columns:
        if groups and name.startswith(f"{groups[-1][0]} (") and name.endswith(")"):
            groups[-1].append(name[len(groups[-1][0]) + 2 : -1])
        else:
            groups.append([name])
    if all(len(group) == 1 for group in groups):
        return [_line(escaped(name) for name in columns)]
    upper, rules, lower, first = [], [], [], 1
    for name, *sources in groups:
        last = first + len(sources)
        upper.append(rf"\multicolumn{{{1 + len(sources)}}}{{c}}{{{escaped(name)}}}" if sources else "")
        rules.append(rf"\cmidrule(lr){{{first}-{last}}}" if sources else "")
        lower += ["ours" if sources else escaped(name), *map(escaped, sources)]
        first = last + 1
    return [_line(upper), "".join(rules), _line(lower)]


def _body(frame: pd.DataFrame) -> Iterator[str]:
    """The lines; a little space between those of one name and those of the next, where names repeat."""
    rows = list(frame.itertuples(index=False, name=None))
    first = [row[0] for row in rows]
    apart = len(set(first)) < len(first)
    for row, following in pairwise([*rows, None]):
        yield _line(_cell(cell) for cell in row)
        if apart and following is not None and following[0] != row[0]:
            yield r"\addlinespace"


def _line(cells: Sequence[str] | Iterator[str]) -> str:
    line = " & ".join(cells) + r" \\"
    return f"{{}}{line}" if line.startswith(("[", "*")) else line  # else the line before it would take that for its own


def _cell(text: str) -> str:
    """A cell; of a number, the sign is a minus, and the marks of notes do not move it."""
    if not _NUMBER.fullmatch(text):
        return text if text == _ABSENT else escaped(text)
    number = text.rstrip("*†")
    marks = text[len(number) :].replace("*", r"\ast").replace("†", r"\dagger")
    signed = re.sub(r"(?<![\d])([+-])(?=\d)", r"$\1$", escaped(number))
    return signed + (rf"\rlap{{$^{{{marks}}}$}}" if marks else "")


def _below(notes: Sequence[str]) -> list[str]:
    """The notes, each a paragraph."""
    if not notes:
        return []
    return [
        r"  \par\medskip",
        r"  \begin{minipage}{\linewidth}",
        r"    \footnotesize\raggedright",
        *(f"    {escaped(note)}\\par" for note in notes),
        r"  \end{minipage}",
    ]
