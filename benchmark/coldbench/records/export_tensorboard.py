"""Records as event files of TensorBoard: scalars at step 0, and what makes them as hyperparameters."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from coldbench.core.extras import require
from coldbench.core.files import write_atomically
from coldbench.records.export import Run

#: TensorBoard takes a file for events by this word in its name.
EVENTS = "events.out.tfevents.coldbench"


def write_events(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write one event file a run, into a folder of its name; TensorBoard keeps numbers as float32.

    Args:
        runs: to write.
        folder: made if need be; the file of the same run is replaced.

    Returns:
        The files.

    Raises:
        Missing: tensorboard is not installed.
        BadInput: the folder cannot be written.
    """
    require("TensorBoard's event files need", "tensorboard", extra="tracking")
    contents = {folder / run.name / EVENTS: _events(run) for run in runs}
    for path, events in contents.items():
        write_atomically(path, partial(_write, events=events))
    return list(contents)


def _events(run: Run) -> list[Any]:
    """The messages of a run, as the format has them: its version, its hyperparameters, its scalars."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    now = time.time()
    scalars = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in run.metrics().items()])
    return [
        Event(wall_time=now, file_version="brain.Event:2"),
        Event(wall_time=now, summary=_hyperparameters(run, now)),
        Event(wall_time=now, step=0, summary=scalars),
    ]


def _hyperparameters(run: Run, now: float) -> Any:
    """The summary that the tab HParams reads; TensorBoard's own function for it needs TensorFlow."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    start = SessionStartInfo(start_time_secs=now)
    for name, value in run.parameters().items():
        setattr(start.hparams[name], "string_value" if isinstance(value, str) else "number_value", value)
    what = metadata.create_summary_metadata(HParamsPluginData(session_start_info=start))
    return Summary(
        value=[Summary.Value(tag=metadata.SESSION_START_INFO_TAG, metadata=what, tensor=metadata.NULL_TENSOR)]
    )


def _write(path: Path, events: Sequence[Any]) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    with path.open("wb") as stream:
        writer = RecordWriter(stream)
        for event in events:
            writer.write(event.SerializeToString())
