"""The features of a set of images: extracted once, for all metrics and all commands, and never mistaken for others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from coldbench.core import array_cache
from coldbench.core.errors import BadInput
from coldbench.data import cache
from coldbench.data.cache import ImageStore
from coldbench.data.sources import ImageSource, array_source
from coldbench.evaluation.reference_statistics import TrainingSet
from coldbench.evaluation.set_features import View, features_of_set
from coldbench.metrics.digits import mnist_cnn
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.fid import FID
from coldbench.metrics.frechet import FeatureStatistics
from coldbench.metrics.kernel import KID
from coldbench.metrics.metric import Metric

CPU = torch.device("cpu")
VIEW = View(transform="native", image_size=32, channels=1, device=CPU)
PIXELS = np.random.default_rng(0).integers(0, 256, (150, 32, 32), dtype=np.uint8)
#: Reads mean and covariance, as FID does, but is no FID.
SPREAD = Metric(
    name="Spread",
    accumulator=FeatureStatistics,
    result=lambda a, b: float(a.scatter.trace() - b.scatter.trace()),
    better="lower",
    reads="features",
)


def toys(root: Path, *, train: bool) -> ImageSource:
    """A data set that somebody brings."""
    assert train
    return array_source("toys", PIXELS)


def counting(space: FeatureSpace | None = None) -> tuple[FeatureSpace, list[int]]:
    """A feature space, and how many images it has seen, call by call."""
    space, seen = space or mnist_cnn(CPU), []

    def extract(images: Tensor) -> Tensor:
        seen.append(len(images))
        return space.extract(images)

    return dataclasses.replace(space, extract=extract), seen


def extracted(view: View = VIEW, *, space: FeatureSpace | None = None, images: int = 100, batch_size: int = 64) -> int:
    """How many images are extracted when the features of some are asked for."""
    counted, seen = counting(space)
    store = ImageStore(Path("nowhere"))
    source = array_source("toys", PIXELS)
    found = features_of_set(source, "toys", counted, store, view, images=images, batch_size=batch_size)
    assert found.rows.shape == (images, 128)
    return sum(seen)


def test_features_are_those_of_the_images_in_their_order() -> None:
    space = mnist_cnn(CPU)
    images = torch.from_numpy(PIXELS).unsqueeze(1).float() / 255
    with torch.inference_mode():
        expected = space.extract(images).numpy()
    for _ in range(2):  # extracted, then found
        found = features_of_set(array_source("toys", PIXELS), "toys", space, ImageStore(Path("nowhere")), VIEW)
        np.testing.assert_allclose(found.rows, expected, rtol=1e-4, atol=1e-5)
        assert found.zeros == 0


def test_a_second_time_nothing_is_extracted_and_no_image_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert extracted() == 100
    monkeypatch.setattr(cache, "decode", None)
    assert extracted() == 0


@pytest.mark.parametrize(
    "change",
    [
        {"images": 99},
        {"batch_size": 50},
        {"view": dataclasses.replace(VIEW, transform="zoom")},
        {"view": dataclasses.replace(VIEW, channels=3)},
        {"space": dataclasses.replace(mnist_cnn(CPU), sha256="0" * 64)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_features_of_something_else_are_others(change: dict[str, object]) -> None:
    """Another batch size rounds differently: what is found must be bit for bit what would be computed."""
    extracted()
    assert extracted(**change) == change.get("images", 100)  # type: ignore[arg-type]


def test_other_images_under_the_same_name_are_others() -> None:
    extracted()
    counted, seen = counting()
    features_of_set(array_source("toys", PIXELS[50:]), "toys", counted, ImageStore(Path("nowhere")), VIEW)
    assert sum(seen) == 100


def test_what_a_plug_in_extracts_is_not_kept() -> None:
    """Its code may change while the hash that it tells does not."""
    plug_in = dataclasses.replace(mnist_cnn(CPU), name="my_module:space")
    assert [extracted(space=plug_in), extracted(space=plug_in)] == [100, 100]
    assert array_cache.entries() == []


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.zeros(64), r"one vector an image, shape \(64, d\), not \(64,\)"),
        (torch.full((64, 3), torch.nan), "must give finite"),
    ],
)
def test_a_feature_space_that_gives_no_vectors_is_named(features: Tensor, message: str) -> None:
    odd = FeatureSpace("odd", "", lambda images: features)
    with pytest.raises(BadInput, match=f"feature 'odd' .*{message}"):
        features_of_set(array_source("toys", PIXELS), "toys", odd, ImageStore(Path("nowhere")), VIEW)


class TestTrainingSet:
    """One extraction serves all metrics of generated images, whatever they accumulate, and the runs after it."""

    @pytest.mark.parametrize("limit", ["4", "0"])
    def test_all_metrics_share_one_extraction(self, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the cache, and without."""
        monkeypatch.setenv(array_cache.LIMIT, limit)
        space, seen = counting()
        training = TrainingSet(f"{__name__}:toys", space, ImageStore(Path("nowhere")), VIEW)
        taken = {metric.name: training.seen_by(metric) for metric in (FID, KID, SPREAD)}
        assert sum(seen) == len(PIXELS)
        assert {each.name for each in taken.values()} == {"toys training images"}
        assert {each.digest for each in taken.values()} == {array_source("toys", PIXELS).digest}
        assert taken["FID"].seen.count == taken["KID"].seen.count == len(PIXELS)
        assert taken["Spread"].seen is taken["FID"].seen

    def test_the_next_run_extracts_nothing(self) -> None:
        for expected in (len(PIXELS), 0):
            space, seen = counting()
            TrainingSet(f"{__name__}:toys", space, ImageStore(Path("nowhere")), VIEW).seen_by(KID)
            assert sum(seen) == expected

    def test_kept_statistics_need_no_features(self, own_home: Path) -> None:
        TrainingSet(f"{__name__}:toys", mnist_cnn(CPU), ImageStore(Path("nowhere")), VIEW).seen_by(FID)
        for entry in array_cache.entries():
            entry.path.unlink()
        space, seen = counting()
        TrainingSet(f"{__name__}:toys", space, ImageStore(Path("nowhere")), VIEW).seen_by(FID)
        assert (own_home / "statistics").exists()
        assert sum(seen) == 0
