"""``coldbench export``: records for other programs, as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from coldbench.core.errors import BadInput
from coldbench.records.export import Run, runs_of
from coldbench.records.export_mlflow import write_runs
from coldbench.records.export_model_card import write_model_cards
from coldbench.records.export_tensorboard import write_events
from coldbench.records.folder import read_records

MODEL_CARD = "model-card"
#: Program -> what writes runs into a folder for it, and returns the files.
EXPORTERS: dict[str, Callable[[Sequence[Run], Path], list[Path]]] = {
    MODEL_CARD: write_model_cards,
    "mlflow": write_runs,
    "tensorboard": write_events,
}


def export(paths: Sequence[Path], to: str, output: Path, *, hub_dataset: str | None = None) -> list[Path]:
    """Write the measured records of files and folders for another program.

    Args:
        paths: of records.
        to: one of ``EXPORTERS``.
        output: the folder that receives the files.
        hub_dataset: for a model card, the id of the images on the Hugging Face Hub; see ``write_model_cards``.

    Returns:
        The files.

    Raises:
        BadInput: damaged records, nothing to export, or a folder that cannot be written.
        Missing: a folder without records, or a package that the program's files need.
    """
    if hub_dataset is not None and to != MODEL_CARD:
        raise BadInput(f"--hub-dataset is for --to {MODEL_CARD}: leave it out")
    write = partial(write_model_cards, hub_dataset=hub_dataset) if hub_dataset is not None else EXPORTERS[to]
    return write(runs_of([record for path in paths for record in read_records(path)]), output)
