"""The largest number at a time that pays, on devices that are made up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coldbench.core.doubling import largest


def device(room: int, seconds: Callable[[int], float], tried: list[int]) -> Callable[[int], float]:
    """A device whose memory holds so many at a time, and which takes so long for them."""

    def run(number: int) -> float:
        tried.append(number)
        if number > room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return seconds(number)

    return run


def overhead(number: int) -> float:
    """Half a second, whatever is done, and a little for each."""
    return 0.5 + 0.001 * number


@pytest.mark.parametrize(
    ("room", "found", "tried"),
    [
        (10_000, 4096, [64, 128, 256, 512, 1024, 2048, 4096]),
        (1000, 512, [64, 128, 256, 512, 1024]),
        (64, 64, [64, 128]),
        (63, 32, [64, 32]),
        (1, 1, [64, 32, 16, 8, 4, 2, 1]),
    ],
)
def test_it_is_doubled_while_it_fits_and_halved_until_it_does(room: int, found: int, tried: list[int]) -> None:
    seen: list[int] = []
    assert largest(device(room, overhead, seen), 64, 4096) == found
    assert seen == tried


def test_it_is_not_doubled_where_that_does_not_pay() -> None:
    """From 256 on each takes as long as before, or 2 % less: less than the 3 % that it must gain."""
    pace = {64: 4.0, 128: 2.0, 256: 1.0, 512: 0.98, 1024: 0.1}
    seen: list[int] = []
    assert largest(device(10_000, lambda number: pace[number] * number, seen), 64, 1024) == 256
    assert seen == [64, 128, 256, 512]
    pace[512] = 0.97
    assert largest(lambda number: pace[number] * number, 64, 512) == 512


def test_more_than_the_most_is_never_tried() -> None:
    seen: list[int] = []
    assert largest(device(10_000, overhead, seen), 64, 200) == 128
    assert max(seen) == 128


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), RuntimeError("CUDA out of memory")])
def test_what_no_halving_mends_is_raised(error: RuntimeError) -> None:
    def run(number: int) -> float:
        raise error

    with pytest.raises(RuntimeError, match=str(error)):
        largest(run, 4, 64)
