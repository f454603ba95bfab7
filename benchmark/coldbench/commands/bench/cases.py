"""What is measured, case by case, and what is asked of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from coldbench.commands.bench.apart import measured_apart
from coldbench.commands.bench.sides import compared, plain_over_ours
from coldbench.commands.bench.workloads import Workload

RESTORED = ("degraded", "sampled", "direct")
#: A network and images that are small enough for a test.
_SMALL: dict[str, Any] = {"network": {"dim": 8, "dim_mults": [1, 2]}, "degradation": {"image_size": 32}}


@dataclass(frozen=True)
class Ratio:
    """A number without a unit, and what is asked of it.

    Attributes:
        name: what is divided by what.
        value: found.
        asked: ``at most`` or ``at least``, and the limit; None where nothing is asked.
        limit: see ``asked``.
    """

    name: str
    value: float
    asked: str = ""
    limit: float = 0.0

    def said(self) -> str:
        """What is asked, in words."""
        return f"{self.asked} {self.limit:g}" if self.asked else "-"


@dataclass(frozen=True)
class Case:
    """Something that is measured on its own.

    Attributes:
        kind: ``sides``, ``processes`` or ``memory``: the same kind is reported alike.
        measure: whether a quick trial will do -> what was found.
        ratios: what was found -> its ratios.
        device: that it needs.
    """

    kind: str
    measure: Callable[[bool], dict[str, Any]]
    ratios: Callable[[Mapping[str, Any]], Iterator[Ratio]]
    device: str = "cpu"

    @property
    def possible(self) -> bool:
        """Whether this machine has the device."""
        return self.device == "cpu" or torch.cuda.is_available()


def _table_1(quick: bool) -> dict[str, Any]:
    if quick:
        return compared(Workload("Table 1, MNIST", "mnist-blur", RESTORED, 32, steps=4), rounds=1)
    return compared(Workload("Table 1, MNIST", "mnist-blur", RESTORED, 1000), rounds=1)


def _blur_128(quick: bool) -> dict[str, Any]:
    title = "Blur of 128 pixels"
    if quick:
        return compared(Workload(title, "celeba-blur", RESTORED, 2, 4, **_SMALL), rounds=1)
    return compared(Workload(title, "celeba-blur", RESTORED, 2, 10), rounds=3)


def _generate_128(quick: bool) -> dict[str, Any]:
    title, methods = "Generation of 128 pixels", ("broken-symmetry",)
    if quick:
        return compared(Workload(title, "celeba-blur-generate", methods, 2, 4, **_SMALL), rounds=1)
    return compared(Workload(title, "celeba-blur-generate", methods, 2, 10), rounds=3)


def _on_a_gpu(title: str, checkpoint: str, methods: tuple[str, ...], quick: bool) -> dict[str, Any]:
    """Ten steps of a full network, with as many images as keep a GPU busy."""
    if quick:
        return compared(Workload(title, checkpoint, methods, 2, 4, batch_size=2, device="cuda", **_SMALL), rounds=1)
    return compared(Workload(title, checkpoint, methods, 64, 10, device="cuda"), rounds=2)


def _processes(quick: bool) -> dict[str, Any]:
    """One process on two cores, two on two, and one on one, in turns."""
    images, timesteps, rounds = (32, 2, 1) if quick else (960, 20, 2)
    workload = {
        "title": "Table 1, MNIST",
        "checkpoint": "mnist-blur",
        "methods": RESTORED,
        "images": images,
        "degradation": {"timesteps": timesteps},
    }
    layouts = {"1 process of 2 threads": (1, 2), "2 processes of 1 thread": (2, 1), "1 process of 1 thread": (1, 1)}
    seconds: dict[str, list[float]] = {name: [] for name in layouts}
    for _ in range(rounds):
        for name, (processes, threads) in layouts.items():
            seconds[name].append(measured_apart(workload, processes=processes, threads=threads)["seconds"])
    return {
        "images": images,
        "T": timesteps,
        "rounds": rounds,
        "seconds": {name: statistics.median(each) for name, each in seconds.items()},
    }


def _memory(quick: bool) -> dict[str, Any]:
    """Degraded and direct images of Table 3, whose network is called once an image."""
    workload = {"title": "Table 3, MNIST", "checkpoint": "mnist-superres", "methods": ("degraded", "direct")}
    counts = (64, 128, 256) if quick else (1_000, 10_000, 50_000)
    found = {count: measured_apart({**workload, "images": count}, processes=1, threads=1) for count in counts}
    return {
        "peak_mib": {str(count): each["peak_mib"] for count, each in found.items()},
        "seconds": {str(count): each["seconds"] for count, each in found.items()},
    }


def _ratios_of_sides(most: float, least: float) -> Callable[[Mapping[str, Any]], Iterator[Ratio]]:
    def ratios(found: Mapping[str, Any]) -> Iterator[Ratio]:
        yield Ratio("our run over the floor", found["over_floor"]["all_steps"], "at most", most)
        asked = "at least" if least else ""
        yield Ratio("plain implementation over our run", plain_over_ours(found, "all_steps"), asked, least)

    return ratios


def _ratios_of_processes(found: Mapping[str, Any]) -> Iterator[Ratio]:
    both, two, one = found["seconds"].values()
    yield Ratio("2 processes over 1, both on two cores", two / both, "at most", 1.1)
    yield Ratio("1 process of one thread over 2", one / two, "at least", 1.9)


def _ratios_of_memory(found: Mapping[str, Any]) -> Iterator[Ratio]:
    fewest, *_, most = found["peak_mib"]
    yield Ratio(
        f"peak memory of {int(most):,} images over {int(fewest):,}",
        found["peak_mib"][most] / found["peak_mib"][fewest],
        "at most",
        1.1,
    )


#: A new case is a line here.
CASES = {
    "table-1-mnist": Case("sides", _table_1, _ratios_of_sides(1.05, 0)),
    "blur-128": Case("sides", _blur_128, _ratios_of_sides(1.03, 1.3)),
    "generate-128": Case("sides", _generate_128, _ratios_of_sides(1.03, 2.2)),
    "blur-128-gpu": Case(
        "sides",
        partial(_on_a_gpu, "Blur of 128 pixels", "celeba-blur", RESTORED),
        _ratios_of_sides(1.03, 5),
        "cuda",
    ),
    "generate-128-gpu": Case(
        "sides",
        partial(_on_a_gpu, "Generation of 128 pixels", "celeba-blur-generate", ("broken-symmetry",)),
        _ratios_of_sides(1.03, 5),
        "cuda",
    ),
    "processes": Case("processes", _processes, _ratios_of_processes),
    "memory": Case("memory", _memory, _ratios_of_memory),
}
