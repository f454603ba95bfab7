"""Records of schema 4: they say nothing of trials, and say everything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coldbench.core.errors import BadInput
from coldbench.records.record import Record, load, save, to_json
from coldbench.records.trials import Trial


def earlier(record: Record, version: int) -> dict[str, Any]:
    """The record as its schema wrote it."""
    cell: dict[str, Any] = json.loads(to_json([record]))[0] | {"schema_version": version}
    del cell["conditions"]["trial"]
    return cell


def written(folder: Path, *cells: dict[str, Any]) -> Path:
    path = folder / "a.json"
    path.write_text(json.dumps(cells), encoding="utf-8")
    return path


def test_they_are_those_of_today_without_a_trial(records: list[Record], tmp_path: Path) -> None:
    read = load(written(tmp_path, *(earlier(record, 4) for record in records)))
    assert read == records
    assert {record.schema_version for record in read} == {5}
    save(read, tmp_path / "b.json")
    assert load(tmp_path / "b.json") == read


def test_of_schema_2_in_the_layout_of_either_time(records: list[Record], tmp_path: Path) -> None:
    """A version before this one may have written it again, or this one."""
    before = load(written(tmp_path, earlier(records[-1], 2)))
    save(before, tmp_path / "b.json")
    assert load(tmp_path / "b.json") == before
    assert before[0].schema_version == 2
    assert before[0].conditions.trial == ()


def test_features_keep_their_name(records: list[Record], tmp_path: Path) -> None:
    """Only up to schema 3 was a compat distance called FID."""
    cell = earlier(records[-1], 4)
    cell["metric"] |= {"name": "FID", "features": "inception-v3-compat", "label": "mine"}
    (record,) = load(written(tmp_path, cell))
    assert record.metric.label == "mine"


@pytest.mark.parametrize("conditions", [None, [], "cpu", {}])
def test_what_is_no_record_is_refused(conditions: object, records: list[Record], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not hold records of schema 5"):
        load(written(tmp_path, earlier(records[-1], 4) | {"conditions": conditions}))


def test_a_record_of_today_says_whether_there_was_a_trial(records: list[Record], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"conditions\. has other fields than it should: \['trial'\]"):
        load(written(tmp_path, earlier(records[-1], 5)))


def test_a_trial_whose_numbers_are_none_is_refused(records: list[Record], tmp_path: Path) -> None:
    cell: dict[str, Any] = json.loads(to_json([records[-1]]))[0]
    cell["conditions"]["trial"] = [vars(Trial("float16", 64, 1.0, {"SSIM": float("inf")}, ""))]
    with pytest.raises(BadInput, match="a number is not finite"):
        load(written(tmp_path, cell))
