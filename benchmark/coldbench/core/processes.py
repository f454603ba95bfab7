"""Several processes that are one command, as torchrun starts them.

A group is joined only under torchrun's own variables: batch systems set WORLD_SIZE where one process is meant, too.
The first process prints and writes; the others compute. Whatever the group exchanges here is small and on the CPU, so
it goes by gloo; the gradients of training on GPUs go by nccl.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from coldbench.core.errors import BadInput, foreign

if TYPE_CHECKING:  # --help does not wait for torch
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")
P = ParamSpec("P")

#: Set by torchrun, and by nothing else that sets RANK and WORLD_SIZE.
_TORCHRUN = "TORCHELASTIC_RUN_ID"
#: How long the first process may take for what it does alone; whether it is alive is another matter (``vigil``).
_PATIENCE = timedelta(days=30)
#: Seconds between two looks at what the group is waiting for: the first, and the most after a while.
_PAUSES = 0.0001, 0.02

#: (rank, size) while a group is joined; nothing in a process that is alone.
_group: list[tuple[int, int]] = []
#: What all processes of the group can write to and read from.
_store: list[Store] = []


def launched() -> int:
    """How many processes torchrun has started for this command; 1 without torchrun."""
    if _TORCHRUN not in os.environ:
        return 1
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process in its group; 0 in a process that is alone."""
    return _group[0][0] if _group else 0


def size() -> int:
    """How many processes the group has; 1 in a process that is alone."""
    return _group[0][1] if _group else 1


def is_first() -> bool:
    """Whether this is the process that prints and writes."""
    return rank() == 0


def local_size() -> int:
    """How many processes of the group this machine has."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if _group else 1


def local_rank() -> int:
    """The number of this process among those of its machine, which is that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0")) if _group else 0


@contextmanager
def joined() -> Iterator[Store | None]:
    """Be one of the processes that torchrun has started; alone without torchrun.

    Yields:
        What all processes of the group can write to and read from; None in a process that is alone.

    Raises:
        BadInput: the other processes cannot be reached.
    """
    if launched() == 1:
        yield None
        return
    import torch
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    with foreign("reaching the other processes that torchrun has started"):
        store, number, count = next(rendezvous("env://", timeout=timedelta(minutes=10)))
        gpus = torch.cuda.is_available() and distributed.is_nccl_available()
        backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
        distributed.init_process_group(backend, store=store, rank=number, world_size=count, timeout=_PATIENCE)
    _group[:] = [(number, count)]
    _store[:] = [PrefixStore("coldbench", store)]
    try:
        yield _store[0]
        distributed.destroy_process_group()
    finally:
        _group.clear()
        _store.clear()


def share(value: T) -> T:
    """What the first process has, on every process."""
    if size() == 1:
        return value
    import pickle

    import torch
    from torch import distributed

    content = pickle.dumps(value) if is_first() else b""
    length = torch.tensor([len(content)])
    _wait(distributed.broadcast(length, src=0, async_op=True))
    bytes_ = torch.zeros(int(length), dtype=torch.uint8)
    if is_first():
        bytes_ = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    _wait(distributed.broadcast(bytes_, src=0, async_op=True))
    return value if is_first() else pickle.loads(bytes_.numpy().tobytes())


def meet(idle: Callable[[], object] = lambda: None) -> None:
    """Wait until every process has come here.

    Args:
        idle: called now and then meanwhile.
    """
    total([0.0], idle)


def total(numbers: list[float], idle: Callable[[], object] = lambda: None) -> list[float]:
    """The sums of numbers over all processes, in float64, on every process; waits until all have come here.

    Args:
        numbers: of this process; as many on every process.
        idle: called now and then meanwhile.
    """
    if size() == 1:
        return numbers
    import torch
    from torch import distributed

    sums = torch.tensor(numbers, dtype=torch.float64)
    _wait(distributed.all_reduce(sums, async_op=True), idle)
    found: list[float] = sums.tolist()
    return found


def counted(what: str, number: int) -> int:
    """Add to what all processes count together, without waiting for any.

    Args:
        what: is counted.
        number: to add.

    Returns:
        The sum so far.
    """
    return int(_store[0].add(f"count/{what}", number)) if _store else number


def _wait(work: Any, idle: Callable[[], object] = lambda: None) -> None:
    """Wait for what the group does, without being deaf to signals."""
    pause, longest = _PAUSES
    while not work.is_completed():
        idle()
        time.sleep(pause)
        pause = min(2 * pause, longest)
    work.wait()


@contextmanager
def first_goes_first() -> Iterator[None]:
    """Let the first process do something before the others, who then find what it has left in a cache or in a file."""
    if not is_first():
        meet()
    try:
        yield
    finally:
        if is_first():
            meet()


def only_first(work: Callable[P, None]) -> Callable[P, None]:
    """A function that writes, as one that only the first process runs."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        if is_first():
            work(*args, **kwargs)

    return run


def first_alone(work: Callable[[], T]) -> T:
    """What the first process finds, as if it were alone, while the others wait for it."""
    if size() == 1:
        return work()
    found: list[T] = []
    if is_first():
        group = _group.pop()
        try:
            found.append(work())
        finally:
            _group.append(group)
    return share(found)[0]


def check_alike(facts: Mapping[str, Any], lacking: Sequence[str]) -> None:
    """Whether all processes are about to do the same: where one leaves something out, the others would wait for it.

    Args:
        facts: what the work depends on.
        lacking: why something is left out, in words, which may differ.

    Raises:
        BadInput: this process is about to do something else than the first.
    """
    theirs, they_lack = share((dict(facts), list(lacking)))
    differing = [key for key in {**theirs, **facts} if theirs.get(key) != facts.get(key)]
    if not differing:
        return
    key = differing[0]
    why = f"{key} is {facts.get(key)} here, and {theirs.get(key)} where the first process is"
    for where, ours, others in (("where the first process is", they_lack, lacking), ("here", lacking, they_lack)):
        only = [reason for reason in ours if reason not in others]
        if only:
            why = f"only {where}, {only[0]}"
    raise BadInput(f"the processes do not find the same: {why}")


def check_alone(what: str) -> None:
    """Whether there is one process for what only one can do.

    Raises:
        BadInput: torchrun has started several.
    """
    if launched() > 1:
        raise BadInput(f"{what} is the work of one process: start it without torchrun")
