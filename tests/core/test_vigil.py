"""The watch over a group of processes: what it says where the machine of the first has gone."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

SILENT = """
import socket, sys, time
from coldbench.core import vigil

class Store:
    def get(self, key):
        return str(server.getsockname()[1]).encode()

    def check(self, keys):
        time.sleep(1000)

    compare_set = check

server = socket.create_server(("", 0))
vigil.TICK, vigil.SILENCE, vigil.GRACE = 0.1, 0.5, 3.0
watch = vigil.Watch(Store(), rank=1, size=2, address="localhost")
vigil._watch.append(watch)
vigil.signal.signal(vigil.signal.SIGTERM, vigil._interrupt)
watch.start()
"""
#: What a process does meanwhile: its own work, or one call to the silent store that no signal ends.
WAITING = """
try:
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(vigil.last_words("interrupted", own=False))
"""
DEAF = """
vigil.signal.signal(vigil.signal.SIGTERM, vigil.signal.SIG_IGN)
time.sleep(60)
"""


@pytest.mark.slow
def test_a_store_that_is_silent_ends_the_command_with_one_line() -> None:
    """As it is when its machine has lost its power: no connection is closed."""
    for work, begins in ((WAITING, ""), (DEAF, "coldbench: ")):
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", SILENT + work], capture_output=True, text=True, check=False, timeout=50
        )
        assert time.monotonic() - started < 30
        assert done.returncode == 1
        said = f"{begins}the machine of process 0 does not answer; the same command resumes from here"
        assert done.stderr.splitlines() == [said]
