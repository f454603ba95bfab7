"""The scores of a measurement: complete, or refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from coldbench.core.errors import BadInput, CheckFailed
from coldbench.evaluation.feature_files import FeatureFiles
from coldbench.evaluation.scores import ORIGINAL, Scores
from coldbench.metrics.audit import AUDITED
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import Metric, find_metrics, mean_over_images

SPACES = [
    FeatureSpace("corners", "0" * 64, lambda images: images[:, :, ::12, ::12].flatten(1)),
    FeatureSpace("middle", "1" * 64, lambda images: images[:, :, 7:9, 7:9].flatten(1)),
]
#: As many images as make groups of two.
IMAGES = 40
NAMES = ("FID", "KID", "SSIM", "RMSE", "PSNR")
PICTURES = torch.rand(IMAGES, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def pairs(positions: range) -> dict[str, Tensor]:
    batch = PICTURES[positions.start : positions.stop]
    return {ORIGINAL: batch, "a": batch * 0.9, "b": batch * 0.8 + 0.1}


def empty(
    metrics: tuple[Metric, ...] | None = None,
    spaces: list[FeatureSpace] = SPACES,
    files: Path | None = None,
    **facts: Any,
) -> Scores:
    kept = FeatureFiles(files)
    return Scores(["a", "b"], metrics or find_metrics(NAMES), spaces, images=IMAGES, files=kept, **facts)


def filled(**facts: Any) -> Scores:
    scores = empty(**facts)
    for positions in (range(30), range(30, IMAGES)):
        scores.update(positions, pairs(positions))
    return scores


def test_every_metric_of_every_method_in_every_space_has_a_number_an_interval_and_an_audit() -> None:
    outcome = filled().outcome()
    expected = {
        (method, name, space)
        for method in ("a", "b")
        for name in NAMES
        for space in (("corners", "middle") if name in ("FID", "KID") else ("",))
    }
    assert outcome.estimates.keys() == outcome.deviations.keys() == expected
    for key, estimate in outcome.estimates.items():
        interval = estimate.interval()
        assert interval is not None
        assert interval[0] <= estimate.value <= interval[1], key
        assert outcome.deviations[key] is not None
    assert {kind: len(images) for kind, images in outcome.gallery.items()} == dict.fromkeys(
        (ORIGINAL, "a", "b"), AUDITED
    )


def faulty(metric: Metric, fault: str) -> Metric:
    """The metric, unaudited, with accumulators that miss images which come together, or see them twice."""

    def make() -> Any:
        accumulator = metric.accumulator()
        update = accumulator.update

        def wrong(*batch: Tensor) -> None:
            for _ in range(1 if len(batch[0]) < 2 else {"missed": 0, "twice": 2}[fault]):
                update(*batch)

        accumulator.update = wrong
        return accumulator

    return dataclasses.replace(metric, accumulator=make, reference=None, audit=None, estimates=None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", ["missed", "twice"])
def test_an_accumulator_that_missed_a_batch_or_saw_one_twice_is_refused(fault: str, name: str) -> None:
    """Each by itself, the others being complete: that of the RMSE counted values, and was left out.

    A group has two neighbouring images; those that come together go wrong, those that a border of batches parts do not.
    Features are taken in when all are there, group by group: all of them go wrong.
    """
    metrics = tuple(faulty(each, fault) if each.name == name else each for each in find_metrics(NAMES))
    scores = empty(metrics=metrics)
    for start in range(IMAGES - 4):
        scores.update(range(start, start + 1), pairs(range(start, start + 1)))
    scores.update(range(IMAGES - 4, IMAGES), pairs(range(IMAGES - 4, IMAGES)))
    wrong = IMAGES if name in ("FID", "KID") else 4
    seen = {"missed": IMAGES - wrong, "twice": IMAGES + wrong}[fault]
    with pytest.raises(CheckFailed, match=f"{seen} images were measured instead of {IMAGES}"):
        scores.outcome()


def test_an_unfinished_measurement_is_refused() -> None:
    scores = empty()
    scores.update(range(30), pairs(range(30)))
    with pytest.raises(CheckFailed, match="30 images were measured instead of 40"):
        scores.outcome()


def test_a_batch_that_came_twice_is_refused() -> None:
    scores = filled()
    scores.update(range(30, IMAGES), pairs(range(30, IMAGES)))
    with pytest.raises(CheckFailed, match="50 images were measured instead of 40"):
        scores.outcome()


def test_images_without_features_count_all_the_same() -> None:
    """As zero features, of the originals and of the others."""
    outcome = filled(zero_features=6).outcome()
    assert outcome.values["a", "FID", "corners"] != filled().outcome().values["a", "FID", "corners"]
    assert outcome.values["a", "SSIM", ""] == filled().outcome().values["a", "SSIM", ""]


def test_company_changes_no_number() -> None:
    together = filled().outcome().estimates
    for name in NAMES:
        alone = filled(metrics=find_metrics((name,))).outcome().estimates
        assert alone == {key: each for key, each in together.items() if key[1] == name}


def test_metrics_that_read_features_are_left_out_where_there_are_none() -> None:
    assert {name for _, name, _ in filled(spaces=[]).outcome().estimates} == {"SSIM", "RMSE", "PSNR"}


def test_a_number_that_is_not_finite_is_refused() -> None:
    broken = mean_over_images("Broken", lambda x, y: x.amax((1, 2, 3)) / 0, better="lower")
    with pytest.raises(BadInput, match="the Broken of a is not finite"):
        filled(metrics=(broken,)).outcome()


def test_somebody_elses_metric_fails_in_one_line_that_names_it() -> None:
    broken = mean_over_images("Broken", lambda x, y: x @ 3, better="lower")  # type: ignore[operator]
    with pytest.raises(BadInput, match="metric 'Broken' failed: TypeError"):
        filled(metrics=(broken,))


def test_a_metric_that_is_not_what_its_reference_says_is_refused() -> None:
    (rmse,) = find_metrics(("RMSE",))
    wrong = dataclasses.replace(rmse, result=lambda seen: 1.001 * rmse.result(seen))
    with pytest.raises(CheckFailed, match="audit failed: the RMSE of a is"):
        filled(metrics=(wrong,))


@pytest.mark.parametrize("done", [10, 30])
def test_scores_taken_up_again_are_the_same_bits(done: int, tmp_path: Path) -> None:
    """Of every accumulator: what is not saved would be lost by a resumed run."""
    whole = empty()
    first, second = (empty(files=tmp_path / "state") for _ in range(2))
    for positions in (range(done), range(done, IMAGES)):
        whole.update(positions, pairs(positions))
    first.update(range(done), pairs(range(done)))
    second.load_state_dict(first.state_dict())
    second.update(range(done, IMAGES), pairs(range(done, IMAGES)))
    assert second.outcome().estimates == whole.outcome().estimates
    assert second.outcome().deviations == whole.outcome().deviations
    assert second.outcome().warnings == whole.outcome().warnings
