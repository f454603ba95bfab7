"""Tables as data: the paper's five in ``paper.toml``, a user's own in another file of the same form.

[tables.mine]
caption = "Deblurring of faces"
methods = ["degraded", "sampled", "my_module:sampler"]
metrics = ["PSNR", "FID"]

[[tables.mine.rows]]
dataset = "folder:faces"                  # a data set, folder:PATH, npz:PATH or module:attribute
checkpoint = "my_module:restore"          # a model, or module:attribute of a restorer
degradation = { name = "blur", image_size = 64, timesteps = 20, routine = "constant", std = 2.0 }
published = { sampled = { PSNR = "27.31" } }
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from coldbench.core.errors import BadInput
from coldbench.core.files import short_digest
from coldbench.core.registry import did_you_mean
from coldbench.data.datasets import DATASETS, dataset_title
from coldbench.diffusion.catalog import load_entries
from coldbench.diffusion.registries import DEGRADATIONS, RESTORERS, SAMPLERS
from coldbench.metrics.metric import METRICS

#: The file of the paper's tables.
PAPER = Path(__file__).with_name("paper.toml")
#: Characters of a name in the names of files, of which some have four: systems end at 255.
_LONGEST = 40


@dataclass(frozen=True)
class Published:
    """A printed number.

    Attributes:
        value: what it says.
        printed: how it is printed.
        note: what is known to be wrong with it.
        source: where it is printed, for the head of its column.
    """

    value: float
    printed: str
    note: str = ""
    source: str = "paper"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one restorer contributes to one table.

    Attributes:
        table, caption: of the table.
        name: of the row, unique in its table.
        title: the data set as the table prints it.
        dataset: the images, as ``coldbench.data.datasets.open_source`` takes them.
        checkpoint: a model of the registry, or ``module:attribute`` of a restorer.
        methods: names of samplers.
        metrics: names of metrics.
        degradation: ``name`` and settings; None for the model's own.
        transform: of the images; None for the model's own.
        channels: C of the images; None for the network's own.
        note: on the whole row.
        published: (method, metric) -> what is printed there.
    """

    table: str
    caption: str
    name: str
    title: str
    dataset: str
    checkpoint: str
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    degradation: Mapping[str, Any] | None = None
    transform: str | None = None
    channels: int | None = None
    note: str = ""
    published: Mapping[tuple[str, str], Published] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """Of the names of its files."""
        return picture_stem(self.table, self.name)


def picture_stem(table: str, row: str) -> str:
    """What the picture of a row is called, without its suffix."""
    name = slug(row)
    return f"table-{table}" if table.endswith(name) else f"table-{table}-{name}"


def slug(name: str) -> str:
    """A name as part of a file's name; of a long one, as paths are, the end, and a digest of all of it."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")
    return plain if len(plain) <= _LONGEST else f"{plain[-_LONGEST:].strip('-')}-{short_digest(name)}"


@dataclass(frozen=True)
class Table:
    """One table: its name, its caption and its rows."""

    name: str
    caption: str
    rows: tuple[Row, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods of its rows."""
        return tuple(dict.fromkeys(method for row in self.rows for method in row.methods))


def select_rows(table: str, rows: Sequence[str] = (), methods: Sequence[str] = ()) -> list[Row]:
    """The rows of one table, or of several, restricted to some rows and methods; empty stands for every one.

    Args:
        table: the name of a table of the paper, ``all`` of them, or the path of a .toml file of tables.
        rows: names of rows, or of their data sets.
        methods: names of methods; samplers that the tables do not have are added to every row.

    Raises:
        BadInput: an unknown table, row or method, or nothing left.
    """
    tables = find_tables(table)
    known = dict.fromkeys(name for each in tables for row in each.rows for name in (row.name, row.dataset))
    for name in rows:
        if name not in known:
            raise BadInput(f"table {table} has no row '{name}'{did_you_mean(name, known)}")
    possible = dict.fromkeys(method for each in tables for method in each.methods)
    for method in methods:
        if method not in possible and ":" not in method and method not in SAMPLERS:
            raise BadInput(f"unknown method '{method}'{did_you_mean(method, possible)}")
    selected = [
        replace(row, methods=_restricted(row.methods, methods, possible))
        for each in tables
        for row in each.rows
        if not rows or row.name in rows or row.dataset in rows
    ]
    selected = [row for row in selected if row.methods]
    if not selected:
        raise BadInput(f"table {table} has no such row: {', '.join((*rows, *methods))}")
    return selected


def _restricted(methods: Sequence[str], wanted: Sequence[str], tabled: Container[str]) -> tuple[str, ...]:
    """The methods of a row that are wanted, in its order, and then those that no table has."""
    if not wanted:
        return tuple(methods)
    return tuple([method for method in methods if method in wanted] + [name for name in wanted if name not in tabled])


def find_tables(table: str) -> list[Table]:
    """The tables of this name; see ``select_rows``.

    Raises:
        BadInput: there is none, or a file that holds none.
    """
    if table.endswith(".toml"):
        own = read_tables(Path(table))
        for name in own:
            if name == "all" or name in paper_tables():
                raise BadInput(f"tables {table}: table {name} has the name of a table of the paper: give it another")
        return list(own.values())
    tables = paper_tables()
    if table != "all" and table not in tables:
        raise BadInput(f"unknown table '{table}'; known: {', '.join(tables)}, all, or the path of a .toml file")
    return list(tables.values()) if table == "all" else [tables[table]]


@cache
def paper_tables() -> dict[str, Table]:
    """Tables 1-5 of the paper, by their numbers."""
    return read_tables(PAPER)


def read_tables(path: Path) -> dict[str, Table]:
    """The tables of a file, by their names.

    Raises:
        BadInput: it cannot be read, or does not say what tables are; names the place.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"tables {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    specs = content.get("tables")
    if not isinstance(specs, dict) or not specs or set(content) != {"tables"}:
        raise BadInput(f"tables {path}: it must hold [tables.NAME], and nothing else")
    return {name: _table(name, spec, f"tables {path}: table {name}") for name, spec in specs.items()}


#: The keys of a table and of a row: their types, and whether one may do without.
_TABLE_KEYS: dict[str, tuple[type, bool]] = {
    "caption": (str, False),
    "rows": (list, False),
    "methods": (list, True),
    "metrics": (list, True),
    "source": (str, True),
}
_ROW_KEYS: dict[str, tuple[type, bool]] = {
    "dataset": (str, False),
    "checkpoint": (str, False),
    "name": (str, True),
    "title": (str, True),
    "methods": (list, True),
    "metrics": (list, True),
    "degradation": (dict, True),
    "transform": (str, True),
    "channels": (int, True),
    "note": (str, True),
    "published": (dict, True),
    "notes": (dict, True),
}
_KINDS = {str: "a string", list: "a list", dict: "a table", int: "a whole number"}


def _table(name: str, spec: Any, where: str) -> Table:
    _check(spec, _TABLE_KEYS, where)
    _check_name(name, where)
    rows = [_row(name, spec, row, f"{where}, row {number}") for number, row in enumerate(spec["rows"], start=1)]
    names = [row.name for row in rows]
    if not rows or len(set(names)) < len(names):
        raise BadInput(f"{where}: it needs rows, each with a 'name' of its own (its data set unless given)")
    return Table(name, spec["caption"], tuple(rows))


def _check_name(name: str, where: str) -> None:
    if not re.fullmatch(r"[\w.-]+", name):
        raise BadInput(f"{where}: its name becomes that of a file; use letters, digits, '.', '_' and '-'")


def _row(table: str, defaults: Mapping[str, Any], spec: Any, where: str) -> Row:
    _check(spec, _ROW_KEYS, where)
    words = {key: _words(spec.get(key, defaults.get(key)), f"{where}: '{key}'") for key in ("methods", "metrics")}
    if spec.get("channels") not in (None, 1, 3):
        raise BadInput(f"{where}: 'channels' must be 1 or 3, not {spec['channels']}")
    degradation = spec.get("degradation")
    if degradation is not None and not isinstance(degradation.get("name"), str):
        raise BadInput(f"{where}: 'degradation' lacks its 'name'")
    name = spec.get("name", re.sub(r"[^\w.-]+", "-", spec["dataset"]))
    _check_name(name, where)
    _check_known(spec, words, where)
    return Row(
        table=table,
        caption=defaults["caption"],
        name=name,
        title=spec.get("title") or dataset_title(spec["dataset"]),
        dataset=spec["dataset"],
        checkpoint=spec["checkpoint"],
        degradation=degradation,
        transform=spec.get("transform"),
        channels=spec.get("channels"),
        note=spec.get("note", ""),
        published=_published(spec, words, defaults.get("source", "paper"), where),
        **words,
    )


def _check_known(spec: Mapping[str, Any], words: Mapping[str, Sequence[str]], where: str) -> None:
    """Whether every name is one that is known, or is ``module:attribute``; what it stands for is not loaded.

    Raises:
        BadInput: the first that is not, with the place.
    """
    degradation = [spec["degradation"]["name"]] if "degradation" in spec else []
    names: list[tuple[str, Sequence[str], Iterable[str]]] = [
        ("dataset", [spec["dataset"]], DATASETS),
        ("checkpoint", [spec["checkpoint"]], (*load_entries(), *RESTORERS)),
        ("degradation", degradation, DEGRADATIONS),
        ("method", words["methods"], SAMPLERS),
        ("metric", words["metrics"], METRICS),
    ]
    for kind, asked, known in names:
        for name in asked:
            if ":" not in name and name not in known:
                raise BadInput(f"{where}: unknown {kind} '{name}'{did_you_mean(name, known)}")


def _published(
    spec: Mapping[str, Any], words: Mapping[str, Sequence[str]], source: str, where: str
) -> dict[tuple[str, str], Published]:
    numbers = {}
    outside = any(":" in metric for metric in words["metrics"])  # its name is not known before it is loaded
    for method, line in spec.get("published", {}).items():
        printed: Any
        for metric, printed in (line if isinstance(line, dict) else {"": None}).items():
            notes = spec.get("notes", {}).get(method, {})
            note = notes.get(metric, "") if isinstance(notes, dict) else None
            try:
                value = float(printed)
            except (TypeError, ValueError):
                value = math.nan
            if not math.isfinite(value) or not isinstance(note, str) or isinstance(printed, bool):
                raise BadInput(f"{where}: 'published.{method}.{metric}' must be a number, and its note a string")
            if method not in words["methods"] or (metric not in words["metrics"] and not outside):
                raise BadInput(f"{where}: 'published.{method}.{metric}' has no cell among its methods and metrics")
            numbers[method, metric] = Published(value, str(printed), note, source)
    return numbers


def _words(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(word, str) and word for word in value):
        raise BadInput(f"{where} must be a list of names, in the row or in its table")
    return tuple(dict.fromkeys(value))


def _check(spec: Any, keys: Mapping[str, tuple[type, bool]], where: str) -> None:
    """Raise ``BadInput`` unless the spec is a table with these keys, each of its type."""
    if not isinstance(spec, dict):
        raise BadInput(f"{where} is not a table")
    for key, (kind, optional) in keys.items():
        if key not in spec and not optional:
            raise BadInput(f"{where} lacks '{key}'")
        if key in spec and (not isinstance(spec[key], kind) or isinstance(spec[key], bool)):
            raise BadInput(f"{where}: '{key}' must be {_KINDS[kind]}")
    for key in spec.keys() - keys.keys():
        raise BadInput(f"{where} has an unknown key '{key}'{did_you_mean(key, keys)}")
