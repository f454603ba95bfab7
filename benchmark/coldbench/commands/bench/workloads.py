"""What the sides are compared on: rows of the paper, with few images and, at 128 pixels, few of the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from coldbench.commands.bench.clocks import (
    Clock,
    ClockedRestore,
    SomeSteps,
    clocked_metric,
    clocked_pixels,
    clocked_space,
)
from coldbench.core.paths import data_folder
from coldbench.data.datasets import open_mnist
from coldbench.data.decoding import Pixels, decode
from coldbench.data.sources import ImageSource, array_source
from coldbench.data.transforms import find_transform, to_model_range
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.catalog import Entry, find_recipe
from coldbench.diffusion.checkpoints import load_restorer
from coldbench.evaluation.generation import Generation
from coldbench.evaluation.loop import to_unit
from coldbench.evaluation.protocols import find_protocol
from coldbench.evaluation.restoration import Task
from coldbench.metrics.digits import mnist_cnn
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.frechet import FeatureStatistics
from coldbench.metrics.metric import find_metrics

#: Of everything that is drawn at random.
SEED = 0
#: A start for generators whose own would have to be fitted to images that do not ship: channel means in [-1, 1].
START = {"name": "channel-means", "mean": [-0.2, -0.2, -0.2], "covariance": np.diag([0.05] * 3).tolist()}


@dataclass(frozen=True)
class Workload:
    """A row of the paper, made short.

    Attributes:
        title: for people.
        checkpoint: of the registry; random weights where it has none.
        methods: names of samplers.
        images: N.
        steps: how many of the T steps are taken (see ``SomeSteps``); all unless given.
        batch_size: images at a time in our run; the plain side takes all at once.
        network, degradation: other settings than the checkpoint's.
        device: ``cpu`` or ``cuda``.
    """

    title: str
    checkpoint: str
    methods: tuple[str, ...]
    images: int
    steps: int | None = None
    batch_size: int = 64
    network: dict[str, Any] = field(default_factory=dict)
    degradation: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"

    def entry(self) -> Entry:
        """The checkpoint, with these settings."""
        entry = find_recipe(self.checkpoint)
        return replace(
            entry,
            network={**entry.network, **self.network},
            degradation={**entry.degradation, **self.degradation},
            sha256=None if self.network else entry.sha256,
        )


@dataclass(frozen=True)
class Job:
    """A workload, ready to be run by either side.

    Attributes:
        task: what is measured, with a clock on each part.
        restore, steps: its R and D.
        originals: the images that are restored, or that generated ones are compared with.
        clock: holds the seconds.
    """

    task: Task | Generation
    restore: ClockedRestore
    steps: SomeSteps
    originals: Pixels
    clock: Clock

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, S, S)."""
        return self.originals.channels, self.steps.image_size, self.steps.image_size


def prepared(workload: Workload, many: Callable[[ImageSource, int], ImageSource] = lambda source, count: source) -> Job:
    """Load and build what a workload needs.

    Args:
        workload: what.
        many: makes a source of so many images of one that may have fewer.
    """
    entry, device = workload.entry(), torch.device(workload.device)
    clock = Clock(device)
    whole = build_degradation(entry.degradation, entry.name)
    steps = SomeSteps(whole, workload.steps or whole.timesteps, clock).to(device)
    restorer = load_restorer(entry, device, random=True, batch_size=workload.batch_size)
    restore = ClockedRestore(restorer, steps, clock)
    originals = clocked_pixels(_originals(entry, workload.images, whole.image_size, many), clock)
    generates = bool(entry.start)
    space = _features(whole.image_size, device)
    common: dict[str, Any] = {
        "degradation": steps,
        "restore": restore,
        "metrics": [clocked_metric(metric, clock) for metric in find_metrics(_metrics(generates))],
        "features": [clocked_space(space, clock)],
        "methods": workload.methods,
        "images": workload.images,
        "seed": SEED,
        "batch_size": workload.batch_size,
        "device": device,
    }
    task: Task | Generation
    if generates:
        start = entry.start if "mean" in entry.start else START
        references = {(space.name, "FID"): _seen(space, originals, device)}
        task = Generation(**common, start=start, references=references, channels=entry.channels)
    else:
        protocol = find_protocol("paper", str(entry.degradation["name"]), entry.dataset)
        task = Task(**common, pixels=originals, protocol=protocol)
    return Job(task, restore, steps, originals, clock)


def _metrics(generates: bool) -> tuple[str, ...]:
    return ("FID",) if generates else ("FID", "SSIM", "RMSE")


def _originals(entry: Entry, images: int, size: int, many: Callable[[ImageSource, int], ImageSource]) -> Pixels:
    source = open_mnist(data_folder(None)) if entry.dataset == "mnist" else smooth_noise(images, size)
    return decode(
        many(source, images),
        transform=find_transform("native"),
        image_size=size,
        channels=entry.channels,
        count=images,
        workers=0,
    )


def smooth_noise(images: int, size: int) -> ImageSource:
    """Images as smooth as photographs, which may not ship: 8 x 8 random colours, interpolated."""
    colours = np.random.default_rng(SEED).random((images, 3, 8, 8), dtype=np.float32)
    smooth = F.interpolate(torch.from_numpy(colours), size=(size, size), mode="bilinear")
    return array_source("smooth noise", (255 * smooth).byte().permute(0, 2, 3, 1).contiguous().numpy())


def _features(size: int, device: torch.device) -> FeatureSpace:
    """mnist-cnn, which ships; it sees larger images at its own 32 pixels, by their means."""
    space = mnist_cnn(device)
    if space.image_size == size:
        return space
    return FeatureSpace(f"{space.name} at 32 pixels", space.sha256, partial(_at_32_pixels, space))


def _at_32_pixels(space: FeatureSpace, images: Tensor) -> Tensor:
    return space.extract(F.interpolate(images, size=(32, 32), mode="area"))


@torch.inference_mode()
def _seen(space: FeatureSpace, originals: Pixels, device: torch.device) -> FeatureStatistics:
    statistics = FeatureStatistics()
    statistics.update(space.extract(clean(originals, device)))
    return statistics


def clean(originals: Pixels, device: torch.device) -> Tensor:
    """All of them on a device, (N, C, S, S) in [0, 1]."""
    return to_unit(to_model_range(originals.batch(range(originals.count)).to(device)))
