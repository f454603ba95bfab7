"""``coldbench run``: prepare every row, measure, save, render."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import torch
from tqdm import tqdm

from coldbench import results
from coldbench.checkpoints import Restorer, build_degradation, load_network
from coldbench.datasets import ImageSource, open_source
from coldbench.devices import choose_device, device_name
from coldbench.errors import BadInput, Missing
from coldbench.files import write_text
from coldbench.metrics.features import FID_FEATURES, FeatureSpace
from coldbench.protocols import find_protocol
from coldbench.registry import DATASETS, FEATURES, Entry, did_you_mean, find_entry
from coldbench.render import render, save_picture
from coldbench.results import Cell
from coldbench.runner import Outcome, Task, check, measure
from coldbench.tables import METHODS, METRICS, Published, Row, published_numbers, select_rows

METRIC_ORDER = ("FID", "FD", "SSIM", "RMSE")


@dataclass(frozen=True)
class RunOptions:
    """A request to measure tables; see ``coldbench run --help``."""

    table: str
    rows: tuple[str, ...] = ()
    methods: tuple[str, ...] = METHODS
    images: int | None = None
    data: str | None = None
    features: tuple[str, ...] = ("auto",)
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 64
    seed: int = 0
    protocol: str = "paper"
    data_root: Path = Path("data")
    output: Path = Path("results/run")
    quiet: bool = False


@dataclass(frozen=True)
class Prepared:
    """A row, the task that measures it (None if nothing can be), and why some methods cannot be measured."""

    row: Row
    entry: Entry
    task: Task | None
    missing: Mapping[str, str]


def measure_tables(options: RunOptions) -> list[Cell]:
    """Measure the requested rows; write records, tables and pictures as each row finishes.

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
    return cells


def _check_methods(options: RunOptions, rows: Sequence[Row]) -> None:
    for method in options.methods:
        if method not in METHODS:
            raise BadInput(f"unknown method '{method}'{did_you_mean(method, METHODS)}")
    if options.data and len({row.dataset for row in rows}) != 1:
        raise BadInput("--data replaces the images of one row: say which, e.g. --rows mnist")


def _check_writable(folder: Path) -> None:
    """Find out before the measuring, not after."""
    probe = folder / f".writable-{os.getpid()}"
    write_text(probe, "")
    probe.unlink()


def _prepare(row: Row, options: RunOptions) -> Prepared:
    """Open the row's data and load its network; what is absent becomes a reason, what is wrong an error."""
    entry = find_entry(row.checkpoint)
    device = choose_device(options.device)
    try:
        source = _source(row, options)
    except Missing as error:
        return Prepared(row, entry, None, dict.fromkeys(options.methods, str(error)))
    restore, missing = None, {}
    protocol = find_protocol(options.protocol, entry.degradation["name"])
    restoring = [method for method in options.methods if protocol.involves_network(method)]
    if restoring:
        try:
            restore = Restorer(load_network(entry), device, getattr(torch, options.dtype))
        except Missing as error:
            missing = dict.fromkeys(restoring, str(error))
    methods = [method for method in options.methods if method not in missing]
    if not methods:
        return Prepared(row, entry, None, missing)
    task = Task(
        source=source,
        degradation=build_degradation(entry, protocol.settings).to(device),
        restore=restore,
        features=_feature_spaces(row, options.features, device),
        methods=methods,
        protocol=protocol,
        images=source.count - protocol.skipped if options.images is None else options.images,
        channels=entry.network["channels"],
        seed=options.seed,
        batch_size=options.batch_size,
        device=device,
    )
    check(task)
    return Prepared(row, entry, task, missing)


def _source(row: Row, options: RunOptions) -> ImageSource:
    if options.data:
        return open_source(options.data)
    source: ImageSource = DATASETS[row.dataset](options.data_root)
    return source


def _feature_spaces(row: Row, names: tuple[str, ...], device: torch.device) -> list[FeatureSpace]:
    """The feature spaces asked for; ``auto`` is Inception where its weights are, and the digits' own on MNIST."""
    if names == ("none",):
        return []
    if names != ("auto",):
        return [_feature_space(name, device) for name in names]
    spaces = []
    for name in (FID_FEATURES, "mnist-cnn") if row.dataset == "mnist" else (FID_FEATURES,):
        try:
            spaces.append(_feature_space(name, device))
        except Missing:
            continue
    return spaces


@cache
def _feature_space(name: str, device: torch.device) -> FeatureSpace:
    """Loaded once for all rows."""
    space: FeatureSpace = FEATURES[name](device)
    return space


def _run_row(item: Prepared, options: RunOptions) -> list[Cell]:
    facts = _facts(item, options)
    published = published_numbers(item.row)
    cells = [
        _cell(facts, published, method, metric, reason=reason)
        for method, reason in item.missing.items()
        for metric in METRICS
    ]
    if item.task is None:
        return cells
    label = f"Table {item.row.table} {item.row.title}"
    with tqdm(total=item.task.images, desc=label, unit="img", disable=options.quiet) as bar:
        outcome = measure(item.task, bar.update)
    if not options.quiet:
        click.echo(_profile(outcome, item.task.images), err=True)
    save_picture(outcome.gallery, options.output / "pictures" / f"table-{item.row.table}-{item.row.dataset}.png")
    facts |= _measured_facts(item, item.task, outcome)
    hashes = {space.name: space.sha256 for space in item.task.features}
    cells += [
        _cell(
            facts,
            published,
            method,
            metric,
            features=features,
            value=value,
            features_sha256=hashes.get(features),
            checkpoint_sha256=item.entry.sha256 if item.task.protocol.involves_network(method) else None,
        )
        for (method, metric, features), value in outcome.values.items()
    ]
    if FID_FEATURES not in hashes:
        absent = "no Inception weights: coldbench fetch inception"
        reason = absent if options.features == ("auto",) else f"not asked for: --features {','.join(options.features)}"
        cells += [_cell(facts, published, method, "FID", reason=reason) for method in item.task.methods]
    return sorted(cells, key=lambda cell: (METHODS.index(cell.method), METRIC_ORDER.index(cell.metric)))


def _profile(outcome: Outcome, images: int) -> str:
    share = outcome.network_seconds / outcome.seconds
    return f"{images} images in {outcome.seconds:.1f} s, {share:.1%} of it inside the network's forward"


def _facts(item: Prepared, options: RunOptions) -> dict[str, Any]:
    """What all cells of a row have in common before anything is measured."""
    return {
        "table": item.row.table,
        "dataset": item.row.title,
        "degradation": item.entry.degradation["name"],
        "images": None,
        "seed": options.seed,
        "protocol": options.protocol,
        "checkpoint": item.entry.name,
        "data": "",
        "data_sha256": None,
        "device": options.device,
        "dtype": options.dtype,
        "batch_size": options.batch_size,
        "seconds": None,
        "network_seconds": None,
        "images_per_second": None,
        "versions": results.versions(),
        "revision": results.revision(),
    }


def _measured_facts(item: Prepared, task: Task, outcome: Outcome) -> dict[str, Any]:
    """What a measurement adds to ``_facts``."""
    return {
        "images": task.images,
        "data": task.source.name,
        "data_sha256": task.source.digest,
        "device": device_name(task.device),
        "seconds": outcome.seconds,
        "network_seconds": outcome.network_seconds,
        "images_per_second": task.images / outcome.seconds,
    }


def _cell(
    facts: Mapping[str, Any],
    published: Mapping[tuple[str, str], Published],
    method: str,
    metric: str,
    *,
    features: str = "",
    value: float | None = None,
    features_sha256: str | None = None,
    checkpoint_sha256: str | None = None,
    reason: str = "",
) -> Cell:
    printed = published.get((method, metric))
    return Cell(
        **facts,
        method=method,
        metric=metric,
        features=FID_FEATURES if metric == "FID" else features,
        features_sha256=features_sha256,
        checkpoint_sha256=checkpoint_sha256,
        value=value,
        published=printed.value if printed else None,
        note=printed.note if printed else "",
        status="missing" if value is None else "measured",
        reason=reason,
    )
