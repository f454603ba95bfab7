"""Records as other programs take them: grouped into runs, with names that all of these programs allow."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coldbench.core.errors import BadInput
from coldbench.core.files import short_digest
from coldbench.core.provenance import RANDOM_WEIGHTS
from coldbench.records.record import Record

#: Those that are parameters of a run.
_CONDITIONS = ("device", "dtype", "batch_size", "processes", "versions", "revision")


@dataclass(frozen=True)
class Run:
    """All numbers of one model, used in one way on one task.

    Attributes:
        name: of a file or folder: checkpoint, method, and a digest of what makes these numbers other numbers.
        records: measured ones, one a metric.
    """

    name: str
    records: list[Record]

    @property
    def first(self) -> Record:
        """Any record, for what all of them have in common."""
        return self.records[0]

    def metrics(self) -> dict[str, float]:
        """Name -> number, with the ends of its 95 % interval as ``NAME/low`` and ``NAME/high`` where there is one.

        ``FD[mnist-cnn]`` is called ``FD/mnist-cnn``, since not every program allows brackets in names.
        """
        found = {}
        for record in self.records:
            assert record.value is not None
            name = plain_label(record)
            found[name] = record.value
            if record.interval:
                found |= {f"{name}/low": record.interval[0], f"{name}/high": record.interval[1]}
        return found

    def parameters(self) -> dict[str, str | int]:
        """Name -> value of all that makes these numbers, and of how they were computed; nested names have a dot."""
        record = self.first
        identity = {name: value for name, value in dataclasses.asdict(record.identity).items() if value is not None}
        identity.pop("features_sha256", None)  # of one metric, not of the run
        conditions = {name: getattr(record.conditions, name) for name in _CONDITIONS}
        return _flat({"method": record.where.method, **identity, **conditions})


def runs_of(records: Sequence[Record]) -> list[Run]:
    """The measured records in groups; those of random weights, which mean nothing, are left out.

    Raises:
        BadInput: nothing was measured, or two records give one number two values.
    """
    groups: dict[str, dict[str, Record]] = {}
    for record in records:
        if record.measured and record.identity.checkpoint_sha256 != RANDOM_WEIGHTS:
            known = groups.setdefault(_name(record), {}).setdefault(record.metric.label, record)
            if known.value != record.value:
                what = f"{record.where.method} {record.metric.label} of {record.identity.checkpoint}"
                raise BadInput(f"two values of {what}, {known.value} and {record.value}: export one file at a time")
    if not groups:
        raise BadInput("nothing to export: no record was measured with weights that mean something")
    return [Run(name, list(found.values())) for name, found in groups.items()]


def plain_label(record: Record) -> str:
    """A metric's label of letters, digits and ``_-./`` alone."""
    return re.sub(r"[^\w\-./]+", "/", record.metric.label, flags=re.ASCII).strip("/")


def slug(text: str) -> str:
    """Text as part of the name of a file: letters, digits, dots and ``_-`` alone."""
    return re.sub(r"[^\w.\-]+", "-", text, flags=re.ASCII).strip("-.")


def _name(record: Record) -> str:
    identity = dataclasses.asdict(record.identity) | {"features_sha256": None}
    digest = short_digest(json.dumps([identity, record.conditions.dtype], sort_keys=True))
    return f"{slug(record.identity.checkpoint)}-{slug(record.where.method)}-{digest}"


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for key, value in values.items():
        name = f"{prefix}{slug(key)}"
        if isinstance(value, dict):
            found |= _flat(value, f"{name}.")
        else:
            found[name] = value if isinstance(value, int) else str(value)
    return found
