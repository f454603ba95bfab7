"""The names of methods that take fewer steps than there are: ``NAME@n`` takes n of them."""

from __future__ import annotations

import re


def with_steps(method: str, steps: int) -> str:
    """The name of a method that takes so many steps."""
    return f"{method}@{steps}"


def split_steps(name: str) -> tuple[str, int | None]:
    """The method of such a name, and its number of steps; the whole name and None, where it says none."""
    found = re.fullmatch(r"(.+)@([1-9][0-9]{0,8})", name)
    return (found[1], int(found[2])) if found else (name, None)
