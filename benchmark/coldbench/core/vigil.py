"""Watching over a group of processes: when one fails or dies, all end, and one line says why.

The first process holds a connection to each of the others. Whatever ends a process, the system closes its connections:
that is noticed at once, however busy the others are; where a whole machine has gone, the system finds out in seconds.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from coldbench.core import processes

if TYPE_CHECKING:  # --help does not wait for torch
    from torch.distributed.distributed_c10d import Store

#: Seconds between two looks at whether another process has failed, and how long one waits for what others say of it.
TICK = 1.0
#: Seconds that a process has for the end of its batch when another has failed.
GRACE = 10.0
#: Seconds after which a store that does not answer counts as gone.
SILENCE = 10.0
#: Seconds that the processes have to find each other.
_MEETING = 120.0
#: What a process sends whose work is done.
_GOODBYE = b"."

#: The watch of this process; nothing in a process that is alone.
_watch: list[Watch] = []


@contextmanager
def kept() -> Iterator[None]:
    """Join the group that torchrun has started, if it has, and watch over it."""
    with processes.joined() as store:
        if store is None:
            yield
            return
        watch = Watch(store, processes.rank(), processes.size(), os.environ["MASTER_ADDR"])
        _watch[:] = [watch]
        signal.signal(signal.SIGTERM, _interrupt)
        watch.start()
        yield
        processes.meet()
        watch.finish()


def last_words(message: str, *, own: bool) -> str:
    """What this process should say as it fails: nothing, if another has said it.

    Args:
        message: what it would say if it were alone.
        own: whether the failure is its own for certain; else it may have come of another's.
    """
    if not _watch:
        return message
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun sends it to those that are left, and this one is leaving
    return _watch[0].last_words(message, own=own)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class Watch(threading.Thread):
    """The watch of one process over its group.

    Args:
        store: what all processes write to and read from.
        rank, size: of this process, and of the group.
        address: of the machine of the first process.

    Attributes:
        lost: which process has died, in words; empty while none has.
    """

    def __init__(self, store: Store, rank: int, size: int, address: str) -> None:
        super().__init__(daemon=True, name="coldbench-watch")
        self.store, self.rank, self.size, self.lost = store, rank, size, ""
        self._leads = processes.local_rank() == 0  # of those of its machine
        self._silent = False
        self._others = _connections(store, rank, size, address)
        self._ended = threading.Event()

    def run(self) -> None:
        """Look after the others until this process ends, or has to."""
        while not self._ended.is_set():
            for other in self._heard():
                self._listen(other)
            if self.lost or self._has_failed():
                self._end()
                return

    def finish(self) -> None:
        """Tell the others that this process is going to end because its work is done."""
        self._ended.set()
        self.join()
        for connection in self._others.values():
            with suppress(OSError):
                connection.sendall(_GOODBYE)
                connection.close()
        _watch.clear()

    def last_words(self, message: str, *, own: bool) -> str:
        """See ``last_words`` of the module."""
        if self.rank or not own:
            # What fails on all of them, the first says; and who has died is known in a moment.
            # The first hears of every death, and the others of its own alone.
            time.sleep((4 if self.rank and not own else 2) * TICK)
        said = message if own or not self.lost else self.lost
        if self.rank and own:
            said = f"process {self.rank} of {self.size}: {message}"
        return said if self._speaks_first() else ""

    def _speaks_first(self) -> bool:
        """Whether nobody has said anything yet."""
        mine = str(self.rank)
        # Where the store has gone, one process of each machine that is left speaks.
        return self._answer(lambda: self.store.compare_set("failed", "", mine) == mine.encode(), self._leads)

    def _has_failed(self) -> bool:
        return self._answer(lambda: self.store.check(["failed"]), True)

    def _answer(self, ask: Callable[[], bool], otherwise: bool) -> bool:
        """What the store says; ``otherwise`` where it has gone, or is silent, as it is where its machine has gone."""
        if self._silent:
            return otherwise
        answers: list[bool] = []

        def listen() -> None:
            try:
                answers.append(bool(ask()))
            except RuntimeError:
                answers.append(otherwise)

        asking = threading.Thread(target=listen, daemon=True, name="coldbench-store")
        with suppress(RuntimeError):  # the program is just ending
            asking.start()
            asking.join(SILENCE)
        if not answers:
            self._silent = True
            self.lost = self.lost or "the machine of process 0 does not answer; the same command resumes from here"
        return answers[0] if answers else otherwise

    def _heard(self) -> list[int]:
        """Those who have sent something, or have gone."""
        numbers = {connection: number for number, connection in self._others.items()}
        if not numbers:
            time.sleep(TICK)
        return [numbers[connection] for connection in select.select(list(numbers), [], [], TICK)[0]]

    def _listen(self, other: int) -> None:
        try:
            said = self._others[other].recv(1)
        except OSError:
            said = b""
        del self._others[other]
        if said != _GOODBYE:
            self.lost = (
                f"process {other} of {self.size} has died (killed, or out of memory?); "
                "the same command resumes from here"
            )

    def _end(self) -> None:
        """End this process: at the end of its batch if that comes soon, else at once."""
        os.kill(os.getpid(), signal.SIGTERM)
        if self._ended.wait(GRACE):
            return
        if self.lost and self._speaks_first():
            os.write(2, f"coldbench: {self.lost}\n".encode())
        os._exit(1)


def _connections(store: Store, rank: int, size: int, address: str) -> dict[int, socket.socket]:
    """Rank -> the connection to it: of the first process to all others, and of those to the first."""
    if rank:
        connection = socket.create_connection((address, int(store.get("watch"))), _MEETING)
        connection.sendall(rank.to_bytes(4, "big"))
        return {0: _kept_alive(connection)}
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    others: dict[int, socket.socket] = {}
    with socket.create_server(("", 0), family=family, backlog=size, dualstack_ipv6=dual) as server:
        server.settimeout(_MEETING)
        store.set("watch", str(server.getsockname()[1]))
        while len(others) < size - 1:
            connection, _ = server.accept()
            others[int.from_bytes(connection.recv(4), "big")] = _kept_alive(connection)
    return others


def _kept_alive(connection: socket.socket) -> socket.socket:
    """Let the system find out within seconds when the other machine has gone."""
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3}.items():
        if hasattr(socket, name):  # macOS has another name for the first
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection
