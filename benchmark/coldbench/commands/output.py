"""What ``run``, ``evaluate`` and ``compare`` leave in their output folders; no measured number is lost to another."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from coldbench.commands.figures import Figures
from coldbench.core.errors import BadInput
from coldbench.core.files import short_digest, write_text
from coldbench.core.paths import exists
from coldbench.core.processes import is_first, meet, only_first, size
from coldbench.evaluation.resume import Keeper
from coldbench.metrics.metric import METRICS
from coldbench.records.comparison import render_comparison
from coldbench.records.folder import Claim, claimed, holds, renewed, set_aside, stored_records
from coldbench.records.formats import render
from coldbench.records.record import Record, save
from coldbench.tables.tables import Row

#: Parts of an identity that change with the version: states of a new version overwrite those of the old one.
SOFTWARE = frozenset({"versions", "code"})
#: Seconds after which a new file must be there on another machine, too, and between two looks.
_LATEST, _PAUSE = 10.0, 0.2


@contextmanager
def shared_claim(folder: Path, *, fresh: bool) -> Iterator[Claim]:
    """``claimed``, where several processes may be one command: the first has the folder for all.

    Raises:
        BadInput: see ``records.folder.claimed``; or this process does not see the folder of the first.
    """
    if not is_first():
        meet()
        yield _seen(Claim(folder))
        return
    with claimed(folder, fresh=fresh, alone=size() == 1) as claim:
        meet()
        yield claim


def _seen(claim: Claim) -> Claim:
    """The claim of the first process, as another finds it, perhaps on another machine.

    Raises:
        BadInput: it does not, and what it would leave there would never be put together.
    """
    latest = time.monotonic() + _LATEST
    while not exists(claim.lock):
        if time.monotonic() > latest:
            raise BadInput(
                f"{claim.folder} is not the folder that the first process has: all machines must see the same one"
            )
        time.sleep(_PAUSE)
    return claim


def keeper(claim: Claim, stem: str, identity: Mapping[str, Any]) -> Keeper:
    """Of one measurement. Another request is another file: it neither finds nor overwrites this one's."""
    request = {key: value for key, value in identity.items() if key not in SOFTWARE}
    name = f"{stem}-{short_digest(json.dumps(request, sort_keys=True, default=str))}.pt"
    return Keeper(claim.state(name), identity)


@only_first
def save_row(records: Sequence[Record], figures: Figures, output: Path, row: Row, rows: Sequence[Row]) -> None:
    """Write the records of one row into those of its table, the table, and the figures.

    Other rows stay as they are. Numbers of the same row stay, too, if they were measured alike; if not, the file and
    the figures are set aside first.

    Args:
        records: of one row.
        figures: of the row.
        output: the folder.
        row: which.
        rows: all rows of its table, in order.

    Raises:
        BadInput: the folder cannot be written.
    """
    path = output / f"table-{records[0].where.table}.json"
    picture = output / "pictures" / row.stem
    if [each.checkpoint for each in rows].count(
        row.checkpoint
    ) > 1:  # whose trajectories these are is its name's to say
        figures = replace(figures, model=f"{row.checkpoint}-{row.name}")
    stored = stored_records(path)
    kept = renewed(stored, records, _places(rows))
    if not holds(stored, kept):
        set_aside([path, *figures.paths(picture), *figures.trajectories(output)])
    save(kept, path)
    write_text(path.with_suffix(".md"), render(kept, "markdown"))
    figures.titled().save(picture, output)


def _places(rows: Sequence[Row]) -> Callable[[Record], tuple[Any, ...]]:
    """The place of a record: by row, method and metric as the table orders them, then the feature space."""
    by_name = {row.name: (number, row) for number, row in enumerate(rows)}

    def place(record: Record) -> tuple[Any, ...]:
        number, row = by_name.get(record.where.row, (len(rows), None))
        methods, metrics = (row.methods, (*row.metrics, *METRICS)) if row else ((), tuple(METRICS))
        return (
            number,
            record.where.row,
            _index(methods, record.where.method),
            _index(metrics, record.metric.name),
            record.metric.label != record.metric.name,
            record.metric.features,
        )

    return place


def _index(names: Sequence[str], name: str) -> tuple[int, str]:
    """Where a name stands in a list; those that it lacks come last, by themselves."""
    return (names.index(name), "") if name in names else (len(names), name)


@only_first
def save_comparison(records: Sequence[Record], figures: Sequence[Figures], stem: Path) -> None:
    """Write record, table and figures of a comparison; a record of that name with other numbers is set aside.

    Args:
        records: of all that are compared.
        figures: the first has the picture of them all, and each the trajectories of its model.
        stem: the path of the files without the suffix.

    Raises:
        BadInput: the folder cannot be written.
    """
    path, folder = stem.with_name(f"{stem.name}.json"), stem.parent
    if not holds(stored_records(path), records):
        set_aside([path, *(file for each in figures for file in (*each.paths(stem), *each.trajectories(folder)))])
    save(records, path)
    write_text(path.with_suffix(".md"), render_comparison(records, "markdown"))
    for each in figures:
        each.save(stem, folder)
