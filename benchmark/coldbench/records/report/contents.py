"""What a report holds: the records of folders, section by section, as the page is to show them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import chain, count

from coldbench.core.steps import split_steps
from coldbench.records.comparison import comparison_frame, comparison_notes, comparison_title
from coldbench.records.formats import (
    ABSENT,
    BIASED,
    method_title,
    missing_cells,
    number_notes,
    print_difference,
    print_interval,
    print_number,
    print_published,
    row_titles,
    table_title,
)
from coldbench.records.record import Record
from coldbench.records.report.facts import Facts, Fields, facts_of
from coldbench.records.report.judgement import Judgement, difference, judge
from coldbench.records.report.pictures import Picture

#: A command in the reason of a missing number, which goes on to the end or to words that are none of its own.
_COMMAND = re.compile(r"(?:coldbench|pip install) .+?(?=$|; | says | and | or |, )")
#: Characters of the name of a place.
_LONGEST = 80


class Kind(StrEnum):
    """What the records of a section were measured for."""

    TABLE = "table"
    COMPARISON = "comparison"
    SWEEP = "sweep"


@dataclass(frozen=True)
class Source:
    """One file of records.

    Attributes:
        folder: that it is in, as the user gave it.
        name: of the file.
        written: when it was written last.
        records: at least one.
        picture: of the whole file, if there is one.
        pictures: of its rows: (table, row) -> the picture.
    """

    folder: str
    name: str
    written: datetime
    records: Sequence[Record]
    picture: Picture | None = None
    pictures: Mapping[tuple[str, str], Picture] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One number as the page shows it.

    Attributes:
        record: that holds it.
        anchor: where its facts are on the page.
        judgement: how it stands to the published number.
        measured, interval, published, difference: as text.
        reason: where on the page stands why it is missing; empty where it is not.
        facts: the fields of its record that others do not share.
    """

    record: Record
    anchor: str
    judgement: Judgement
    measured: str
    interval: str
    published: str
    difference: str
    reason: str
    facts: Fields


@dataclass(frozen=True)
class Absence:
    """Cells that are missing for one reason.

    Attributes:
        anchor: of its line under what is missing.
        section, row: where they are.
        cells: what is missing.
        words: the reason in parts; those that are commands are marked.
    """

    anchor: str
    section: str
    row: str
    cells: list[str]
    words: list[tuple[str, bool]]


@dataclass(frozen=True)
class Block:
    """One row of a table.

    Attributes:
        anchor, title, model: of the row.
        images: how many, and of what; empty where nothing was measured.
        methods: the title of a method -> its cells.
        facts: what its records hold.
        picture: of its images, if there is one.
        absences: why some or all of it is missing.
        measured: whether there is any number.
        compared: whether any number is published.
    """

    anchor: str
    title: str
    model: str
    images: str
    methods: dict[str, list[Cell]]
    facts: Facts
    picture: Picture | None
    absences: list[Absence]
    measured: bool
    compared: bool

    @property
    def cells(self) -> list[Cell]:
        """All of its cells, in the order of the records."""
        return [cell for cells in self.methods.values() for cell in cells]


@dataclass(frozen=True)
class Section:
    """The records of one table, comparison or sweep.

    Attributes:
        anchor, title, kind: of it.
        origin: the folder and the file that hold it.
        records: all of them.
        blocks: one a row.
        sources: where numbers of it are published.
        notes: what the numbers are, and what speaks against some of them.
        comparison: its lines, each a heading -> text; empty where it is none.
        picture: of the whole section, if there is one.
        counts: judgement -> of how many numbers.
    """

    anchor: str
    title: str
    kind: Kind
    origin: str
    records: Sequence[Record]
    blocks: list[Block]
    sources: list[str]
    notes: list[str]
    comparison: list[dict[str, str]]
    picture: Picture | None
    counts: Counter[Judgement]


class Anchors:
    """Names of places on the page, each given once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def __call__(self, name: str) -> str:
        """A name that no other place has: this one in plain letters, with a number where that is needed."""
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST] or "place"
        numbered = (f"{plain}-{number}" for number in count(2))
        found = next(each for each in chain([plain], numbered) if each not in self._given)
        self._given.add(found)
        return found


def sections_of(sources: Sequence[Source], anchors: Anchors) -> list[Section]:
    """A section for each table, comparison and sweep: tables first, then comparisons, then sweeps."""
    found = [
        (source, [record for record in source.records if record.where.table == table])
        for source in sources
        for table in dict.fromkeys(record.where.table for record in source.records)
    ]
    titles = Counter(_title(records) for _, records in found)
    sections = [_section(source, records, anchors, ambiguous=titles[_title(records)] > 1) for source, records in found]
    return sorted(sections, key=lambda section: list(Kind).index(section.kind))


def _section(source: Source, records: Sequence[Record], anchors: Anchors, *, ambiguous: bool) -> Section:
    kind, origin = _kind(records), f"{source.folder}/{source.name}"
    title = f"{_title(records)} ({origin})" if ambiguous else _title(records)
    anchor, is_comparison = anchors(title), kind == Kind.COMPARISON
    return Section(
        anchor=anchor,
        title=title,
        kind=kind,
        origin=origin,
        records=records,
        blocks=_blocks(source, records, title, anchors),
        sources=list(dict.fromkeys(record.published.source for record in records if record.published)),
        notes=comparison_notes(records) if is_comparison else _notes(records),
        comparison=comparison_frame(records).to_dict("records") if is_comparison else [],
        picture=source.picture,
        counts=Counter(map(judge, records)),
    )


def _title(records: Sequence[Record]) -> str:
    return comparison_title(records) if _kind(records) == Kind.COMPARISON else table_title(records[0])


def _kind(records: Sequence[Record]) -> Kind:
    if any(record.differences for record in records):
        return Kind.COMPARISON
    swept = any(record.request.get("command") == "sweep" for record in records)
    return Kind.SWEEP if swept else Kind.TABLE


def _notes(records: Sequence[Record]) -> list[str]:
    measured = [record for record in records if record.measured]
    notes = number_notes(records)
    if any(record.interval for record in measured):
        notes.append("intervals: 95 %, by a delete-a-group jackknife")
    if any(record.metric.features for record in measured):
        notes.append(BIASED)
    return notes


def _blocks(source: Source, records: Sequence[Record], section: str, anchors: Anchors) -> list[Block]:
    titles = row_titles(records)
    blocks = []
    for row, title in titles.items():
        own = [record for record in records if record.where.row == row]
        absences = {
            reason: Absence(anchors(f"missing {section} {title}"), section, title, cells, _words(reason))
            for (_, reason), cells in missing_cells(own).items()
        }
        anchor, facts = anchors(f"{section} {title}"), facts_of(own)
        blocks.append(
            Block(
                anchor=anchor,
                title=title,
                model=own[0].identity.checkpoint,
                images=_images(own),
                methods=_cells(own, facts, anchor, absences, anchors),
                facts=facts,
                picture=source.pictures.get((own[0].where.table, row)),
                absences=list(absences.values()),
                measured=any(record.measured for record in own),
                compared=any(record.published for record in own),
            )
        )
    return blocks


def _words(reason: str) -> list[tuple[str, bool]]:
    """A reason in parts, each with whether it is a command."""
    parts, end = [], 0
    for found in _COMMAND.finditer(reason):
        parts += [(reason[end : found.start()], False), (found[0], True)]
        end = found.end()
    return [part for part in (*parts, (reason[end:], False)) if part[0]]


def _images(records: Sequence[Record]) -> str:
    """How many images were measured, and of what."""
    found = {
        f"{each.images:,} generated images" if each.start else f"{each.images:,} images of {each.data}": None
        for each in (record.identity for record in records if record.measured)
    }
    return ", ".join(found)


def _cells(
    records: Sequence[Record], facts: Facts, block: str, absences: Mapping[str, Absence], anchors: Anchors
) -> dict[str, list[Cell]]:
    """The cells by method."""
    sources = {record.published.source for record in records if record.published}
    found: dict[str, list[Cell]] = {}
    for record, own in zip(records, facts.own, strict=True):
        anchor = anchors(f"{block} {record.where.method} {record.metric.label}")
        reason = "" if record.measured else absences[record.reason].anchor
        source = f" ({record.published.source})" if record.published and len(sources) > 1 else ""
        cell = _cell(record, anchor, print_published(record) + source, reason, own)
        found.setdefault(titled_method(record), []).append(cell)
    return found


def _cell(record: Record, anchor: str, published: str, reason: str, facts: Fields) -> Cell:
    decimals, apart = record.metric.decimals, difference(record)
    return Cell(
        record=record,
        anchor=anchor,
        judgement=judge(record),
        measured=ABSENT if record.value is None else print_number(record.value, None, decimals),
        interval=ABSENT if record.interval is None else print_interval(record.interval, decimals),
        published=published,
        difference=ABSENT if apart is None else print_difference(apart, decimals),
        reason=reason,
        facts=facts,
    )


def titled_method(record: Record) -> str:
    """A method's title, with its number of steps in words; a model that was compared keeps its name."""
    if record.where.method == record.identity.checkpoint:
        return record.where.method
    method, steps = split_steps(record.where.method)
    if steps is None:
        return method_title(method)
    return f"{method_title(method)}, {steps} {'step' if steps == 1 else 'steps'}"


def summary_of(sources: Sequence[Source]) -> dict[str, str]:
    """What was measured, when and where, as terms and what they are."""
    records = [record for source in sources for record in source.records]
    measured = [record for record in records if record.measured]
    written = [source.written for source in sources]
    found = {
        "Numbers": f"{len(measured):,} measured, {len(records) - len(measured):,} missing",
        "Images of each row": _each(f"{record.identity.images:,}" for record in measured),
        "Seed": _each(str(record.identity.seed) for record in measured),
        "Protocol": _each(record.identity.protocol for record in measured),
        "Arithmetic and device": _each(f"{each.conditions.dtype} on {each.conditions.device}" for each in measured),
        "Software": _each(map(_software, measured)),
        "Files written": _when(min(written), max(written)),
    }
    return {term: words for term, words in found.items() if words}


def _when(first: datetime, last: datetime) -> str:
    """Two times, to the minute; what they share is said once."""
    if first.date() != last.date():
        return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
    return f"{first:%Y-%m-%d %H:%M}{'' if f'{first:%H:%M}' == f'{last:%H:%M}' else f' to {last:%H:%M}'} UTC"


def _each(words: Iterable[str]) -> str:
    """Each of them once."""
    return ", ".join(dict.fromkeys(words))


def _software(record: Record) -> str:
    conditions = record.conditions
    revision = f" ({conditions.revision})" if conditions.revision else ""
    return f"coldbench {conditions.versions.get('coldbench', 'of unknown version')}{revision}, torch " + (
        conditions.versions.get("torch", "of unknown version")
    )
