"""Who measures what: the images that are still to do, cut into contiguous shares, one a process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: With so many batches for each process, shares are made of whole batches, and no image changes its neighbours.
_MANY_BATCHES = 16


def still_to_do(done: Sequence[range], images: int) -> list[range]:
    """What is left of 0..images-1 beside runs that were done before, which do not overlap."""
    left, start = [], 0
    for run in sorted((*done, range(images, images)), key=lambda run: run.start):
        if start < run.start:
            left.append(range(start, run.start))
        start = max(start, run.stop)
    return left


def block_size(images: int, batch_size: int, chunk: int, processes: int) -> int:
    """The images that stay together when they are cut into shares: a batch, or what the network takes at a time.

    A network that is always given the same images at a time gives the same numbers to the last bit. Whole batches keep
    the features alike, too; where there are few of them, they would leave some processes idle.

    Args:
        images: of the measurement.
        batch_size: of the loop.
        chunk: images that the network takes at a time.
        processes: that share the work.
    """
    return batch_size if images >= _MANY_BATCHES * batch_size * processes else min(chunk, batch_size)


def shares(todo: Sequence[range], processes: int, block: int) -> list[list[range]]:
    """Runs of images, dealt out: each process gets neighbours, and as many blocks as any other, or one more.

    Args:
        todo: runs of images, in order.
        processes: among which they are dealt out.
        block: runs are cut at its multiples only.
    """
    blocks = [block_ for run in todo for block_ in _blocks(run, block)]
    each, more = divmod(len(blocks), processes)
    cuts = [number * each + min(number, more) for number in range(processes + 1)]
    return [_joined(blocks[cuts[i] : cuts[i + 1]]) for i in range(processes)]


def _blocks(run: range, block: int) -> Iterator[range]:
    start = run.start
    while start < run.stop:
        stop = min((start // block + 1) * block, run.stop)
        yield range(start, stop)
        start = stop


def _joined(blocks: Sequence[range]) -> list[range]:
    """Neighbouring blocks as one run each."""
    runs: list[range] = []
    for block in blocks:
        if runs and runs[-1].stop == block.start:
            runs[-1] = range(runs[-1].start, block.stop)
        else:
            runs.append(block)
    return runs
