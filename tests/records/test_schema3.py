"""Records of schema 3: what was called FID is named by the arithmetic that it was measured in, or lacks the paper's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coldbench.core.errors import BadInput
from coldbench.core.paths import shipped
from coldbench.records.record import Record, load, save, to_json

COMPAT, PAPER = "inception-v3-compat", "inception-v3"
#: What a measurement with torch-fidelity's Inception adds to a record of a missing one.
MEASURED = {"status": "measured", "reason": "", "value": 438.25, "interval": [430.0, 446.5], "deviation": 1e-7}


def cell(**changes: Any) -> dict[str, Any]:
    """The FID of Table 1's degraded digits as a record of schema 3."""
    found: dict[str, Any]
    found, *_ = json.loads((shipped("results", "reference", "quick") / "table-1.json").read_text(encoding="utf-8"))
    metric = {**found["metric"], "features": COMPAT, "label": "FID"}
    request = {**found["request"], "metric": "FID", "features": COMPAT}
    return {**found, "schema_version": 3, "metric": metric, "request": request, **changes}


def loaded(folder: Path, spec: dict[str, Any]) -> Record:
    path = folder / "a.json"
    path.write_text(json.dumps([spec]), encoding="utf-8")
    (record,) = load(path)
    return record


def test_the_cell_is_one_of_the_paper_s() -> None:
    assert (cell()["published"]["printed"], cell()["status"]) == ("438.59", "missing")


@pytest.mark.parametrize("version", [3, 2])
def test_what_was_measured_keeps_number_and_features_and_leaves_the_published_column(
    version: int, tmp_path: Path
) -> None:
    record = loaded(tmp_path, cell(**MEASURED, schema_version=version))
    assert (record.value, record.interval, record.deviation) == (438.25, (430.0, 446.5), 1e-7)
    assert (record.metric.name, record.metric.features, record.metric.label) == ("FID", COMPAT, f"FD[{COMPAT}]")
    assert record.published is None
    assert record.request["features"] == COMPAT, "what measures it again"
    assert record.schema_version == (5 if version == 3 else 2)


@pytest.mark.parametrize("version", [3, 2])
def test_what_was_missing_lacks_the_paper_s_features(version: int, tmp_path: Path) -> None:
    record = loaded(tmp_path, cell(schema_version=version))
    assert (record.metric.features, record.metric.label) == (PAPER, "FID")
    assert record.published is not None
    assert record.published.printed == "438.59"
    assert record.reason == "no Inception weights: coldbench fetch inception"
    assert record.request["features"] == PAPER
    assert record.schema_version == (5 if version == 3 else 2)


@pytest.mark.parametrize(("name", "label"), [("KID", f"KID[{COMPAT}]"), ("mine", f"mine[{COMPAT}]")])
def test_other_metrics_of_these_features_are_named_as_they_are_today(name: str, label: str, tmp_path: Path) -> None:
    metric = {**cell()["metric"], "name": name, "label": name}
    assert loaded(tmp_path, cell(**MEASURED, metric=metric)).metric.label == label


@pytest.mark.parametrize("features", ["mnist-cnn", ""])
def test_other_features_are_left_alone(features: str, tmp_path: Path) -> None:
    metric = {**cell()["metric"], "features": features, "label": "SSIM"}
    record = loaded(tmp_path, cell(**MEASURED, metric=metric))
    assert (record.metric.features, record.metric.label) == (features, "SSIM")
    assert record.published is not None


@pytest.mark.parametrize("version", [3, 2])
@pytest.mark.parametrize("measured", [True, False])
def test_written_again_they_are_read_as_they_are(version: int, measured: bool, tmp_path: Path) -> None:
    record = loaded(tmp_path, cell(**(MEASURED if measured else {}), schema_version=version))
    save([record], tmp_path / "b.json")
    assert load(tmp_path / "b.json") == [record]
    assert (tmp_path / "b.json").read_text(encoding="utf-8") == to_json([record])


def test_records_of_today_are_not_renamed(tmp_path: Path) -> None:
    """Whatever they are called."""
    record = loaded(tmp_path, cell(**MEASURED, schema_version=5))
    assert (record.metric.label, record.published is None) == ("FID", False)


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    for broken in ({"metric": None}, {"request": []}, {"schema_version": 6}, {"schema_version": "3"}):
        with pytest.raises(BadInput, match="does not hold records of schema 5"):
            loaded(tmp_path, cell(**broken))


@pytest.mark.parametrize("path", sorted(shipped("results", "reference").rglob("*.json")), ids=lambda path: path.stem)
def test_the_shipped_references_are_converted(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))
    assert {each["schema_version"] for each in cells} == {5}
    assert COMPAT not in {each["metric"]["features"] for each in cells}
