"""Records of schema 3, and of schema 2 turned into its layout, as records of schema 4.

Up to schema 3 a distance in torch-fidelity's ``inception-v3-compat`` was called FID and set beside the paper's, whose
features are of another arithmetic. Since schema 4 that one is ``inception-v3``, and the former carries its name.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coldbench.records.record import Record

_COMPAT, _PAPER = "inception-v3-compat", "inception-v3"


def renamed(record: Record) -> Record:
    """The record with the features that it has or lacks under their names of schema 4.

    What was measured keeps its features and its number, and loses the published one beside it; what was missing lacks
    the paper's features.
    """
    metric = record.metric
    if metric.features != _COMPAT:
        return record
    if record.measured:
        label = f"{'FD' if metric.name == 'FID' else metric.name}[{_COMPAT}]"
        return dataclasses.replace(record, metric=dataclasses.replace(metric, label=label), published=None)
    asked = record.request.get("features")
    return dataclasses.replace(
        record,
        metric=dataclasses.replace(metric, features=_PAPER),
        request=record.request | ({"features": _PAPER} if asked == _COMPAT else {}),
    )
