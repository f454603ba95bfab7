"""A page of HTML as a reader's browser takes it: its elements, its words, and whether it needs anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

#: Elements that have no end.
_VOID = ("meta", "img", "br", "link", "input", "hr", "base", "source", "wbr")


@dataclass
class Element:
    """One element, with what is in it in order."""

    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()

    @property
    def text(self) -> str:
        """All words in it, each run of white space as one space."""
        return " ".join("".join(self._parts()).split())

    def _parts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield from child._parts()

    def all(self, tag: str = "", of_class: str = "") -> list[Element]:
        """The elements in it of one kind, or of one class."""
        inner = [child for child in self.children if isinstance(child, Element)]
        own = [each for each in inner if tag in ("", each.tag) and (not of_class or of_class in each.classes)]
        return own + [deeper for each in inner for deeper in each.all(tag, of_class)]


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len({name for name, _ in attrs}), f"{tag} has an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(text: str) -> Element:
    """The page; fails where elements are not closed in their turn."""
    tree = _Tree()
    tree.feed(text)
    tree.close()
    assert tree.open == [tree.root]
    return tree.root


def assert_stands_alone(text: str) -> None:
    """Nothing is fetched, nothing runs, and every link leads to a place on the page."""
    page = parse(text)
    elements = page.all()
    ids = [each.attributes["id"] for each in elements if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    tags = {each.tag for each in elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "audio", "video", "foreignobject"}
    for each in elements:
        for name, value in each.attributes.items():
            assert not name.startswith("on"), f"{each.tag} {name}"
            if name in ("href", "xlink:href"):
                assert value.startswith("#"), value
                assert value[1:] in ids, value
            if name in ("src", "srcset"):
                assert value.startswith("data:image/"), value[:40]
            assert all(found in ids for found in re.findall(r"url\(#([^)]*)\)", value)), value
    (style,) = page.all("style")
    assert "url(" not in style.text
    assert "@import" not in style.text
