"""The cache of the originals' features: nothing is extracted twice, and nothing wrong is ever taken from it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from coldbench.core import array_cache
from coldbench.core.errors import BadInput
from coldbench.core.files import TEMPORARY
from coldbench.evaluation import loop
from coldbench.evaluation.restoration import Task, measure
from coldbench.evaluation.scores import Outcome
from coldbench.metrics.features import FeatureSpace
from tests.helpers import restoration_task

IMAGES = 20


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLDBENCH_HOME", str(tmp_path))
    return tmp_path


def counted(images: int = IMAGES, **facts: object) -> tuple[Task, list[int]]:
    """A measurement with one feature space, and how many images that has seen, call by call."""
    made = restoration_task("mnist-superres", images, 8, metrics=("FID", "SSIM"), timesteps=1)
    space: FeatureSpace = made.features[0]
    seen: list[int] = []

    def extract(batch: Tensor) -> Tensor:
        seen.append(len(batch))
        return space.extract(batch)

    return dataclasses.replace(made, features=[dataclasses.replace(space, extract=extract, **facts)]), seen


def measured(images: int = IMAGES, **facts: object) -> tuple[Outcome, int]:
    task, seen = counted(images, **facts)
    return measure(task), sum(seen)


def test_a_second_measurement_extracts_no_original_and_gives_the_same_bits() -> None:
    first, extracted = measured()
    kinds = len(counted()[0].methods)
    assert extracted == (kinds + 1) * IMAGES
    second, again = measured()
    assert again == kinds * IMAGES
    assert second.estimates == first.estimates
    assert second.deviations == first.deviations


@pytest.mark.parametrize(
    "change",
    [{"images": IMAGES + 1}, {"sha256": "0" * 64}, {"name": "another"}],
    ids=lambda change: next(iter(change)),
)
def test_what_was_computed_from_something_else_is_not_taken(change: dict[str, object]) -> None:
    measured()
    images = int(str(change.get("images", IMAGES)))
    assert measured(**change)[1] == (len(counted()[0].methods) + 1) * images


def test_the_features_of_a_plug_in_are_not_kept() -> None:
    """Its code may change while the hash that it tells does not."""
    measured(name="plug_in:space")
    assert array_cache.entries() == []


@pytest.mark.parametrize(("cut", "kept"), [(32, 1), (16, 0)])
def test_features_of_shares_that_end_within_a_batch_are_not_kept(
    cut: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is alone takes whole batches, which may round otherwise, and would find them."""
    task = dataclasses.replace(counted(40)[0], batch_size=32)
    monkeypatch.setattr(loop, "shares", lambda *how: [[range(cut), range(cut, 40)]])
    measure(task)
    assert len(array_cache.entries()) == kept


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "number":
        content[-5] ^= 0x10
    path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"features"}.get(how, bytes(content)))


@pytest.mark.parametrize("how", ["number", "cut", "empty", "text"])
def test_a_damaged_entry_is_removed_and_computed_anew(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    first, extracted = measured()
    damage(array_cache.entries()[0].path, how)
    second, again = measured()
    assert (again, second.estimates) == (extracted, first.estimates)
    assert "is damaged" in capsys.readouterr().err
    assert measured()[1] < extracted, "the entry is whole again"


def test_an_entry_of_other_facts_under_the_same_name_is_not_taken(capsys: pytest.CaptureFixture[str]) -> None:
    _, extracted = measured()
    path = array_cache.entries()[0].path
    measured(images=IMAGES - 1)
    other = next(each.path for each in array_cache.entries() if each.path != path)
    path.write_bytes(other.read_bytes())
    assert measured()[1] == extracted
    assert "computed from something else" in capsys.readouterr().err


def test_the_least_recently_used_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.zeros(1 << 18, 1).numpy()  # 1 MiB
    monkeypatch.setenv(array_cache.LIMIT, str(2.5 / 1024))
    for number in range(2):
        array_cache.keep({"number": number}, rows)
    for number, each in enumerate(reversed(array_cache.entries())):
        os.utime(each.path, (number, number))
    assert array_cache.find({"number": 0}) is not None, "it is now the one used last"
    array_cache.keep({"number": 2}, rows)
    assert {each.facts["number"] for each in array_cache.entries()} == {0, 2}


@pytest.mark.parametrize("limit", ["0", "0.0001"])
def test_nothing_is_kept_beyond_the_limit(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(array_cache.LIMIT, limit)
    array_cache.keep({"number": 0}, torch.zeros(1 << 18, 1).numpy())
    assert array_cache.entries() == []


@pytest.mark.parametrize("limit", ["-1", "much", "nan", "inf"])
def test_a_limit_that_is_none_is_named(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(array_cache.LIMIT, limit)
    with pytest.raises(BadInput, match="COLDBENCH_CACHE_GIB must be a number of GiB"):
        array_cache.limit()


def test_a_wrong_limit_is_told_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(array_cache.LIMIT, "much")
    task, seen = counted()
    with pytest.raises(BadInput, match="COLDBENCH_CACHE_GIB"):
        measure(task)
    assert seen == []


def test_a_home_that_is_no_folder_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("COLDBENCH_HOME", str(tmp_path / "file"))
    assert measured()[1]
    assert array_cache.entries() == []


def test_no_feature_space_sees_a_batch_of_no_image() -> None:
    """Under the released protocol the images that do not fill a batch of 50 have no features; nor do cached ones."""
    for _ in range(2):
        task, seen = counted(75)
        measure(dataclasses.replace(task, protocol=dataclasses.replace(task.protocol, feature_batch=50)))
        assert 0 not in seen


def test_what_another_command_is_writing_is_no_entry(own_home: Path) -> None:
    (own_home / "cache").mkdir()
    (own_home / "cache" / f"{TEMPORARY}1.safetensors").write_bytes(b"half")
    assert array_cache.entries() == []


def test_a_cache_that_cannot_be_written_harms_nothing(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own_home / "cache").write_text("a file in the place of the folder")
    _, extracted = measured()
    assert extracted
    assert "nothing is kept in the cache" in capsys.readouterr().err
