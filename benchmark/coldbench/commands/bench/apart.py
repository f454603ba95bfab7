"""Measurements in processes of their own: for what belongs to a process, its threads and its peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from coldbench.core.errors import CheckFailed, one_line
from coldbench.core.memory import peak_bytes
from coldbench.data.sources import ImageSource

#: Torch's threads are set by this before the process starts.
_THREADS = "OMP_NUM_THREADS"


def measured_apart(workload: Mapping[str, Any], *, processes: int, threads: int) -> dict[str, float]:
    """Run a workload in one process or several, as one command.

    Args:
        workload: the arguments of a ``Workload`` of MNIST.
        processes: how many; several are started by torchrun, and meet by gloo.
        threads: of each.

    Returns:
        ``seconds`` from the first image to the last number, without what starting takes; ``peak_mib`` of memory.

    Raises:
        CheckFailed: a process failed.
    """
    module = [__spec__.name, json.dumps(workload)]
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, "-m", *([*torchrun, "-m"] if processes > 1 else []), *module]
    with tempfile.TemporaryDirectory(prefix="coldbench-") as folder:
        path = Path(folder) / "found.json"
        done = subprocess.run(
            [*command, str(path)],
            env={**os.environ, _THREADS: str(threads)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode or not path.exists():
            last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise CheckFailed(f"a measurement in a process of its own failed: {one_line(RuntimeError(last[0]))}")
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _measure(arguments: Mapping[str, Any], path: Path) -> None:
    """What the process does; the first of several writes what it found."""
    import torch

    from coldbench.commands.bench.workloads import Workload, prepared
    from coldbench.core import processes
    from coldbench.evaluation.restoration import Task, measure
    from coldbench.evaluation.resume import Keeper

    torch.set_num_threads(int(os.environ[_THREADS]))
    with processes.joined():
        job = prepared(Workload(**arguments), many=cycled)
        assert isinstance(job.task, Task)
        task = replace(job.task, restore=job.restore.restore, degradation=job.steps.whole)
        with torch.inference_mode():
            job.restore.restore(torch.zeros(job.restore.chunk, *job.shape), 1)
        processes.meet()
        started = time.perf_counter()
        measure(task, keeper=Keeper(path.with_name("state.pt"), {"workload": dict(arguments)}))
        seconds = time.perf_counter() - started
        if processes.is_first():
            path.write_text(json.dumps({"seconds": seconds, "peak_mib": peak_bytes() / (1 << 20)}), encoding="utf-8")


def cycled(source: ImageSource, count: int) -> ImageSource:
    """The images of a source again and again, none of them held, so that there are ``count``."""
    if count <= source.count:
        return source
    return ImageSource(source.name, f"{source.digest} x {count}", count, partial(_nth, source))


def _nth(source: ImageSource, index: int) -> Image.Image:
    return source.read(index % source.count)


if __name__ == "__main__":
    _measure(json.loads(sys.argv[1]), Path(sys.argv[2]))
