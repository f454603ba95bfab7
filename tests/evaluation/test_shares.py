"""Every image is measured by one process, whatever was measured before, and neighbours stay together."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from coldbench.evaluation.shares import block_size, shares, still_to_do


@st.composite
def runs(draw: st.DrawFn, images: int) -> list[range]:
    """Runs of images that do not overlap, in any order."""
    cuts = sorted(draw(st.sets(st.integers(0, images), max_size=8)))
    pieces = [range(a, b) for a, b in pairwise(cuts)]
    return draw(st.permutations([piece for piece in pieces if draw(st.booleans())]))


@given(st.data(), st.integers(1, 300), st.integers(1, 5), st.integers(1, 40))
def test_every_image_is_measured_once(data: st.DataObject, images: int, processes: int, block: int) -> None:
    done = data.draw(runs(images))
    dealt = shares(still_to_do(done, images), processes, block)
    assert len(dealt) == processes
    everything = [i for run in done for i in run] + [i for share in dealt for run in share for i in run]
    assert sorted(everything) == list(range(images))
    dealt_out = [i for share in dealt for run in share for i in run]
    assert dealt_out == sorted(dealt_out), "each process gets neighbours"


@given(st.integers(1, 2000), st.integers(1, 5), st.integers(1, 40))
def test_shares_are_alike_and_cut_between_blocks(images: int, processes: int, block: int) -> None:
    dealt = shares([range(images)], processes, block)
    starts = [share[0].start for share in dealt if share]
    assert all(start % block == 0 for start in starts)
    assert all(len(share) <= 1 for share in dealt), "what was never interrupted is one run"
    sizes = [-(-sum(map(len, share)) // block) for share in dealt]
    assert max(sizes) - min(sizes) <= 1


def test_what_was_done_is_left_out() -> None:
    assert still_to_do([], 5) == [range(5)]
    assert still_to_do([range(5)], 5) == []
    assert still_to_do([range(3, 4), range(2)], 5) == [range(2, 3), range(4, 5)]


def test_whole_batches_are_dealt_out_where_there_are_many() -> None:
    assert block_size(10_000, 64, 16, processes=2) == 64
    assert block_size(100, 64, 16, processes=2) == 16
    assert block_size(100, 8, 16, processes=2) == 8
