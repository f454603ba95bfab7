"""What Tables 1-4 of the paper are: their rows, the checkpoint each row needs, and what the paper printed there."""

from __future__ import annotations

import csv
from dataclasses import dataclass

from coldbench.errors import BadInput
from coldbench.paths import shipped
from coldbench.registry import did_you_mean

#: The columns of every reconstruction table.
METHODS = ("degraded", "sampled", "direct")
METRICS = ("FID", "SSIM", "RMSE")
#: How tables can be printed.
FORMATS = ("markdown", "latex", "csv", "json", "html")
TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "celeba": "CelebA"}


@dataclass(frozen=True)
class Row:
    """One data set of one table.

    Attributes:
        table: its number.
        dataset: key of the data set, e.g. ``cifar10``.
        checkpoint: name of the registry entry that fixes degradation and network.
    """

    table: int
    dataset: str
    checkpoint: str

    @property
    def title(self) -> str:
        """The data set as the paper writes it."""
        return TITLES[self.dataset]


@dataclass(frozen=True)
class Table:
    """One table of the paper."""

    number: int
    caption: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Published:
    """A printed number, and what is known to be wrong with it."""

    value: float
    note: str


def _table(number: int, caption: str, task: str) -> Table:
    return Table(number, caption, tuple(Row(number, dataset, f"{dataset}-{task}") for dataset in TITLES))


TABLES = {
    1: _table(1, "Deblurring", "blur"),
    2: _table(2, "Inpainting", "inpaint"),
    3: _table(3, "Super-resolution", "superres"),
    4: _table(4, "Snow removal", "snow"),
}


def select_rows(table: str, datasets: tuple[str, ...] = ()) -> list[Row]:
    """The rows of one table, or of ``all``, restricted to some data sets.

    Raises:
        BadInput: unknown table or data set.
    """
    known = [str(number) for number in TABLES]
    if table != "all" and table not in known:
        raise BadInput(f"unknown table '{table}'; known: {', '.join(known)}, all")
    for dataset in datasets:
        if dataset not in TITLES:
            raise BadInput(f"unknown row '{dataset}'{did_you_mean(dataset, TITLES)}")
    tables = TABLES.values() if table == "all" else [TABLES[int(table)]]
    return [row for each in tables for row in each.rows if not datasets or row.dataset in datasets]


def published_numbers(row: Row) -> dict[tuple[str, str], Published]:
    """What the paper prints in this row: (method, metric) -> number."""
    with shipped("results", "published", f"table-{row.table}.csv").open(encoding="utf-8") as stream:
        return {
            (line["method"], line["metric"]): Published(float(line["value"]), line["note"])
            for line in csv.DictReader(stream)
            if line["dataset"] == row.title
        }
