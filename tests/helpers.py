"""The command line, as whoever types it sees it, and images as tensors."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from coldbench.cli import entry_point
from coldbench.core.files import sha256_of
from coldbench.data.datasets import open_mnist
from coldbench.data.decoding import decode
from coldbench.data.sources import ImageSource
from coldbench.data.transforms import TRANSFORMS
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.catalog import find_entry
from coldbench.diffusion.checkpoints import Restorer, load_network
from coldbench.evaluation.protocols import Protocol
from coldbench.evaluation.restoration import Task
from coldbench.metrics.digits import mnist_cnn
from coldbench.metrics.hub import HubWeights
from coldbench.metrics.metric import find_metrics
from coldbench.records.record import Record

#: Tables as an earlier release measured them, 100 images a row in ``quick`` and all in ``full``. The records that ship
#: change with the networks; these do not.
EARLIER = Path(__file__).parent / "records" / "kept"


def coldbench(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A command and its outcome, without the seconds that a process of its own would spend on importing torch."""
    command = ["coldbench", *map(str, arguments)]
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", command),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        contextlib.chdir(cwd or Path.cwd()),
    ):
        try:
            entry_point()
        except SystemExit as left:
            code = int(left.code or 0)
    return subprocess.CompletedProcess(command, code, stdout.getvalue(), stderr.getvalue())


def interruptible(*arguments: str) -> list[str]:
    """The command line as one that heeds Ctrl-C: started in the background of a shell, it would ignore it."""
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    return [sys.executable, "-c", f"{heed}; from coldbench.cli import entry_point; entry_point()", *arguments]


def assert_one_clear_line(done: subprocess.CompletedProcess[str], code: int, message: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert done.stdout == ""


def loaded(source: ImageSource, image_size: int = 32, channels: int = 3, transform: str = "native") -> Tensor:
    """All images of a source, uint8 (N, C, S, S)."""
    pixels = decode(source, transform=TRANSFORMS[transform], image_size=image_size, channels=channels)
    return pixels.batch(range(source.count))


def restoration_task(
    name: str,
    images: int,
    batch_size: int = 64,
    methods: tuple[str, ...] = ("degraded", "sampled", "direct"),
    protocol: Protocol | None = None,
    metrics: tuple[str, ...] = ("FID", "SSIM", "RMSE"),
    **settings: object,
) -> Task:
    """A measurement of a shipped checkpoint on the first MNIST test images, on the CPU.

    The network works on 16 images at a time, however few there are: small batches cost as much as whole ones.
    """
    entry, cpu = find_entry(name), torch.device("cpu")
    count = min(images + 1, 10_000)
    return Task(
        pixels=decode(
            open_mnist(Path("nowhere")), transform=TRANSFORMS["native"], image_size=32, channels=1, count=count
        ),
        degradation=build_degradation({**entry.degradation, **settings}, name),
        restore=Restorer(load_network(entry), cpu),
        metrics=find_metrics(metrics),
        features=[mnist_cnn(cpu)],
        methods=methods,
        protocol=protocol or Protocol("paper"),
        images=images,
        seed=0,
        batch_size=batch_size,
        device=cpu,
    )


def changed(records: Sequence[Record], method: str, label: str, **values: Any) -> list[Record]:
    """The records, those of one method and metric with other values; parts such as ``identity`` by their fields."""
    return [
        edited(record, **values) if (record.where.method, record.metric.label) == (method, label) else record
        for record in records
    ]


def edited(record: Record, **values: Any) -> Record:
    """The record with other values; of its parts, with other values of their fields."""
    parts = {
        name: dataclasses.replace(getattr(record, name), **value)
        if dataclasses.is_dataclass(getattr(record, name)) and isinstance(value, dict)
        else value
        for name, value in values.items()
    }
    return dataclasses.replace(record, **parts)


def written(weights: HubWeights, write: Callable[[Path], object]) -> HubWeights:
    """Weights of our own where the true ones belong, which cannot ship; what is pinned is the hash of this file."""
    weights.path.parent.mkdir(parents=True, exist_ok=True)
    write(weights.path)
    return dataclasses.replace(weights, sha256=sha256_of(weights.path))


def run_apart(function: Callable[..., object], *arguments: str) -> None:
    """Call a function of a module in a process of its own, with one thread, so that it may fork; it must not fail."""
    script = (
        "import sys, torch, importlib; torch.set_num_threads(1)\n"
        "getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(*sys.argv[3:])"
    )
    command = [sys.executable, "-c", script, function.__module__, function.__name__, *arguments]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
