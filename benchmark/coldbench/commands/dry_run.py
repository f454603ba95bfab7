"""``coldbench run --dry-run``: what a run would measure, what it lacks, and what it would take; nothing is kept."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from coldbench.commands import run
from coldbench.commands.calibration import MOST_IMAGES, Calibration, calibrated, interval_seconds
from coldbench.commands.draft import NOTHING_GIVEN, draft_of
from coldbench.commands.plan import Plan, plan
from coldbench.commands.request import Request
from coldbench.core import array_cache
from coldbench.core.errors import BadInput, Missing
from coldbench.core.memory import peak_bytes
from coldbench.core.processes import check_alone
from coldbench.core.progress import tell
from coldbench.data.cache import ImageStore
from coldbench.data.decoding import Pixels
from coldbench.data.sources import ImageSource
from coldbench.evaluation.checks import check_count
from coldbench.evaluation.generation import PAPER_IMAGES
from coldbench.evaluation.restoration import Task, cache_of_originals
from coldbench.metrics.features import FEATURES
from coldbench.records.formats import print_frame
from coldbench.tables.tables import Row, find_tables

#: The formats that it is printed in.
STYLES = ("markdown", "json")
#: Images that the smallest calibration takes.
_FEWEST = 16


@dataclass(frozen=True)
class Forecast:
    """What one row would take.

    Attributes:
        table, row: which.
        methods, metrics, features: that would be measured.
        images: N.
        evaluations: of the network, for all images and methods together.
        cached: what is there already.
        missing: what cannot be measured, and what supplies it.
        temporary_bytes: of disk, until the row is done: decoded images and features.
        cache_bytes: of disk, which the cache will take more.
        seconds: by part.
    """

    table: str
    row: str
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    features: tuple[str, ...]
    images: int
    evaluations: int
    cached: tuple[str, ...]
    missing: tuple[str, ...]
    temporary_bytes: int
    cache_bytes: int
    seconds: Mapping[str, float]

    @property
    def total_seconds(self) -> float:
        """Of all parts."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class DryRun:
    """What a command would take.

    Attributes:
        rows: in order.
        starting_seconds: what Python takes to load torch and all else, to find the rows, and to end.
        memory_bytes: the most that the calibration has held; the run holds as much, beside mapped files of features.
        uncounted: what was asked for that takes time or disk besides.
    """

    rows: Sequence[Forecast]
    starting_seconds: float
    memory_bytes: int
    uncounted: tuple[str, ...]

    @property
    def total_seconds(self) -> float:
        """Of the whole command."""
        return self.starting_seconds + sum(row.total_seconds for row in self.rows)


def dry_run(table: str, request: Request, *, rows: Sequence[str] = ()) -> DryRun:
    """Plan every row, and measure a few images of each that can be measured.

    Args:
        table, request, rows: see ``coldbench.commands.run.run_table``.

    Raises:
        BadInput, Missing: see ``coldbench run --help``; and there are several processes.
    """
    check_alone("coldbench run --dry-run")
    started = time.perf_counter()
    selected = run.requested_rows(table, rows, request)
    layout = {each.name: each.rows for each in find_tables(table)}
    selecting = time.perf_counter() - started
    store = _DryStore(request.root, workers=request.workers)
    # What is tried here is float32 alone; the trials of --dtype auto come on top.
    silent = replace(request, quiet=True, dtype=request.arithmetic)
    found = []
    for row in selected:
        if not request.quiet:
            tell(f"calibrating Table {row.table} {row.title}")
        found.append(_forecast(row, silent, store, layout[row.table]))
    uncounted = ("the trials of --dtype auto",) * (request.dtype == "auto")
    uncounted += ("the images that --save-images keeps",) * (request.save_images is not None)
    return DryRun(found, _starting_seconds() + selecting, peak_bytes(), uncounted)


def _starting_seconds() -> float:
    """What a process takes that loads what a run needs, and ends: to end takes a second, too."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {run.__name__}"], check=True)
    return time.perf_counter() - started


class _DryStore(ImageStore):
    """Images for a calibration: it tells how long decoding takes, and withholds training images.

    Their features are taken before a generator is measured, which may take hours; what was kept of them serves.

    Attributes:
        decoded: images that were decoded into a file.
        seconds: that this took.
        withheld: what a run would do first with the training images that were last asked for; empty where none were.
    """

    decoded, seconds, withheld = 0, 0.0, ""

    def source(self, spec: str, *, train: bool = False) -> ImageSource:
        source = super().source(spec, train=train)
        if train:
            self.withheld = (
                f"features of the {source.count:,} training images of {source.name} are not kept yet: the run takes "
                "them first, and how long that takes is not estimated"
            )
            raise Missing(self.withheld)
        return source

    def pixels(
        self, source: ImageSource, *, transform: str, image_size: int, channels: int, count: int | None = None
    ) -> Pixels:
        self.decoded, started = 0, time.perf_counter()
        self.progress = lambda label: self._count
        pixels = super().pixels(source, transform=transform, image_size=image_size, channels=channels, count=count)
        self.seconds = time.perf_counter() - started
        return pixels

    def _count(self, done: int, of: int) -> None:
        self.decoded = done


def _forecast(row: Row, request: Request, store: _DryStore, rows: Sequence[Row]) -> Forecast:
    started = time.perf_counter()
    draft = draft_of(row, request, NOTHING_GIVEN)
    fewest = max(_FEWEST, draft.protocol.feature_batch or 0)
    images = _images(row, request, store, draft.protocol.skipped, generates=bool(draft.start))

    def small(count: int) -> Plan:
        return plan(row, replace(request, images=count), store, tabled=True)

    store.withheld = ""
    with array_cache.unused():
        try:
            planned = small(min(fewest, images or fewest))
        except Missing:
            if not store.withheld:
                raise
            planned = Plan(row=row, request=request)
        planning = time.perf_counter() - started
        if planned.task is None or images is None:
            return _nothing(planned, store.withheld)
        decoding = _decoding_seconds(store, images + draft.protocol.skipped)
        in_file = store.decoded > 0
        calibration = calibrated(small, min(fewest, images), images, rows)
        intervals = interval_seconds(planned, calibration.dimensions, images)
    cached = _cached(planned, images)
    all_cached = bool(planned.features) and len(cached) == len(planned.features)
    seconds = {
        "preparing": planning + decoding,
        "network": calibration.network(images),
        "everything else": calibration.others(images, cached=all_cached and isinstance(planned.task, Task)),
        "intervals": intervals,
        "saving": calibration.saving,
    }
    return Forecast(
        table=row.table,
        row=row.title,
        methods=planned.methods,
        metrics=tuple(metric.name for metric in planned.metrics),
        features=tuple(space.name for space in planned.features),
        images=images,
        evaluations=round(calibration.evaluations * images),
        cached=tuple(cached),
        missing=_missing(planned),
        **_disk(planned, calibration, images, cached, in_file=in_file),
        seconds=seconds,
    )


def _images(row: Row, request: Request, store: ImageStore, skipped: int, *, generates: bool) -> int | None:
    """N; None where the images are absent.

    Raises:
        BadInput: more than there are.
    """
    if generates:
        return request.images or PAPER_IMAGES
    try:
        source = store.source(request.data or row.dataset)
    except Missing:
        return None
    images = source.count - skipped if request.images is None else request.images
    check_count(images, source.count, skipped, source.name)
    return images


def _nothing(planned: Plan, withheld: str) -> Forecast:
    """Of a row of which nothing can be measured, or nothing before something else was done."""
    row = planned.row
    missing = (withheld,) if withheld else _missing(planned)
    return Forecast(row.table, row.title, row.methods if withheld else (), row.metrics, (), 0, 0, (), missing, 0, 0, {})


def _missing(planned: Plan) -> tuple[str, ...]:
    methods: dict[str, list[str]] = {}
    for method, reason in planned.missing.items():
        methods.setdefault(reason, []).append(method)
    lines = [f"{', '.join(names)}: {reason}" for reason, names in methods.items()]
    return (*lines, *(f"{metric} in {space}: {reason}" for (metric, space), reason in planned.absent.items()))


def _decoding_seconds(store: _DryStore, images: int) -> float:
    """Of all images, by as many workers as the run will have."""
    if not store.decoded:
        return 0.0
    workers = (os.cpu_count() or 1) if store.workers is None and images > MOST_IMAGES else max(1, store.workers or 1)
    return store.seconds / store.decoded * images / workers


def _cached(planned: Plan, images: int) -> list[str]:
    """What need not be computed, of each feature space."""
    if not isinstance(planned.task, Task):
        return [f"statistics of training images in {space.name}" for space in planned.features]
    cache = cache_of_originals(replace(planned.task, images=images))
    return [f"features of originals in {space.name}" for space in planned.features if cache.find(space) is not None]


def _disk(
    planned: Plan, calibration: Calibration, images: int, cached: Sequence[str], *, in_file: bool
) -> dict[str, int]:
    """Features are float32, one file for each kind of image and feature space."""
    restores = isinstance(planned.task, Task)
    one_kind = {name: 4 * d * images for name, d in calibration.dimensions.items()}
    kinds = len(planned.methods) + restores
    decoded = images * math.prod(planned.shape) if in_file else 0
    new = [name for name in one_kind if FEATURES.is_builtin(name) and not any(each.endswith(name) for each in cached)]
    return {
        "temporary_bytes": decoded + kinds * sum(one_kind.values()),
        "cache_bytes": sum(one_kind[name] for name in new) if restores and array_cache.limit() else 0,
    }


def check_measurable(found: DryRun) -> None:
    """Whether anything could be measured.

    Raises:
        Missing: nothing could; says what the first row lacks.
    """
    if found.rows and not any(row.methods for row in found.rows):
        raise Missing(f"nothing could be measured: {next(iter(found.rows[0].missing), '')}")


def check_style(style: str) -> None:
    """Whether there is such a format of a dry run.

    Raises:
        BadInput: there is none.
    """
    if style not in STYLES:
        raise BadInput(f"--dry-run is printed as {' or '.join(STYLES)}, not {style}: choose another --format")


def render_dry_run(found: DryRun, style: str) -> str:
    """As ``markdown`` or ``json``."""
    if style == "json":
        rows = [{**asdict(row), "total_seconds": row.total_seconds} for row in found.rows]
        facts: dict[str, Any] = {**asdict(found), "rows": rows, "total_seconds": found.total_seconds}
        return json.dumps(facts, indent=1, allow_nan=False) + "\n"
    what = print_frame(_frame(found), "What would be measured", _notes(found), "markdown")
    times = print_frame(_times(found), "Seconds", [], "markdown")
    return f"{what}\n{times}" if any(row.seconds for row in found.rows) else what


def _frame(found: DryRun) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Table": row.table,
            "Row": row.row,
            "Methods": ", ".join(row.methods) or "-",
            "Metrics": ", ".join(row.metrics),
            "Features": ", ".join(row.features) or "-",
            "N": f"{row.images:,}" if row.seconds else "-",
            "Network evaluations": f"{row.evaluations:,}" if row.seconds else "-",
            "Disk": _size(row.temporary_bytes) if row.seconds else "-",
            "Time": _duration(row.total_seconds) if row.seconds else "-",
        }
        for row in found.rows
    )


def _notes(found: DryRun) -> list[str]:
    notes = [f"Table {row.table} {row.row}, cached: {each}" for row in found.rows for each in row.cached]
    notes += [f"Table {row.table} {row.row}, missing: {each}" for row in found.rows for each in row.missing]
    kept = sum(row.cache_bytes for row in found.rows)
    return [
        *notes,
        f"memory: {_size(found.memory_bytes)}; more images add mapped files, which the system may take back",
        f"disk: {_size(max((row.temporary_bytes for row in found.rows), default=0))} until a row is done, and "
        f"{_size(kept)} more in the cache",
        f"time: {_duration(found.total_seconds)}, of which {_duration(found.starting_seconds)} to start and end; on "
        "this machine, as busy as it is now",
        *(f"not counted: {each}" for each in found.uncounted),
    ]


def _times(found: DryRun) -> pd.DataFrame:
    return pd.DataFrame(
        {"Table": row.table, "Row": row.row, **{part.capitalize(): f"{each:.2f}" for part, each in row.seconds.items()}}
        for row in found.rows
        if row.seconds
    )


def _size(count: int) -> str:
    unit, name = next((each for each in ((1 << 30, "GiB"), (1 << 20, "MiB")) if count >= each[0]), (1 << 10, "KiB"))
    return f"{count / unit:.1f} {name}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
