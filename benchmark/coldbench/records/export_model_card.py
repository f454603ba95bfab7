"""Evaluation results of a model card, in the format of the Hugging Face Hub: ``.eval_results/*.yaml``.

The format is specified at https://huggingface.co/docs/hub/eval-results: a list of entries with ``dataset.id``,
``dataset.task_id`` and ``value``, and optional ``notes``, which here hold all that makes the number that number.
``date`` is left out, as records hold none: the Hub then takes the commit's. There is no ``verifyToken``, which only the
Hub's own jobs can give.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coldbench.core.errors import BadInput
from coldbench.core.files import write_text
from coldbench.records.export import Run, plain_label, slug
from coldbench.records.record import Record

#: The folder that the Hub reads, in a model's repository.
FOLDER = ".eval_results"
#: coldbench's name of a data set -> its id on the Hub.
HUB_DATASETS = {"mnist": "ylecun/mnist", "cifar10": "uoft-cs/cifar10"}


def write_model_cards(runs: Sequence[Run], folder: Path, hub_dataset: str | None = None) -> list[Path]:
    """Write one file a run into ``folder/CHECKPOINT/.eval_results``; that folder is the top of a model's repository.

    Runs of no network, such as the degraded images, are no results of a model, and are left out.

    Args:
        runs: to write.
        folder: made if need be; a file of the same run is replaced.
        hub_dataset: ``OWNER/NAME`` on the Hub of the images; that of the data set unless given.

    Returns:
        The files.

    Raises:
        BadInput: no run is of a model, no id is known for the images, or it is none; or a folder cannot be written.
    """
    if hub_dataset is not None and not re.fullmatch(r"[\w.\-]+/[\w.\-]+", hub_dataset):
        raise BadInput(f"'{hub_dataset}' is no id of a data set on the Hugging Face Hub, such as ylecun/mnist")
    of_models = [run for run in runs if run.first.identity.checkpoint_sha256]
    if not of_models:
        raise BadInput("nothing for a model card: no record is of a checkpoint whose weights are known")
    contents = {
        folder / slug(run.first.identity.checkpoint) / FOLDER / f"{run.name}.yaml": _yaml(run, hub_dataset)
        for run in of_models
    }
    for path, text in contents.items():
        write_text(path, text)
    return list(contents)


def _yaml(run: Run, hub_dataset: str | None) -> str:
    import yaml

    dataset = hub_dataset or _hub_dataset(run.first)
    entries = [_entry(record, dataset) for record in run.records]
    return str(yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=120))


def _entry(record: Record, dataset: str) -> dict[str, Any]:
    identity = record.identity
    task = "generation" if identity.start else identity.degradation["name"]
    return {
        "dataset": {"id": dataset, "task_id": slug(f"{task}-{plain_label(record)}".replace("/", "-")).lower()},
        "value": record.value,
        "notes": _notes(record),
    }


def _hub_dataset(record: Record) -> str:
    """The id of the images, where they are a data set's own.

    Raises:
        BadInput: they are not, or it is none that has one.
    """
    request = record.request
    own = not request.get("data") and not request.get("reference_statistics")
    known = HUB_DATASETS.get(str(request.get("dataset"))) if own else None
    if known is None:
        raise BadInput(f"no id of {record.identity.data} on the Hugging Face Hub is known: give it with --hub-dataset")
    return known


def _notes(record: Record) -> str:
    """The method, the interval, and all that makes it another number."""
    identity, conditions = record.identity, record.conditions
    settings = ", ".join(f"{key} {value}" for key, value in identity.degradation.items() if key != "name")
    version = conditions.versions.get("coldbench", "unknown")
    interval = (
        f"95 % interval {record.interval[0]:.6g} to {record.interval[1]:.6g}" if record.interval else "no interval"
    )
    return "; ".join(
        filter(
            None,
            (
                f"{record.where.method} {record.metric.label}, {record.metric.better} is better, {interval}",
                f"{identity.images} images, seed {identity.seed}, protocol {identity.protocol}, "
                f"transform {identity.transform}, data sha256 {str(identity.data_sha256)[:12]}",
                f"{identity.degradation['name']} ({settings})",
                f"start {identity.start['name']}" if identity.start else "",
                f"weights sha256 {str(identity.checkpoint_sha256)[:12]}",
                f"{conditions.dtype} on {conditions.device}, coldbench {version}",
                record.warning,
            ),
        )
    )
