"""Records of schema 4, and of earlier ones turned into its layout, as records of schema 5.

Up to schema 4 the arithmetic of the network was always the one that was asked for. Since schema 5 ``--dtype auto`` may
choose it, and what it found is stored with the number; and differences of a comparison may have p-values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def completed(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The record of schema 5 that says what this one said: without a trial or p-values, unless it has some already.

    Raises:
        KeyError, TypeError: it is none.
    """
    differences = [{"sign_test": None, "wilcoxon": None, **each} for each in cell["differences"]]
    return {**cell, "conditions": {"trial": [], **cell["conditions"]}, "differences": differences}
