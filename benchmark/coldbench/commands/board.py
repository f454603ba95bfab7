"""``coldbench board``: folders of records as one ranked table a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coldbench.core.progress import tell
from coldbench.records.board import board
from coldbench.records.board_formats import render_board
from coldbench.records.folder import read_records


def rank_folders(paths: Sequence[Path], *, metric: str | None = None, style: str = "markdown") -> str:
    """The records of folders and files, ranked; what was left out, and what disagrees, is told on stderr.

    Args:
        paths: folders of records, or single files.
        metric: to sort by; see ``coldbench.records.board.board``.
        style: one of ``records.BOARD_FORMATS``.

    Raises:
        BadInput: damaged records, nothing to rank, or no such metric.
        Missing: a folder without records.
    """
    ranked = board({str(path): read_records(path) for path in paths}, metric)
    for remark in ranked.remarks:
        tell(f"warning: {remark}")
    return render_board(ranked.tasks, style)
