"""Links in README, manual and every other page lead somewhere; those that leave the repository are only looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "models", "results", "tests")
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(path for name in FOLDERS for path in (ROOT / name).rglob("*.md"))]
    if "generated" not in path.parts
)


def tokens(text: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield token
        yield from token.children or ()


def links(text: str) -> Iterator[str]:
    """The target of every link and image of a page, in HTML as well."""
    for token in tokens(text):
        if token.type in ("link_open", "image"):
            yield str(token.attrs["href" if token.type == "link_open" else "src"])
        elif token.type.startswith("html"):
            yield from re.findall(r"""\b(?:href|src|srcset)=["']([^"']*)["']""", token.content)


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings of a page, and Sphinx after it."""
    found: dict[str, int] = {}
    names = set()
    previous = ""
    for token in MarkdownIt("commonmark").parse(text):
        if previous == "heading_open":
            words = "".join(child.content for child in token.children or ())
            name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            names.add(f"{name}-{found[name]}" if name in found else name)
            found[name] = found.get(name, 0) + 1
        previous = token.type
    return names


def fault(target: str, page: Path) -> str:
    """What is wrong with a link of a page; empty if nothing is."""
    parts = urlsplit(target)
    if parts.scheme or target.startswith("//"):
        well_formed = parts.scheme == "https" and re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.hostname or "")
        return "" if well_formed and not re.search(r"\s|[.,;]$", target) else "is no https address"
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not path.is_relative_to(ROOT) or not path.exists():
        return "is not in the repository"
    if parts.fragment and unquote(parts.fragment) not in anchors(path.read_text(encoding="utf-8")):
        return "has no such heading"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    found = links(page.read_text(encoding="utf-8"))
    assert [f"{target} {wrong}" for target in found if (wrong := fault(target, page))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pictures_are_told_in_words(page: Path) -> None:
    pictures = [token for token in tokens(page.read_text(encoding="utf-8")) if token.type == "image"]
    assert [token.attrs["src"] for token in pictures if not token.content.strip()] == []


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("[a](https://arxiv.org/abs/2208.09392)", ""),
        ("[a](http://arxiv.org)", "is no https address"),
        ("<https://arxiv.org/abs/2208.09392,>", "is no https address"),
        ("[a](https://arxiv/abs)", "is no https address"),
        ("[a](nothing.md)", "is not in the repository"),
        ("![a](../../nothing.png)", "is not in the repository"),
        ('<img src="nothing.png">', "is not in the repository"),
        ("[a](../README.md)", ""),
        ("[a](../results)", ""),
        ("[a](protocol.md#21-blur)", ""),
        ("[a](protocol.md#21-blurs)", "has no such heading"),
        ("# A *heading*, `x_T`\n\n[a](#a-heading-x_t)", "has no such heading"),
    ],
)
def test_what_is_wrong_with_a_link_is_found(link: str, wrong: str) -> None:
    (target,) = links(link)
    assert fault(target, ROOT / "docs" / "architecture.md") == wrong


def test_headings_are_called_as_github_calls_them() -> None:
    page = "# A *heading*, `x_T`\n\n## 2.1 Blur\n\n# Twice\n\nWhy? [a](b)\n===\n\n# Twice\n"
    assert anchors(page) == {"a-heading-x_t", "21-blur", "twice", "twice-1", "why-a"}
