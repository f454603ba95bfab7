"""Records as runs of MLflow, in its SQLite store: one file, and no server.

MLflow's older store, a folder of text files, is in maintenance since its version 3, which refuses it unless told.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coldbench.core.errors import BadInput, foreign
from coldbench.core.extras import require
from coldbench.core.paths import exists, is_file
from coldbench.records.export import Run

STORE, EXPERIMENT = "mlflow.db", "coldbench"
_PACKAGES = ("mlflow", "sqlalchemy", "alembic")
#: The tag by which a run is found again.
_TAG = "coldbench.run"


def write_runs(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Add runs to the experiment ``coldbench`` of ``folder/mlflow.db``; those that are there already are left alone.

    Args:
        runs: to write.
        folder: made if need be.

    Returns:
        The store.

    Raises:
        Missing: MLflow, or what its store needs, is not installed.
        BadInput: the store cannot be written, or is none.
    """
    require("MLflow's store needs", *_PACKAGES, extra="tracking")
    path = folder / STORE
    _check_writable(path)
    with foreign(f"MLflow, on {path},"):
        client = _client(path)
        experiment = _experiment(client, folder)
        for run in runs:
            _log(client, experiment, run)
    return [path]


def _check_writable(path: Path) -> None:
    """Whether MLflow, which would tell it in many lines, can write there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from error
    if not os.access(path.parent, os.W_OK) or (exists(path) and not (is_file(path) and os.access(path, os.W_OK))):
        raise BadInput(f"cannot write {path}: give another --output")


def _client(path: Path) -> Any:
    """MLflow's client of a store, which sends nothing to anybody and tells only what is wrong."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):  # the import has set levels of its own
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=f"sqlite:///{path.resolve()}")


def _experiment(client: Any, folder: Path) -> str:
    known = client.get_experiment_by_name(EXPERIMENT)
    artifacts = (folder.resolve() / "artifacts").as_uri()
    return str(known.experiment_id if known else client.create_experiment(EXPERIMENT, artifact_location=artifacts))


def _log(client: Any, experiment: str, run: Run) -> None:
    """Write one run, unless it is there and came to its end."""
    from mlflow.entities import Metric, Param

    if client.search_runs([experiment], f"tags.`{_TAG}` = '{run.name}' and status = 'FINISHED'", max_results=1):
        return
    created = client.create_run(experiment, run_name=run.name, tags={_TAG: run.name}).info
    metrics = [Metric(name, value, created.start_time, 0) for name, value in run.metrics().items()]
    parameters = [Param(name, str(value)) for name, value in run.parameters().items()]
    client.log_batch(created.run_id, metrics=metrics, params=parameters)
    client.set_terminated(created.run_id)
