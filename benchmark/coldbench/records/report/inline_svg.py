"""Plots of matplotlib's as SVG that stands in the middle of an HTML page, in the colours of that page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from coldbench.core.errors import printable

if TYPE_CHECKING:  # matplotlib is an extra
    from matplotlib.figure import Figure

#: Letters stay letters, a dollar is no formula, and ids are the same from one time to the next.
_STYLE: Any = {"svg.hashsalt": "coldbench", "svg.fonttype": "none", "text.parse_math": False, "font.size": 9.5}
#: What matplotlib draws in unless told otherwise -> what the page has for it, in the light as in the dark.
_COLOURS = {"#000000": "currentColor", "#ffffff": "var(--page)", "#b0b0b0": "var(--line)", "#cccccc": "var(--line)"}
#: Parts that a page has no use for: what programs say of themselves, and styles that would hold for all of the page.
_NEEDLESS = ("metadata", "style")


def draw_inline(draw: Callable[[], Figure], prefix: str, alt: str) -> str:
    """A plot as an ``svg`` element.

    Args:
        draw: makes it.
        prefix: of its ids, so that no two plots of a page share one.
        alt: what is told to those who do not see it.
    """
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # It lacks the letters of some languages, and needs them for the width of a label alone: browsers have them.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        draw().savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    # XML knows no control characters, which names of files and models may have.
    svg = ElementTree.fromstring("\n".join(map(printable, stream.getvalue().split("\n"))))
    _strip(svg, prefix)
    for name in ("width", "height"):
        svg.attrib.pop(name, None)
    svg.attrib |= {"role": "img", "aria-label": alt, "class": "plot"}
    return ElementTree.tostring(svg, encoding="unicode", short_empty_elements=False)


def _strip(element: ElementTree.Element, prefix: str) -> None:
    """Take names out of their namespaces, which HTML knows by itself, and give ids and colours those of the page."""
    element.tag = _local(element.tag)
    element.attrib = {_local(name): _renamed(value, _local(name), prefix) for name, value in element.attrib.items()}
    for child in list(element):
        if _local(child.tag) in _NEEDLESS:
            element.remove(child)
        else:
            _strip(child, prefix)


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _renamed(value: str, name: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href":
        return value.replace("#", f"#{prefix}-", 1)
    value = re.sub(r"url\(#", f"url(#{prefix}-", value)
    return re.sub("|".join(_COLOURS), lambda found: _COLOURS[found[0]], value)
