"""Records: one measured cell each, with everything needed to trust it and to have it again."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from coldbench.core.errors import BadInput
from coldbench.core.files import write_text
from coldbench.records.schema2 import upgraded
from coldbench.records.schema3 import renamed
from coldbench.records.schema4 import completed
from coldbench.records.tolerances import tolerance
from coldbench.records.trials import Trial, told

SCHEMA_VERSION = 5
MEASURED, MISSING = "measured", "missing"
#: The name of a degradation, or of a start, of images that were scored without a model.
UNKNOWN = "unknown"
#: The method of which no network is part: its number is the same whichever model's row it stands in.
DEGRADED = "degraded"
#: (table, row, method, metric, features): where a number stands.
Key = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Where:
    """Where a number stands.

    Attributes:
        table, caption: of the table; ``evaluate``, or the methods of a comparison, where there is none.
        row, title: its name, and what is printed for it.
        method: of the row.
        note: on the whole row.
    """

    table: str
    caption: str
    row: str
    title: str
    method: str
    note: str


@dataclass(frozen=True)
class MetricFacts:
    """The facts about a metric that printing and comparing its numbers need.

    Attributes:
        name, features: of the metric and its feature space, which is empty where it has none.
        label: as tables print it.
        better: ``higher`` or ``lower``.
        decimals: as tables print it.
        relative, tolerances: see ``coldbench.metrics.metric.Metric``.
    """

    name: str
    features: str
    label: str
    better: str
    decimals: int
    relative: bool
    tolerances: dict[str, float]


@dataclass(frozen=True)
class Identity:
    """Everything that makes it another number.

    Attributes:
        images: N; None where nothing was measured.
        seed: of everything drawn at random.
        protocol: its name.
        transform: of the images.
        degradation: its name and all of its settings; ``unknown`` where images were scored that others have made.
        start: of generated images: its name and what was fitted; empty where images were restored.
        checkpoint, checkpoint_sha256: the network; no hash where none took part, as in every degraded cell, or where
            it has no parameters that could be hashed, as a function of the user's. Of images that others have made:
            where they are, and their digest.
        data, data_sha256: the images restored, or those that generated ones are compared with.
        features_sha256: of the extractor's weights.
    """

    images: int | None
    seed: int
    protocol: str
    transform: str
    degradation: dict[str, Any]
    start: dict[str, Any]
    checkpoint: str
    checkpoint_sha256: str | None
    data: str
    data_sha256: str | None
    features_sha256: str | None


@dataclass(frozen=True)
class Conditions:
    """How it was computed; float32 on a CPU gives the same number under all of them, within its tolerance.

    Attributes:
        device, dtype, batch_size, processes: of the measurement.
        trial: where ``--dtype auto`` took the dtype, what it found of each arithmetic that the device has.
        float32_only: why the number means nothing in an arithmetic of fewer digits; empty where it does.
        versions, revision: of the software.
    """

    device: str
    dtype: str
    batch_size: int
    processes: int
    float32_only: str
    versions: dict[str, str]
    revision: str
    trial: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class Cost:
    """The cost of measuring the whole row: wall time, the part of it inside the network's forward, images a second."""

    seconds: float | None
    network_seconds: float | None
    images_per_second: float | None


@dataclass(frozen=True)
class Published:
    """What is printed in this cell elsewhere.

    Attributes:
        value, printed: the number, and how it is printed.
        note: what is known to be wrong with it.
        source: where it is printed.
    """

    value: float
    printed: str
    note: str
    source: str


@dataclass(frozen=True)
class Difference:
    """This number minus that of another method, in a comparison.

    Attributes:
        against: the other method.
        value, interval: the difference, and its 95 % interval; None where none can be given.
        paired: whether both methods saw the same images and noise, so that what they share has cancelled.
        verdict: which of the two is better, in words; empty where the interval does not tell.
        sign_test, wilcoxon: two-sided p-values of the differences of all images (see ``metrics.paired_tests``); None
            where images are not paired, or have no number of their own.
    """

    against: str
    value: float
    interval: tuple[float, float] | None
    paired: bool
    verdict: str
    sign_test: float | None = None
    wilcoxon: float | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """One cell, measured or missing.

    Attributes:
        where, metric, identity, conditions, cost: see there.
        status: ``measured`` or ``missing``; ``reason`` says why, and how to mend it.
        value, interval: the number, and its 95 % interval; None where missing, or where N is too small for one.
        deviation: from another implementation's number on the first 16 images; None where there is none.
        warning: what speaks against trusting the number.
        published: what the paper prints there, if it prints anything.
        differences: in a comparison, from the methods before this one.
        request: of the command that measures this number again; see ``coldbench.commands.recording.request_of``.
        schema_version: 2 for one turned into today's layout out of schema 2, which did not know all settings.
    """

    where: Where
    metric: MetricFacts
    status: str
    reason: str
    value: float | None
    interval: tuple[float, float] | None
    deviation: float | None
    warning: str
    identity: Identity
    conditions: Conditions
    cost: Cost
    published: Published | None = None
    differences: tuple[Difference, ...] = ()
    request: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def key(self) -> Key:
        """Where it stands."""
        return self.where.table, self.where.row, self.where.method, self.metric.name, self.metric.features

    @property
    def measured(self) -> bool:
        """Whether there is a number."""
        return self.status == MEASURED

    @property
    def changes(self) -> dict[str, Any]:
        """The settings and the transform that the command gave in the place of the row's."""
        transform = self.request.get("transform")
        return {**(self.request.get("settings") or {}), **({"transform": transform} if transform else {})}


def to_json(records: Sequence[Record]) -> str:
    """One array, one object a record."""
    return json.dumps([dataclasses.asdict(record) for record in records], indent=1, allow_nan=False) + "\n"


def save(records: Sequence[Record], path: Path) -> None:
    """Write the records of one table atomically.

    Raises:
        BadInput: a record that could not be read again, or a folder that cannot be written.
    """
    try:
        for record in records:
            _valid(record)
    except ValueError as error:
        raise BadInput(f"{path} is not written: {error}") from error
    write_text(path, to_json(records))


def load(path: Path | str) -> list[Record]:
    """The records that ``save`` wrote; those of schemas 2 to 4 are turned into today's.

    Raises:
        BadInput: no such file, or not of these schemas.
    """
    try:
        return [_record(spec) for spec in json.loads(Path(path).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{path} does not hold records of schema {SCHEMA_VERSION}: {reason}") from error


def _record(spec: Any) -> Record:
    """One record read from JSON; raises ValueError or TypeError if it cannot be one that ``save`` wrote."""
    version = spec.get("schema_version") if isinstance(spec, dict) else None
    if version not in (2, 3, 4, SCHEMA_VERSION):
        raise ValueError(f"one is of schema {version}")
    if version == SCHEMA_VERSION:
        return _valid(_read(Record, spec, ""))
    old = version == 2 and "where" not in spec
    record = _valid(_read(Record, completed(upgraded(spec) if old else spec), ""))
    record = renamed(record) if version < 4 else record
    return dataclasses.replace(record, schema_version=2 if version == 2 else SCHEMA_VERSION)


def _read(cls: type[Any], spec: Any, where: str) -> Any:
    """A dataclass from a JSON object with exactly its fields."""
    hints = get_type_hints(cls)
    if not isinstance(spec, dict) or spec.keys() != hints.keys():
        odd = sorted(map(str, spec.keys() ^ hints.keys())) if isinstance(spec, dict) else type(spec).__name__
        raise TypeError(f"{where or 'a record'} has other fields than it should: {odd}"[:200])
    return cls(**{name: _value(hint, spec[name], f"{where}{name}") for name, hint in hints.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    """A value read from JSON, which knows neither tuples nor dataclasses and writes whole floats as it likes."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if value is None and NoneType in kinds:
        return None
    kind = next(each for each in kinds if each is not NoneType)
    if dataclasses.is_dataclass(kind):
        return _read(kind, value, f"{where}.")  # type: ignore[arg-type]
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        inner = get_args(kind)
        return _sequence(inner, value, where)
    origin = get_origin(kind) or kind
    fits = type(value) is origin or (origin is float and type(value) is int)
    if origin is dict and fits:
        inner = get_args(kind)[1]
        fits = inner is Any or all(
            type(each) is inner or (inner is float and type(each) is int) for each in value.values()
        )
    if not fits:
        raise TypeError(f"{where} is {value!r:.40}")
    return value


def _sequence(inner: Sequence[Any], value: Sequence[Any], where: str) -> tuple[Any, ...]:
    """A tuple, of so many values or of any number of one kind."""
    kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
    if len(kinds) != len(value):
        raise TypeError(f"{where} has {len(value)} values")
    return tuple(_value(kind, each, where) for kind, each in zip(kinds, value, strict=True))


#: The parts of a request that are used to measure again, where it has them.
_REQUESTED: dict[str, type] = {
    "command": str,
    "table": str,
    "dataset": str,
    "degradation": dict,
    "row_transform": str,
    "channels": int,
    "data": str,
    "transform": str,
    "settings": dict,
    "method": str,
}


def _valid(record: Record) -> Record:
    """The record; raises ValueError if its numbers cannot be."""
    numbers = [record.value, record.deviation, *(record.interval or ()), *record.metric.tolerances.values()]
    numbers += [record.published.value] if record.published else []
    for trial in record.conditions.trial:
        numbers += [trial.network_seconds, *trial.deviations.values()]
    if not all(math.isfinite(number) for number in numbers if number is not None):
        raise ValueError("a number is not finite")
    if record.status not in (MEASURED, MISSING) or record.metric.better not in ("higher", "lower"):
        raise ValueError(f"not a record: {record.status}, {record.metric.better}")
    if (record.value is None) == record.measured:
        raise ValueError(f"a {record.status} number is {record.value}")
    if record.metric.decimals < 0:
        raise ValueError(f"decimals of {record.metric.label} are {record.metric.decimals}")
    if record.measured and not (record.identity.images or 0) >= 1:
        raise ValueError(f"a number of {record.identity.images} images")
    for name, kind in _REQUESTED.items():
        if not isinstance(record.request.get(name), kind | NoneType):
            raise ValueError(f"{name} of its request is {record.request[name]!r:.40}")
    tolerance(record)
    return record


def as_row(record: Record) -> dict[str, Any]:
    """The record as one flat line, for CSV and for pandas."""
    low, high = record.interval or (None, None)
    published = record.published
    degradation = _listed(record.identity.degradation)
    return {
        **dataclasses.asdict(record.where),
        "metric": record.metric.name,
        "features": record.metric.features,
        "label": record.metric.label,
        "value": record.value,
        "low": low,
        "high": high,
        "deviation": record.deviation,
        "warning": record.warning,
        "status": record.status,
        "reason": record.reason,
        "published": published.value if published else None,
        "published_note": published.note if published else "",
        **{**dataclasses.asdict(record.identity), "degradation": degradation, "start": _listed(record.identity.start)},
        **dataclasses.asdict(record.conditions),
        "versions": _listed(record.conditions.versions, "=", " "),
        "trial": "; ".join(map(told, record.conditions.trial)),
        **dataclasses.asdict(record.cost),
        "schema_version": record.schema_version,
    }


def _listed(settings: Mapping[str, Any], equals: str = " ", comma: str = ", ") -> str:
    return comma.join(f"{key}{equals}{value}" for key, value in settings.items())
