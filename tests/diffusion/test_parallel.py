"""The arithmetic of a batch that several processes share; that real processes train by it is in tests/commands."""

from __future__ import annotations

import pytest

from coldbench.core import processes
from coldbench.core.errors import BadInput
from coldbench.diffusion.parallel import check_parts, own_part, own_purpose, own_weight


def of_each(size: int, monkeypatch: pytest.MonkeyPatch, count: int) -> list[tuple[slice, float]]:
    """The part and the weight of every process of a group."""
    found = []
    for rank in range(size):
        monkeypatch.setattr(processes, "_group", [(rank, size)])
        found.append((own_part(count), own_weight(count)))
    return found


@pytest.mark.parametrize(("size", "count"), [(1, 5), (2, 8), (3, 8), (4, 4), (7, 100)])
def test_the_parts_are_the_batch_and_their_weighted_means_its_mean(
    size: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [float(number**2) for number in range(count)]
    parts = of_each(size, monkeypatch, count)
    assert [value for part, _ in parts for value in values[part]] == values
    lengths = {part.stop - part.start for part, _ in parts}
    assert max(lengths) - min(lengths) <= 1
    means = [weight * sum(values[part]) / len(values[part]) for part, weight in parts]
    assert sum(means) / size == pytest.approx(sum(values) / count)


def test_alone_a_process_takes_all_as_it_is() -> None:
    assert (own_part(7), own_weight(7)) == (slice(0, 7), 1.0)
    assert own_purpose("dropout") == "dropout"


def test_only_what_belongs_to_no_image_differs_between_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    purposes = set()
    for rank in range(3):
        monkeypatch.setattr(processes, "_group", [(rank, 3)])
        purposes.add(own_purpose("dropout"))
    assert len(purposes) == 3
    assert "dropout" in purposes


def test_a_batch_has_an_image_for_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_group", [(1, 4)])
    check_parts(4)
    with pytest.raises(BadInput, match="batch_size = 3 is too few images for 4 processes"):
        check_parts(3)
