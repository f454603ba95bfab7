"""Coldbench from Python: what the command line is made of, for notebooks and for models of your own.

    import coldbench

    model = coldbench.load_model("mnist-superres")
    frame = coldbench.evaluate(model.restore, model.degradation, "mnist", count=1000, channels=1)

Any callable R(x, s) can be evaluated: ``x`` float32 (B, C, S, S) in [-1, 1] with s degradations applied, s = 1..T;
it returns the estimate of the clean images, of the same shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from coldbench.core.devices import choose_device, device_name
from coldbench.core.errors import BadInput, Missing, foreign
from coldbench.core.paths import home
from coldbench.data.cache import ImageStore, Watch
from coldbench.data.datasets import open_source
from coldbench.data.sources import ImageSource
from coldbench.diffusion import checkpoints
from coldbench.diffusion.catalog import DEGRADATIONS, FEATURES, Entry, find_entry, load_entries
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.protocols import Protocol, parse_name, stored_name
from coldbench.evaluation.restoration import Task, check, check_count, measure
from coldbench.evaluation.scores import Outcome
from coldbench.metrics.features import FID_FEATURES, FeatureSpace
from coldbench.metrics.frechet import few_images
from coldbench.records.record import revision, versions

PAPER = Protocol("paper")


@dataclass(frozen=True)
class Model:
    """A checkpoint, ready to use.

    Attributes:
        restore: R(x_s, s); images come and go on its device.
        degradation: the D it was trained to undo, on the same device.
        entry: what the registry says of it.
    """

    restore: checkpoints.Restorer
    degradation: Degradation
    entry: Entry


def load_model(name: str, *, device: str = "auto", dtype: str = "float32", allow_random_weights: bool = False) -> Model:
    """A checkpoint of the registry: shipped, trained or imported.

    Args:
        name: see ``coldbench list models``.
        device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
        dtype: of the network, ``float32`` or ``bfloat16``.
        allow_random_weights: take random weights where there are no others.

    Raises:
        BadInput: an unknown name, or a damaged file of weights.
        Missing: no weights.
    """
    entry, where = _restoring(find_entry(name)), choose_device(device)
    restore = checkpoints.load_restorer(entry, where, dtype, random=allow_random_weights)
    return Model(restore, checkpoints.build_degradation(entry).to(where), entry)


def build_degradation(name: str, **settings: Any) -> Degradation:
    """D(x, s), s = 0..T.

    Args:
        name: a family (``coldbench list degradations``), a checkpoint whose settings are the defaults, or
            ``module:attribute`` of your own.
        settings: of the family, e.g. ``image_size=32, timesteps=20``.

    Raises:
        BadInput: an unknown name, or settings that it does not take.
    """
    entries = {} if name in DEGRADATIONS else load_entries()
    known = _restoring(entries[name]).degradation if name in entries else {"name": name}
    degradation = checkpoints.make(name, DEGRADATIONS, {**known, **settings})
    if not isinstance(degradation, Degradation):
        raise BadInput(f"degradation '{name}' gave {type(degradation).__name__} instead of a Degradation")
    return degradation


def _restoring(entry: Entry) -> Entry:
    """The entry, if it has a degradation to undo."""
    if not entry.degradation:
        raise BadInput(f"{entry.name} restores nothing: it is a feature extractor")
    return entry


def open_images(spec: str, *, data_root: Path | None = None, train: bool = False) -> ImageSource:
    """Images by name.

    Args:
        spec: a data set (``coldbench list datasets``), ``folder:PATH``, ``npz:PATH``, or ``module:function`` of your
            own, which takes (root, train) and returns an ``ImageSource``.
        data_root: folder of the data sets that do not ship; ``$COLDBENCH_HOME/data`` unless given.
        train: a data set's training images.

    Raises:
        BadInput: nothing usable there.
        Missing: a data set that is absent.
    """
    return open_source(spec, home() / "data" if data_root is None else data_root, train=train)


def evaluate(
    restore: Restore | None,
    degradation: Degradation,
    images: ImageSource | str,
    *,
    count: int | None = None,
    channels: int = 3,
    methods: Sequence[str] = ("degraded", "sampled", "direct"),
    features: Sequence[str] = ("auto",),
    transform: str = "native",
    protocol: Protocol = PAPER,
    seed: int = 0,
    batch_size: int = 64,
    device: str = "auto",
    workers: int | None = None,
    progress: Callable[[str], Watch] = lambda label: lambda done, of: None,
    watch: Callable[[int], object] = lambda done: None,
) -> pd.DataFrame:
    """Degrade images, restore them, and score what comes back.

    Args:
        restore: R(x, s), any callable; None if only ``degraded`` is asked for. A module is put on the device and into
            eval mode.
        degradation: D.
        images: what to restore; a string is opened by ``open_images``.
        count: only the first N; all unless given.
        channels: C, 1 or 3.
        methods: of ``degraded`` (x_T), ``sampled`` (Algorithm 2), ``direct`` (R(x_T, T)), ``naive`` (Algorithm 1).
        features: feature spaces of the Frechet distance; ``auto`` takes what is at hand, ``none`` none.
        transform: of the images, a name in ``coldbench.data.transforms.TRANSFORMS``.
        protocol: see ``coldbench.evaluation.protocols``.
        seed: of everything drawn at random.
        batch_size: images at a time; changes no result, if R treats images one by one.
        device: ``auto``, ``cpu`` or ``cuda``; where R and D compute.
        workers: processes that decode images; see ``coldbench.data.decoding.decode``.
        progress: see ``coldbench.data.cache.ImageStore``.
        watch: called after each restored batch with its number of images.

    Returns:
        One line a method and metric: ``value``, its 95 % interval ``low`` to ``high`` (NaN where N is too small for
        one), its ``deviation`` from the reference implementation's (see ``coldbench.metrics.audit``) and a ``warning``
        where there are too few images for the feature space, with N, seed, protocol and everything else that
        identifies the number. SSIM and RMSE are those of ``coldbench run``.

    Raises:
        BadInput: methods, images or settings that do not fit, or an R that returns something else than images.
        Missing: data, a device or a feature space that is absent.
        CheckFailed: a metric is not what its reference says.
    """
    where = choose_device(device)
    name, _, changes = parse_name(protocol.name)
    protocol = replace(protocol, name=stored_name(name, transform, changes))
    if channels not in (1, 3):
        raise BadInput(f"images have 1 or 3 channels, not {channels}")
    source = open_images(images) if isinstance(images, str) else images
    task = restoration_task(
        restore,
        degradation.to(where),
        source,
        ImageStore(home() / "data", workers=workers, progress=progress),
        count=count,
        channels=channels,
        methods=tuple(methods),
        features=feature_spaces(tuple(features), where),
        transform=transform,
        protocol=protocol,
        seed=seed,
        batch_size=batch_size,
        device=where,
    )
    return _frame(task, measure(task, watch), getattr(restore, "identity", {}))


def restoration_task(
    restore: Restore | None,
    degradation: Degradation,
    source: ImageSource,
    store: ImageStore,
    *,
    count: int | None,
    channels: int,
    methods: tuple[str, ...],
    features: Sequence[FeatureSpace],
    transform: str,
    protocol: Protocol,
    seed: int,
    batch_size: int,
    device: torch.device,
) -> Task:
    """All of a measurement but the measuring: images are decoded, and what does not fit is found out.

    Raises:
        BadInput: see ``evaluate``.
    """
    images = source.count - protocol.skipped if count is None else count
    check_count(images, source.count, protocol, source.name)
    pixels = store.pixels(
        source,
        transform=transform,
        image_size=degradation.image_size,
        channels=channels,
        count=images + protocol.skipped,
    )
    task = Task(
        pixels=pixels,
        degradation=degradation,
        restore=restore.to(device).eval() if isinstance(restore, nn.Module) else restore,
        features=features,
        methods=methods,
        protocol=protocol,
        images=images,
        seed=seed,
        batch_size=batch_size,
        device=device,
    )
    check(task)
    return task


def feature_spaces(
    names: tuple[str, ...], device: torch.device, *, auto: Sequence[str] = (FID_FEATURES,)
) -> list[FeatureSpace]:
    """The feature spaces of these names.

    Args:
        names: in ``FEATURES``; ``none`` alone for none, ``auto`` alone for those of ``auto`` that are at hand.
        device: where they compute.
        auto: what to look for.

    Raises:
        BadInput: an unknown name.
        Missing: one asked for by name is absent.
    """
    if names == ("none",):
        return []
    if names != ("auto",):
        return [_feature_space(name, device) for name in names]
    spaces = []
    for name in auto:
        try:
            spaces.append(_feature_space(name, device))
        except Missing:
            continue
    return spaces


@cache
def _feature_space(name: str, device: torch.device) -> FeatureSpace:
    """Loaded once for all rows."""
    make = FEATURES[name]
    with foreign(f"feature '{name}'"):
        space = make(device)
    if not isinstance(space, FeatureSpace):
        raise BadInput(f"feature '{name}' gave {type(space).__name__} instead of a FeatureSpace")
    return space


def _frame(task: Task, outcome: Outcome, network: Mapping[str, str]) -> pd.DataFrame:
    hashes = {space.name: space.sha256 for space in task.features}
    lines = []
    for (method, metric, features), estimate in outcome.estimates.items():
        low, high = estimate.interval() or (math.nan, math.nan)
        lines.append(
            {
                "method": method,
                "metric": metric,
                "features": features,
                "value": estimate.value,
                "low": low,
                "high": high,
                "deviation": outcome.deviations[method, metric, features],
                "warning": few_images(task.images, features, outcome.dimensions),
                "images": task.images,
                "seed": task.seed,
                "protocol": task.protocol.name,
                "data": task.pixels.source.name,
                "data_sha256": task.pixels.source.digest,
                "features_sha256": hashes.get(features, ""),
                "degradation": ", ".join(f"{key} {value}" for key, value in task.degradation.settings.items()),
                "checkpoint_sha256": network.get("sha256", "") if task.protocol.involves_network(method) else "",
                "dtype": network.get("dtype", "float32"),
                "device": device_name(task.device),
                "batch_size": task.batch_size,
                "seconds": outcome.seconds,
                "versions": " ".join(f"{name}={version}" for name, version in versions().items()),
                "revision": revision(),
            }
        )
    return pd.DataFrame(lines)
