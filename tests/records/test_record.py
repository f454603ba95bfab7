"""Records: what is written is what is read, and nothing else is read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import jsonschema
import pytest

from coldbench.core.errors import BadInput
from coldbench.records import record as module
from coldbench.records.record import Difference, Record, as_row, load, save, to_json
from coldbench.records.trials import Trial

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads(Path(module.__file__).with_name("record.schema.json").read_text(encoding="utf-8"))
#: Comparisons that are still of the layout of schema 2's time are left out until they are measured anew.
STORED = [
    path for path in sorted((ROOT / "results").rglob("*.json")) if path.parent.name not in ("compare", "performance")
]


def full(records: list[Record]) -> Record:
    """A record of which every part is there."""
    record = next(each for each in records if each.interval and each.published)
    difference = Difference("other", 0.25, (0.125, 0.5), True, "this is better")
    trial = Trial("bfloat16", 64, 0.5, {"SSIM": 1e-5}, "SSIM moves by more than 1e-06")
    conditions = dataclasses.replace(record.conditions, trial=(trial,))
    return dataclasses.replace(record, differences=(difference,), warning="few images", conditions=conditions)


def as_object(record: Record) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(to_json([record]))[0]
    return loaded


def valid(content: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(content))


def readable(content: Any, folder: Path) -> bool:
    """Whether ``load`` takes it; what it refuses, it refuses in one line that names the file."""
    path = folder / "a.json"
    path.write_text(json.dumps(content))
    try:
        load(path)
    except BadInput as error:
        reason = str(error)
    else:
        return True
    assert reason.startswith(f"{path} does not hold records of schema 5: ")
    assert len(reason.splitlines()) == 1
    return False


#: A place in a record: the keys and indices that lead there.
Place = tuple[str | int, ...]


def fields_of(cls: type[Any], place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every field of a record, those of its parts among them, and what it is declared to be."""
    for name, hint in get_type_hints(cls).items():
        yield (*place, name), hint
        kinds = [kind for kind in (get_args(hint) if isinstance(hint, UnionType) else (hint,)) if kind is not NoneType]
        if dataclasses.is_dataclass(kinds[0]):
            yield from fields_of(kinds[0], (*place, name))  # type: ignore[arg-type]
    if cls is Record:
        yield from fields_of(Difference, ("differences", 0))
        yield from fields_of(Trial, ("conditions", "trial", 0))


FIELDS = dict(fields_of(Record))
#: Of each type, values of others.
WRONG: dict[Any, tuple[Any, ...]] = {
    str: (3, True, ["x"], {}),
    float: ("1", True, [1.0], {}),
    int: ("1", True, 1.5, [1]),
    bool: (1, "true", None),
    dict: ([], "x", 3),
    tuple: ({}, "12", 3),
}


def wrong_values(hint: Any) -> list[Any]:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kind = next(each for each in kinds if each is not NoneType)
    plain = dict if dataclasses.is_dataclass(kind) else get_origin(kind) or kind
    return [*WRONG[plain], *([] if NoneType in kinds else [None])]


def test_every_kind_of_field_is_looked_at() -> None:
    assert len(FIELDS) == 66
    assert ("identity", "degradation") in FIELDS
    assert ("differences", 0, "interval") in FIELDS


def test_what_was_written_is_what_is_read(records: list[Record], tmp_path: Path) -> None:
    written = [*records, full(records)]
    save(written, tmp_path / "a.json")
    assert load(tmp_path / "a.json") == written
    assert to_json(load(tmp_path / "a.json")) == (tmp_path / "a.json").read_text()


@pytest.mark.parametrize("place", FIELDS, ids=lambda place: ".".join(map(str, place)))
def test_each_field_is_held_to_its_type(place: Place, records: list[Record], tmp_path: Path) -> None:
    """By the reader and by the schema alike; and none may be absent."""
    good = as_object(full(records))
    assert readable([good], tmp_path)
    assert valid([good])
    for value in wrong_values(FIELDS[place]):
        content = as_object(full(records))
        holder: Any = content
        for part in place[:-1]:
            holder = holder[part]
        holder[place[-1]] = value
        assert not readable([content], tmp_path), value
        assert not valid([content]), value
        assert not valid(content), value
        del holder[place[-1]]
        assert not readable([content], tmp_path)
        assert not valid([content])


@pytest.mark.parametrize(
    "place",
    [
        (),
        ("where",),
        ("metric",),
        ("identity",),
        ("conditions",),
        ("cost",),
        ("published",),
        ("differences", 0),
        ("conditions", "trial", 0),
    ],
)
def test_a_field_too_many_is_refused(place: Place, records: list[Record], tmp_path: Path) -> None:
    content = as_object(full(records))
    holder: Any = content
    for part in place:
        holder = holder[part]
    holder["extra"] = 1
    assert not readable([content], tmp_path)
    assert not valid([content])


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("status",), "gone"),
        (("status",), "missing"),
        (("value",), None),
        (("metric", "better"), "bigger"),
        (("metric", "tolerances"), {"float32 cpu": "wide"}),
        (("metric", "tolerances"), {}),
        (("conditions", "versions"), {"torch": 2}),
        (("interval",), [1.0]),
        (("interval",), [1.0, 2.0, 3.0]),
        (("interval",), [1.0, "2"]),
        (("differences",), [3]),
        (("conditions", "trial"), ["bfloat16"]),
        (("conditions", "trial", 0, "deviations"), {"SSIM": "small"}),
        (("schema_version",), 99),
        (("schema_version",), 1),
    ],
)
def test_values_that_no_record_has_are_refused(
    place: Place, value: object, records: list[Record], tmp_path: Path
) -> None:
    content = as_object(full(records))
    holder: Any = content
    for part in place[:-1]:
        holder = holder[part]
    holder[place[-1]] = value
    assert not readable([content], tmp_path)
    assert not valid([content])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_numbers_that_are_none_are_refused(value: float, records: list[Record], tmp_path: Path) -> None:
    assert not readable([as_object(full(records)) | {"value": value}], tmp_path)


def test_an_arithmetic_without_a_tolerance_is_refused(records: list[Record], tmp_path: Path) -> None:
    content = as_object(full(records))
    content["conditions"]["dtype"] = "float8"
    assert not readable([content], tmp_path)


@pytest.mark.parametrize("text", ["", "damaged", "3", '{"a": 1}', "[3]", '[{"value": 1}]', "[" * 100_000])
def test_files_of_something_else_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BadInput, match=r"a\.json does not hold records of schema 5"):
        load(tmp_path / "a.json")


def test_a_whole_number_serves_as_a_float(records: list[Record], tmp_path: Path) -> None:
    content = as_object(full(records)) | {"value": 1}
    assert readable([content], tmp_path)
    assert valid([content])


@pytest.mark.parametrize("path", STORED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_stored_record_is_one_by_the_schema(path: Path) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(path.read_text(encoding="utf-8")))
    assert load(path)


def test_stored_records_are_there() -> None:
    assert len(STORED) >= 14


def test_the_schema_is_one_and_has_exactly_the_fields_of_the_records() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    classes: dict[str, Any] = {"record": Record, "difference": Difference, "trial": Trial}
    for name, hint in get_type_hints(Record).items():
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        if dataclasses.is_dataclass(kinds[0]):
            classes[name] = kinds[0]
    assert SCHEMA["$defs"].keys() == classes.keys()
    for name, cls in classes.items():
        definition = SCHEMA["$defs"][name]
        assert definition["title"] == cls.__name__
        assert list(definition["properties"]) == [each.name for each in dataclasses.fields(cls)]
        assert definition["required"] == list(definition["properties"])
        assert definition["additionalProperties"] is False


def test_a_record_as_a_row_is_flat(records: list[Record]) -> None:
    row = as_row(full(records))
    assert not [key for key, value in row.items() if isinstance(value, dict | list | tuple)]
    record = full(records)
    assert (row["metric"], row["label"], row["value"]) == (record.metric.name, record.metric.label, record.value)
    assert (row["low"], row["high"]) == record.interval
    assert row["trial"] == "bfloat16 0.5 s, SSIM 1.0e-05 (refused: SSIM moves by more than 1e-06)"
    assert row["degradation"] == "name superres, image_size 32, timesteps 3, mode area"


def test_nothing_is_saved_that_cannot_be_read_again(records: list[Record], tmp_path: Path) -> None:
    broken = replace(records[-1], metric=replace(records[-1].metric, better="up"))
    with pytest.raises(BadInput, match="is not written"):
        save([broken], tmp_path / "table-3.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value"), [("settings", []), ("table", 3), ("dataset", 5), ("degradation", "blur"), ("command", 1)]
)
def test_a_request_that_nothing_can_be_measured_by_is_refused(
    name: str, value: object, records: list[Record], tmp_path: Path
) -> None:
    broken = replace(records[0], request={**records[0].request, name: value})
    (tmp_path / "table-3.json").write_text(to_json([broken]))
    with pytest.raises(BadInput, match=f"{name} of its request"):
        load(tmp_path / "table-3.json")
