"""docs/architecture.md and its picture are what the code is."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.architecture import PAGE, PICTURE, drawn_arrows, page, picture
from tests.layout import arrows, rooms

MEND = "docs/architecture.* are not what the code is: python -m tests.architecture"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), MEND


def test_the_picture_is_up_to_date() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture(), MEND


def test_the_picture_has_every_room_and_no_other() -> None:
    texts = [each.text for each in ElementTree.fromstring(picture()).iter("{http://www.w3.org/2000/svg}text")]
    assert sorted(texts) == rooms()


def test_what_is_not_drawn_can_be_walked() -> None:
    """The drawn arrows lead, one after the other, wherever an arrow leads."""
    drawn = drawn_arrows()
    reached = set(drawn)
    while more := {(a, d) for a, b in reached for c, d in drawn if b == c} - reached:
        reached |= more
    assert reached >= arrows()
    assert set(drawn) < arrows()
