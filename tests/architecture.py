"""The page and the picture of the architecture, out of the code itself.

``python -m tests.architecture`` writes docs/architecture.md and docs/architecture.svg.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

from tests.layout import PACKAGE, ROOT, arrows, floors

PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "architecture.svg"

#: Sizes in the picture, in pixels.
WIDTH, FLOOR, BOX_WIDTH, BOX_HEIGHT = 640, 84, 132, 40

_HEAD = """# Architecture

The code of coldbench is a house of {rooms} rooms on {floors} floors. A room is a package or a module at the top of
`benchmark/coldbench`. An arrow is an import, and every arrow points down: never up, never to a neighbour on the same
floor, never in a circle. import-linter reads the floors from `pyproject.toml`, and fails where an arrow points
elsewhere.

This page and its picture are made of the code: `python -m tests.architecture`.

![The rooms of coldbench, floor by floor, and the arrows between them](architecture.svg)

The picture leaves out an arrow where a way through other rooms leads to the same place. The table has all of them.

| Floor | Room | What it is for | Imports |
|---|---|---|---|
"""


def page() -> str:
    """The page in Markdown."""
    levels = floors()
    rooms = [(number, room) for number, floor in enumerate(levels, start=1) for room in floor]
    head = _HEAD.format(rooms=len(rooms), floors=len(levels))
    order, found, lines = [room for _, room in rooms], arrows(), []
    for number, room in rooms:
        targets = sorted((b for a, b in found if a == room), key=order.index)
        imported = ", ".join(f"`{target}`" for target in targets) or "nothing"
        lines.append(f"| {number} | `{room}` | {purpose(path_of(room))} | {imported} |")
    return head + "\n".join([*lines, "", *(line for _, room in rooms for line in _contents(room))])


def _contents(room: str) -> list[str]:
    """The section of a room: its modules, each with what it is for; none where the room is a module itself."""
    path = path_of(room)
    if path.name != "__init__.py":
        return []
    modules = sorted(each for each in path.parent.rglob("*.py") if each.name != "__init__.py")
    rows = [f"| `{each.relative_to(path.parent).as_posix()}` | {purpose(each)} |" for each in modules]
    return [f"## `{room}`", "", "| Module | What it is for |", "|---|---|", *rows, ""]


def path_of(room: str) -> Path:
    """The file whose docstring speaks for a room."""
    package = PACKAGE / room / "__init__.py"
    return package if package.exists() else PACKAGE / f"{room}.py"


def purpose(path: Path) -> str:
    """The first sentence or line of a module's docstring, fit for a cell of a table."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split()).rstrip(":")
    return escape(paragraph, quote=False).replace("|", "\\|").replace("``", "`")


def drawn_arrows() -> list[tuple[str, str]]:
    """The arrows without those that a way through other rooms makes needless."""
    found = arrows()
    below = {a: {b for c, b in found if c == a} for a, _ in found}

    def reached(room: str) -> set[str]:
        return below.get(room, set()).union(*(reached(each) for each in below.get(room, ())))

    return sorted((a, b) for a, b in found if not any(b in reached(other) for other in below[a] - {b}))


def picture() -> str:
    """The picture as SVG, with colours for light and for dark surroundings."""
    levels = floors()
    places = {
        room: (WIDTH * (i + 1) / (len(floor) + 1), FLOOR * number + FLOOR / 2)
        for number, floor in enumerate(levels)
        for i, room in enumerate(floor)
    }
    height = FLOOR * len(levels)
    told = f"The {len(places)} rooms of coldbench on {len(levels)} floors, with the imports between them"
    shapes = [_arrow(*places[a], *places[b]) for a, b in drawn_arrows()]
    shapes += [_box(room, x, y) for room, (x, y) in places.items()]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{told}">',
            "<style>",
            "rect { fill: #eef3fa; stroke: #4a6fa5; } text { fill: #1c2733; font: 15px ui-monospace, monospace; }",
            "path { fill: none; stroke: #7b8794; stroke-width: 1.5; marker-end: url(#head); }",
            "#head path { fill: #7b8794; stroke: none; marker-end: none; }",
            "@media (prefers-color-scheme: dark) {",
            "rect { fill: #22303f; stroke: #8fb3e0; } text { fill: #e6edf5; } }",
            "</style>",
            '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">',
            '<path d="M0 0 8 4 0 8z"/></marker>',
            *shapes,
            "</svg>\n",
        ]
    )


def _box(room: str, x: float, y: float) -> str:
    corner = f'x="{x - BOX_WIDTH / 2:g}" y="{y - BOX_HEIGHT / 2:g}"'
    return (
        f'<rect {corner} width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>'
        f'<text x="{x:g}" y="{y + 5:g}" text-anchor="middle">{room}</text>'
    )


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """From the bottom of a box to the top of one on the next floor; to a floor below that, around the outside."""
    if to_y - y <= FLOOR:
        return f'<path d="M{x:g} {y + BOX_HEIGHT / 2:g}L{to_x:g} {to_y - BOX_HEIGHT / 2:g}"/>'
    outwards = -1 if min(x, to_x) < WIDTH / 2 else 1
    side, to_side = x + outwards * BOX_WIDTH / 2, to_x + outwards * BOX_WIDTH / 2
    bend = outwards * max(outwards * side, outwards * to_side) + outwards * BOX_WIDTH / 2
    return f'<path d="M{side:g} {y:g}C{bend:g} {y:g} {bend:g} {to_y:g} {to_side:g} {to_y:g}"/>'


def main() -> None:
    """Write both."""
    PAGE.write_text(page(), encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    main()
