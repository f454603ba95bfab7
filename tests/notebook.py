"""docs/notebook.ipynb is stored with its outputs: ``python -m tests.notebook`` executes it anew, in place."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

PATH = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def stored() -> NotebookNode:
    """The notebook as it is in the repository."""
    return nbformat.read(PATH, as_version=4)


def executed() -> NotebookNode:
    """The notebook with the outputs of today's code and weights.

    Raises:
        CellExecutionError: a cell fails.
    """
    notebook = stored()
    NotebookClient(notebook, timeout=600, record_timing=False, resources={"metadata": {"path": PATH.parent}}).execute()
    notebook.metadata.pop("language_info", None)  # the version of Python, which means nothing here
    return notebook


def main() -> None:
    """Execute it in place."""
    nbformat.write(executed(), PATH)


if __name__ == "__main__":
    main()
