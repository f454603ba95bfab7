"""What the tables of the paper are: their rows, the checkpoint each row needs, and what the paper printed there."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace

from coldbench.core.errors import BadInput
from coldbench.core.paths import shipped
from coldbench.diffusion.catalog import did_you_mean

#: The methods of the reconstruction tables, Tables 1-4, and their metrics.
METHODS = ("degraded", "sampled", "direct")
METRICS = ("FID", "SSIM", "RMSE")
#: How tables can be printed.
FORMATS = ("markdown", "latex", "csv", "json", "html")
TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "celeba": "CelebA", "afhq": "AFHQ"}
#: The note of a row that we added.
OURS = "ours, not in the paper"


@dataclass(frozen=True)
class Row:
    """What one checkpoint contributes to one table.

    Attributes:
        table: its number.
        dataset: key of the data set, e.g. ``cifar10``.
        checkpoint: name of the registry entry that fixes degradation and network.
        methods: what is measured with it.
        metrics: the published ones; feature spaces other than Inception come on top.
    """

    table: int
    dataset: str
    checkpoint: str
    methods: tuple[str, ...] = METHODS
    metrics: tuple[str, ...] = METRICS

    @property
    def title(self) -> str:
        """The data set as the paper writes it."""
        return TITLES[self.dataset]

    @property
    def generates(self) -> bool:
        """Whether its images come from nothing, and are scored as a set alone."""
        return self.metrics == ("FID",)

    @property
    def stem(self) -> str:
        """Of the names of its files."""
        return f"table-{self.table}-{self.checkpoint if self.generates else self.dataset}"


@dataclass(frozen=True)
class Table:
    """One table of the paper."""

    number: int
    caption: str
    rows: tuple[Row, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods of its rows."""
        return tuple(dict.fromkeys(method for row in self.rows for method in row.methods))


@dataclass(frozen=True)
class Published:
    """A printed number, and what is known to be wrong with it."""

    value: float
    note: str


def _reconstruction(number: int, caption: str, task: str) -> Table:
    datasets = ("mnist", "cifar10", "celeba")
    return Table(number, caption, tuple(Row(number, dataset, f"{dataset}-{task}") for dataset in datasets))


def _generation() -> Table:
    tasks = {"noise": ("fixed-noise", "estimated-noise"), "blur-generate": ("perfect-symmetry", "broken-symmetry")}
    rows = [
        Row(5, dataset, f"{dataset}-{task}", methods, metrics=("FID",))
        for dataset in ("mnist", "celeba", "afhq")
        for task, methods in tasks.items()
    ]
    return Table(5, "Generation, hot and cold", tuple(rows))


TABLES = {
    1: _reconstruction(1, "Deblurring", "blur"),
    2: _reconstruction(2, "Inpainting", "inpaint"),
    3: _reconstruction(3, "Super-resolution", "superres"),
    4: _reconstruction(4, "Snow removal", "snow"),
    5: _generation(),
}


def select_rows(table: str, datasets: Sequence[str] = (), methods: Sequence[str] = ()) -> list[Row]:
    """The rows of one table, or of ``all``, restricted to some data sets and methods; empty stands for every one.

    Raises:
        BadInput: an unknown table, data set or method, or nothing left.
    """
    known = [str(number) for number in TABLES]
    if table != "all" and table not in known:
        raise BadInput(f"unknown table '{table}'; known: {', '.join(known)}, all")
    for dataset in datasets:
        if dataset not in TITLES:
            raise BadInput(f"unknown row '{dataset}'{did_you_mean(dataset, TITLES)}")
    tables = list(TABLES.values()) if table == "all" else [TABLES[int(table)]]
    possible = dict.fromkeys(method for each in tables for method in each.methods)
    for method in methods:
        if method not in possible:
            raise BadInput(f"unknown method '{method}'{did_you_mean(method, possible)}")
    rows = [
        replace(row, methods=tuple(method for method in row.methods if not methods or method in methods))
        for each in tables
        for row in each.rows
        if not datasets or row.dataset in datasets
    ]
    rows = [row for row in rows if row.methods]
    if not rows:
        raise BadInput(f"Table {table} has no such row: {', '.join((*datasets, *methods))}")
    return rows


def published_numbers(row: Row) -> dict[tuple[str, str], Published]:
    """What the paper prints in this row: (method, metric) -> number."""
    with shipped("results", "published", f"table-{row.table}.csv").open(encoding="utf-8") as stream:
        return {
            (line["method"], line["metric"]): Published(float(line["value"]), line["note"])
            for line in csv.DictReader(stream)
            if line["dataset"] == row.title
        }
