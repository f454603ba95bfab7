"""The simulated measurements that intervals are held to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from coldbench.metrics.coverage import CASES, MEASURES, PAIRED, Case, coverage
from coldbench.metrics.intervals import GROUPS, Estimate

STORED = Path(__file__).parents[2] / "results" / "tables" / "coverage.md"


def measured(case: Case, groups: int = GROUPS, seed: int = 0) -> Estimate:
    return MEASURES[case.metric](case, torch.Generator().manual_seed(seed), groups)


def test_the_stored_table_has_a_line_for_each_case_in_their_order() -> None:
    lines = STORED.read_text(encoding="utf-8").splitlines()[2:]
    found = [tuple(cell.strip() for cell in line.split("|")[1:5]) for line in lines]
    assert found == [(case.metric, str(case.dimensions or ""), str(case.images), str(case.run)) for case in CASES]


@pytest.mark.parametrize("metric", MEASURES)
def test_every_measurement_has_an_interval_if_it_is_asked_for(metric: str) -> None:
    case = Case(metric, 60, 0 if metric in ("RMSE", "SSIM") else 4, 1.0)
    assert len(measured(case).replicates) == GROUPS
    assert measured(case, groups=1).replicates == ()
    assert measured(case, groups=1).value == pytest.approx(measured(case).value, rel=1e-12)
    assert measured(case, seed=1) != measured(case)
    assert any(case.metric == metric for case in CASES)


@pytest.mark.parametrize("paired", ["", PAIRED])
@pytest.mark.parametrize("run", [1, 50])
def test_influences_are_taken_of_the_images_of_the_jackknife(paired: str, run: int) -> None:
    """But for the rounding of features to float32."""
    one, other = (measured(Case(f"{metric}{paired}", 600, 8, 1.0, run)) for metric in ("FD", "FD by influence"))
    assert one.value == pytest.approx(other.value, rel=1e-5)
    assert one.error() == pytest.approx(other.error(), rel=0.1)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("FD", "16"),
        ("FD by influence", "16"),
        ("FD by influence, paired", "16.06"),
        ("KID", ""),
        ("Recall, paired", ""),
    ],
)
def test_a_closed_form_is_given_where_there_is_one(metric: str, expected: str) -> None:
    """16 + 4 (sqrt(1.25) - 1)^2 with noise of std .5 on the restored ones."""
    line = coverage(Case(metric, 40, 4, 4.0), draws=3)
    assert line["Truth for N to infinity"] == expected
    assert (line["Covered "] == "") == (expected == "")
    if expected:
        assert measured(Case(metric, 4000, 4, 4.0), groups=1).value == pytest.approx(float(expected), rel=0.05)
