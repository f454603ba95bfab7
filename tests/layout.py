"""The numbers of the layout: rooms, floors, arrows and the lengths of functions.

``python -m tests.layout`` prints them; ``tests/test_layout.py`` holds them to their limits.
"""

from __future__ import annotations

import ast
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "benchmark" / "coldbench"


def floors() -> list[list[str]]:
    """The rooms of each floor, from the top down, as the contract of import-linter has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = [each for each in settings["tool"]["importlinter"]["contracts"] if each["type"] == "layers"]
    return [[room.strip() for room in floor.split("|")] for floor in layers["layers"]]


def rooms() -> list[str]:
    """The packages and modules at the top of coldbench, but for those that only name things."""
    found = [path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    return sorted(set(found) - {"__init__", "__main__"})


def arrows() -> set[tuple[str, str]]:
    """Which room imports which, at any depth of a module, but for imports that only type checkers follow."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for target in _imports(ast.parse(path.read_text(encoding="utf-8"))):
            found.add((room, target))
    return {(a, b) for a, b in found if a != b and a in rooms() and b in rooms()}


def _imports(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.ImportFrom) and child.module and child.module.startswith("coldbench"):
            module = child.module.split(".")
            yield from [module[1]] if len(module) > 1 else [alias.name for alias in child.names]
        yield from _imports(child)


def upward() -> set[tuple[str, str]]:
    """The arrows that point up, or to a room on the same floor."""
    level = {room: number for number, floor in enumerate(floors()) for room in floor}
    return {(a, b) for a, b in arrows() if level[a] >= level[b]}


def function_lengths() -> dict[str, int]:
    """Function -> its lines, from the first line of its signature to the last of its body."""
    lengths = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}"
                lengths[name] = (node.end_lineno or node.lineno) - node.lineno + 1
    return lengths


def main() -> None:
    """Print the numbers."""
    lengths = sorted(function_lengths().values())
    print(f"rooms at the top of the package: {len(rooms())}")
    print(f"floors: {len(floors())}")
    print(f"arrows between rooms: {len(arrows())}, of which up or sideways: {len(upward())}")
    print(
        f"functions: {len(lengths)}; lines: median {statistics.median(lengths):.0f}, "
        f"nine tenths have at most {lengths[len(lengths) * 9 // 10]}, the longest {lengths[-1]}"
    )


if __name__ == "__main__":
    main()
