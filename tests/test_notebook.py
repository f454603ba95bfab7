"""The notebook runs, and the outputs that it is stored with are those of today's code and weights."""

from __future__ import annotations

import re

import pytest
from nbformat import NotebookNode

from tests.notebook import executed, stored


def outputs(notebook: NotebookNode) -> list[list[NotebookNode]]:
    """The outputs of each cell of code."""
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def kinds(notebook: NotebookNode) -> list[list[set[str]]]:
    """What each output can be shown as; none of them is a message."""
    return [[set(output.data) for output in cell] for cell in outputs(notebook)]


def numbers(notebook: NotebookNode) -> list[float]:
    """All decimals in the texts of all outputs, in order."""
    texts = [
        output.data.get("text/markdown", output.data["text/plain"]) for cell in outputs(notebook) for output in cell
    ]
    return [float(number) for text in texts for number in re.findall(r"-?\d+\.\d+", text)]


def test_the_notebook_is_stored_with_its_outputs() -> None:
    notebook = stored()
    assert sum("image/png" in kind for cell in kinds(notebook) for kind in cell) == 2
    assert len(numbers(notebook)) > 40
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"] == list(
        range(1, len(outputs(notebook)) + 1)
    )


@pytest.mark.slow
def test_the_stored_outputs_are_those_of_the_code() -> None:
    """To the third digit, since processors differ; if this fails on purpose: python -m tests.notebook."""
    before, after = stored(), executed()
    assert kinds(after) == kinds(before)
    assert numbers(after) == pytest.approx(numbers(before), rel=5e-3, abs=5e-4)
