"""``coldbench run``: prepare every row, measure, save, render."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from coldbench import results
from coldbench.checkpoints import Restorer, build_degradation, load_network
from coldbench.datasets import ImageSource, open_source
from coldbench.devices import choose_device, device_name
from coldbench.errors import BadInput, Missing
from coldbench.files import write_text
from coldbench.metrics.features import FID_FEATURES, FeatureSpace
from coldbench.registry import DATASETS, FEATURES, Entry, did_you_mean, find_entry
from coldbench.render import render, save_picture
from coldbench.results import Cell
from coldbench.runner import Outcome, Task, measure
from coldbench.tables import METHODS, METRICS, Row, published_numbers, select_rows


@dataclass(frozen=True)
class RunOptions:
    """A request to measure tables; see ``coldbench run --help``."""

    table: str
    rows: tuple[str, ...] = ()
    methods: tuple[str, ...] = METHODS
    images: int | None = None
    data: str | None = None
    features: str = "auto"
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 64
    seed: int = 0
    data_root: Path = Path("data")
    output: Path = Path("results/run")
    quiet: bool = False


@dataclass(frozen=True)
class Prepared:
    """A row and, unless something is missing, the task that measures it."""

    row: Row
    entry: Entry
    task: Task | None
    reason: str = ""


def run_tables(options: RunOptions, style: str = "markdown") -> str:
    """Measure the requested rows, write records, tables and pictures, and render them all.

    Everything is prepared before anything is measured, so that a bad request costs no time.

    Raises:
        BadInput, Missing: see ``coldbench run --help``.
    """
    rows = select_rows(options.table, options.rows)
    _check_methods(options, rows)
    _check_writable(options.output)
    prepared = [_prepare(row, options) for row in rows]
    cells: list[Cell] = []
    for item in prepared:
        cells += _run_row(item, options)
        finished = [cell for cell in cells if cell.table == item.row.table]
        stem = options.output / f"table-{item.row.table}"
        results.save(finished, stem.with_suffix(".json"))
        write_text(stem.with_suffix(".md"), render(finished, "markdown"))
    return render(cells, style)


def _check_methods(options: RunOptions, rows: Sequence[Row]) -> None:
    for method in options.methods:
        if method not in METHODS:
            raise BadInput(f"unknown method '{method}'{did_you_mean(method, METHODS)}")
    if not options.methods:
        raise BadInput(f"no methods given; known: {', '.join(METHODS)}")
    if options.data and len({row.dataset for row in rows}) != 1:
        raise BadInput("--data replaces the images of one row: say which, e.g. --rows mnist")


def _check_writable(folder: Path) -> None:
    """Find out before the measuring, not after."""
    probe = folder / f".writable-{os.getpid()}"
    write_text(probe, "")
    probe.unlink()


def _prepare(row: Row, options: RunOptions) -> Prepared:
    entry = find_entry(row.checkpoint)
    device = choose_device(options.device)
    try:
        source = _source(row, options)
        needs_network = options.methods != ("degraded",)
        network = load_network(entry) if needs_network else None
        features = _feature_spaces(row, options.features, device)
    except Missing as error:
        return Prepared(row, entry, None, str(error))
    dtype: torch.dtype = getattr(torch, options.dtype)
    images = source.count if options.images is None else options.images
    task = Task(
        source=source,
        degradation=build_degradation(entry).to(device),
        restore=None if network is None else Restorer(network, device, dtype),
        features=features,
        methods=options.methods,
        images=images,
        channels=entry.network["channels"],
        seed=options.seed,
        batch_size=options.batch_size,
        device=device,
    )
    if images > source.count:
        raise BadInput(f"{source.name} has {source.count} images, not {images}: lower --images")
    source.load([0], image_size=task.degradation.image_size, channels=task.channels)
    return Prepared(row, entry, task)


def _source(row: Row, options: RunOptions) -> ImageSource:
    if options.data:
        return open_source(options.data)
    source: ImageSource = DATASETS[row.dataset](options.data_root)
    return source


def _feature_spaces(row: Row, names: str, device: torch.device) -> list[FeatureSpace]:
    """The feature spaces asked for; ``auto`` is Inception where its weights are, and the digits' own on MNIST."""
    if names == "none":
        return []
    if names != "auto":
        return [FEATURES[name.strip()](device) for name in names.split(",")]
    spaces = []
    for name in (FID_FEATURES, "mnist-cnn") if row.dataset == "mnist" else (FID_FEATURES,):
        try:
            spaces.append(FEATURES[name](device))
        except Missing:
            continue
    return spaces


def _run_row(item: Prepared, options: RunOptions) -> list[Cell]:
    if item.task is None:
        return [
            _cell(item, options, method, metric, "", None, None, item.reason)
            for method in options.methods
            for metric in METRICS
        ]
    label = f"Table {item.row.table} {item.row.title}"
    with tqdm(total=item.task.images, desc=label, unit="img", disable=options.quiet) as bar:
        outcome = measure(item.task, lambda done: bar.update(done) and None)
    name = f"table-{item.row.table}-{item.row.dataset}.png"
    save_picture(outcome.gallery, options.output / "pictures" / name)
    return _cells(item, options, outcome)


def _cells(item: Prepared, options: RunOptions, outcome: Outcome) -> list[Cell]:
    cells = []
    for method in options.methods:
        for (of, metric, features), value in outcome.values.items():
            if of == method:
                cells.append(_cell(item, options, method, metric, features, value, outcome))
        if not any(cell.metric == "FID" and cell.method == method for cell in cells):
            reason = f"{FID_FEATURES} features were not computed: coldbench fetch inception"
            cells.append(_cell(item, options, method, "FID", FID_FEATURES, None, outcome, reason))
    return cells


def _cell(
    item: Prepared,
    options: RunOptions,
    method: str,
    metric: str,
    features: str,
    value: float | None,
    outcome: Outcome | None,
    reason: str = "",
) -> Cell:
    task, published = item.task, published_numbers(item.row).get((method, metric))
    used_network = task is not None and method != "degraded"
    hashes = {space.name: space.sha256 for space in task.features} if task else {}
    return Cell(
        table=item.row.table,
        dataset=item.row.title,
        degradation=item.entry.degradation["name"],
        method=method,
        metric=metric,
        features=features,
        value=value,
        published=published.value if published else None,
        note=published.note if published else "",
        images=task.images if task else None,
        seed=options.seed,
        protocol=results.PROTOCOL,
        checkpoint=item.entry.name,
        checkpoint_sha256=item.entry.sha256 if used_network else None,
        data=task.source.name if task else "",
        data_sha256=task.source.digest if task else None,
        features_sha256=hashes.get(features),
        device=device_name(task.device) if task else options.device,
        dtype=options.dtype,
        batch_size=options.batch_size,
        status="missing" if value is None else "measured",
        reason=reason,
        seconds=outcome.seconds if outcome else None,
        network_seconds=outcome.network_seconds if outcome else None,
        images_per_second=task.images / outcome.seconds if task and outcome else None,
        versions=results.versions(),
        revision=results.revision(),
    )

