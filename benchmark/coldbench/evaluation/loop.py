"""The loop that restoring and generating share: batch after batch into the scores, saved as it goes, and timed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor

from coldbench.core.errors import BadInput, out_of_memory
from coldbench.core.interrupts import interrupts_deferred
from coldbench.core.processes import counted, is_first, meet, rank, share, size
from coldbench.core.progress import tell
from coldbench.evaluation.details import SavedImages
from coldbench.evaluation.resume import Blank, Keeper
from coldbench.evaluation.scores import Outcome, Scores
from coldbench.evaluation.shares import block_size, shares, still_to_do
from coldbench.evaluation.timed_restore import TimedRestore


def accumulate(
    blank: Blank,
    produce: Callable[[range], Mapping[str, Tensor]],
    restore: TimedRestore,
    *,
    images: int,
    batch_size: int,
    watch: Callable[[int], object] = lambda done: None,
    keeper: Keeper | None = None,
    saved: SavedImages | None = None,
) -> Outcome:
    """The loop that restoring and generating share: batch after batch into the scores, saved as it goes.

    Where several processes are one command, each takes its share of the images; the first puts them together. Where
    the memory of a device does not hold what a batch needs, it goes on with half as many images at a time.

    Args:
        blank: makes empty scores.
        produce: positions -> images, as ``Scores.update`` takes them; perhaps others, too, which are saved.
        restore: R, with its clock.
        images: N.
        batch_size: images at a time, rounded up to what R takes; see ``whole_batch``.
        watch: called with the number of images that a batch, or an earlier attempt, has added.
        keeper: where to go on from, and to leave what is done.
        saved: receives all images; what was measured and is not among them is measured again.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the batch was finished and saved.
        BadInput: out of memory: that of the host, or of a device with a single image.
    """
    batch_size = whole_batch(batch_size, restore.chunk)
    finished = share(_finished(keeper, images, saved) if keeper and is_first() else None)
    if finished:
        watch(images)
        return finished
    done = share(_done(keeper, saved) if keeper and is_first() else [])
    todo = still_to_do(done, images)
    mine = shares(todo, size(), block_size(images, batch_size, restore.chunk, size()))[rank()]
    tally = Tally(watch, str(keeper.path) if keeper else "")
    if done:
        watch(sum(map(len, done)))
    ours = []
    with interrupts_deferred("batch") as interrupted:
        for run in mine:
            before = [each.start for each in done if each.stop == run.start]
            start = before[0] if before else run.start
            scores = keeper.taken_up(blank, start) if keeper else blank(start, None)
            _measure(scores, run, produce, restore, batch_size, tally, keeper, interrupted, saved)
            ours.append(scores)
    meet(tally.show)
    outcome = share(_put_together(ours, blank, keeper, images) if is_first() else None)
    assert outcome is not None
    return outcome


def _finished(keeper: Keeper, images: int, saved: SavedImages | None) -> Outcome | None:
    """What came of the measurement, if it was finished, and no image is missing that is to be saved."""
    return None if saved and saved.missing(range(images)) else keeper.outcome()


def _done(keeper: Keeper, saved: SavedImages | None) -> list[range]:
    """The runs of images that were measured, and whose images are there."""
    for run in keeper.done() if saved else ():
        if saved and saved.missing(run):
            keeper.drop(run)
    return keeper.done()


def _measure(
    scores: Scores,
    run: range,
    produce: Callable[[range], Mapping[str, Tensor]],
    restore: TimedRestore,
    batch_size: int,
    tally: Tally,
    keeper: Keeper | None,
    interrupted: Callable[[], bool],
    saved: SavedImages | None,
) -> None:
    """Take a run of images into scores that end where it begins; see ``accumulate``."""
    while scores.done < run.stop:
        positions = range(scores.done, min(scores.done + batch_size, run.stop))
        if len(positions) < batch_size and run.stop < scores.images:  # the end of a share, which alone has none
            scores.halved = True
        started, network = time.perf_counter(), restore.seconds
        produced = fitting(produce, positions, restore)
        if produced is None:
            batch_size = len(positions) // 2
            restore.shrink(batch_size)
            scores.halved = True
            continue
        if saved:
            saved.write(positions, produced)  # before it counts as done
        with memory_heeded():
            scores.update(positions, {kind: produced[kind] for kind in scores.kinds})
        scores.seconds += (time.perf_counter() - started) / size()
        scores.network_seconds += (restore.seconds - network) / size()
        tally.add(len(positions))
        if keeper:
            keeper.save(scores, now=interrupted() or scores.done == run.stop)
        if interrupted():
            raise KeyboardInterrupt


def _put_together(ours: Sequence[Scores], blank: Blank, keeper: Keeper | None, images: int) -> Outcome:
    """What came of all images: of those of this process, and of those that others, or earlier attempts, have saved."""
    parts = {scores.start: scores for scores in ours}
    for run in keeper.done() if keeper else ():
        if run.start not in parts and keeper:
            parts[run.start] = keeper.taken_up(blank, run.start)
    scores, *others = [parts[start] for start in sorted(parts)]
    for other in others:
        scores.merge(other)
    outcome = scores.outcome()
    if keeper:
        keeper.finish(outcome)
    for each in (scores, *others):
        each.close()
    return outcome


class Tally:
    """Tells how many images all processes have measured.

    Args:
        watch: called with the number that came since it was last called.
        what: is counted; the same on every process.
    """

    def __init__(self, watch: Callable[[int], object], what: str) -> None:
        self._watch, self._what, self._shown = watch, what, 0

    def add(self, images: int) -> None:
        """Say that this process has measured so many more."""
        so_far = counted(self._what, images)
        self._tell(so_far if size() > 1 else self._shown + images)

    def show(self) -> None:
        """Tell what the others have measured meanwhile."""
        self._tell(counted(self._what, 0))

    def _tell(self, so_far: int) -> None:
        if so_far > self._shown:
            self._watch(so_far - self._shown)
            self._shown = so_far


def whole_batch(batch_size: int, chunk: int) -> int:
    """A batch of at least this many images that the network can take without filling up: a multiple of ``chunk``."""
    return math.ceil(batch_size / chunk) * chunk


def batches(count: int, batch_size: int) -> Iterator[range]:
    """0..count-1 in runs of ``batch_size``; the last may be shorter, none is dropped."""
    for start in range(0, count, batch_size):
        yield range(start, min(start + batch_size, count))


def fitting(
    produce: Callable[[range], Mapping[str, Tensor]], positions: range, restore: TimedRestore
) -> Mapping[str, Tensor] | None:
    """What a batch gave; None where the memory of the device does not hold it, and half of it may do.

    Raises:
        BadInput: see ``accumulate``.
    """
    try:
        produced = produce(positions)
        restore.settle()
        return produced
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error) != "device" or len(positions) == 1:
            with memory_heeded():
                raise
    tell(f"out of memory with {len(positions)} images at a time: going on with {len(positions) // 2}")
    return None


@contextmanager
def memory_heeded() -> Iterator[None]:
    """Let the end of the memory say what takes less of it.

    Raises:
        BadInput: in the place of the library's own error.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        where = out_of_memory(error)
        if not where:
            raise
        raise BadInput(f"the {where} is out of memory: lower --batch-size") from error


def to_unit(x: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1], unclamped."""
    return (x + 1) / 2
