"""How Sphinx builds the manual: ``tox -e docs``, or ``sphinx-build -W docs build/docs``."""

from __future__ import annotations

import pkgutil
import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx

import coldbench

project = "coldbench"
author = "The coldbench maintainers"
version = release = coldbench.__version__
html_title = f"coldbench {release}"
html_theme = "furo"
html_show_copyright = False
html_show_sphinx = False

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# Links to a heading are written as GitHub understands them: page.md#the-heading.
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
# The notebook is shown with the outputs that it was stored with; tests/test_notebook.py executes it.
nb_execution_mode = "off"

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False

# Every name must be known, but for those of other libraries, whose manuals are not at hand, and type variables.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(abc|collections|datetime|enum|numpy|os|pandas|pathlib|PIL|threading|torch|torch_fidelity)\..*"),
    ("py:class", r"Figure|Module|Path|Store|Tensor|float64|(dict|tuple)\[.*"),
    ("py:(class|obj)", r"(coldbench\..*\.)?[A-Z]"),
]

#: Where the pages of the modules are written; git ignores it.
GENERATED = Path(__file__).parent / "generated"


def write_module_pages(app: Sphinx) -> None:
    """One page for each room of the package, with the documentation of all of its modules."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    GENERATED.mkdir()
    for room in pkgutil.iter_modules(coldbench.__path__, "coldbench."):
        if room.name not in ("coldbench.cli", "coldbench.__main__"):
            path = Path(coldbench.__file__).parent / room.name.removeprefix("coldbench.")
            modules = [room.name, *(each.name for each in pkgutil.walk_packages([str(path)], f"{room.name}."))]
            page = [room.name, "=" * len(room.name), ""]
            for module in modules:
                heading = [module, "-" * len(module), ""] if module != room.name else []
                page += [*heading, f".. automodule:: {module}", "   :members:", "   :show-inheritance:", ""]
            (GENERATED / f"{room.name}.rst").write_text("\n".join(page), encoding="utf-8")


def take_as_prose(app: Sphinx, what: str, name: str, it: object, options: object, lines: list[str]) -> None:
    """Keep napoleon from taking ``#: Such: comments`` for type and description; it looks at the first line alone."""
    if what in ("attribute", "data", "property") and lines and ": " in lines[0]:
        lines[:1] = [each + end for each, end in zip(lines[0].split(": ", 1), (":", ""), strict=True)]


def skip_counted_fields(app: Sphinx, what: str, name: str, it: object, skip: bool, options: object) -> bool | None:
    """Leave out what Python itself says of the fields of a named tuple; its docstring says more."""
    return True if (getattr(it, "__doc__", None) or "").startswith("Alias for field number") else None


def follow_links_out(app: Sphinx, page: str, source: list[str]) -> None:
    """Links that leave docs/: a file becomes a download, and a folder, which no manual holds, its name alone.

    That they lead somewhere is for tests/test_links.py to see.
    """

    def followed(link: re.Match[str]) -> str:
        text, path = link["text"], link["path"]
        target = (Path(app.env.doc2path(page)).parent / path).resolve()
        return f"[{text}](path:{path})" if target.is_file() else text

    source[0] = re.sub(r"(?<!!)\[(?P<text>[^]]*)\]\((?P<path>(?:\.\./)+[^)#]*)(?:#[^)]*)?\)", followed, source[0])


def setup(app: Sphinx) -> None:
    """Connect what this file adds to Sphinx."""
    app.connect("builder-inited", write_module_pages)
    app.connect("autodoc-process-docstring", take_as_prose, priority=100)
    app.connect("autodoc-skip-member", skip_counted_fields)
    app.connect("source-read", follow_links_out)
