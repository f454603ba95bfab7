"""``coldbench check``: have the numbers moved?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from coldbench.commands.output import shared_claim
from coldbench.commands.plan import plan
from coldbench.commands.recording import check_measured, measure_plan
from coldbench.commands.request import DEFAULTS, Request
from coldbench.core.devices import choose_device
from coldbench.core.errors import BadInput, CheckFailed, ColdbenchError, Missing
from coldbench.core.files import short_digest, write_text
from coldbench.core.paths import exists, shipped, writable_home
from coldbench.core.processes import only_first
from coldbench.core.progress import tell
from coldbench.core.provenance import RANDOM_WEIGHTS
from coldbench.diffusion.arithmetic import available
from coldbench.diffusion.catalog import load_entries
from coldbench.records import record as stored
from coldbench.records.comparison import render_stored
from coldbench.records.drift import Drift, Status, compare_records, summary
from coldbench.records.drift_report import junit, render
from coldbench.records.folder import Claim, record_files
from coldbench.records.record import Record
from coldbench.tables.tables import Row, select_rows


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        text: to print.
        drifts: what it is made of.
        references: file -> the records in it.
        measured: file -> the new ones.
    """

    text: str
    drifts: list[Drift]
    references: dict[Path, list[Record]]
    measured: dict[Path, list[Record]]


@contextmanager
def check(
    request: Request,
    *,
    full: bool = False,
    tables: Sequence[str] = (),
    reference: Path | None = None,
    junit_path: Path | None = None,
    style: str = "markdown",
) -> Iterator[Checked]:
    """Measure again what the references measured, and compare.

    If the block fails, the same command resumes without measuring again.

    Args:
        request: how to measure: device, dtype, batch size, where the images are; ``metrics`` restricts the check to
            some. What makes the numbers is in the references.
        full: check the shipped references of full size.
        tables: only the files ``table-NAME.json`` of these names.
        reference: a folder of records; those that ship unless given.
        junit_path: also write JUnit XML there.
        style: of the text.

    Raises:
        Missing: no references there, or nothing that they need.
        BadInput: damaged references, or options that do not fit.
    """
    folder = reference or shipped("results", "reference", "full" if full else "quick")
    drifts: list[Drift] = []
    # Before anything is measured: if it cannot be written, this is the time to say so; if we are killed, it is true.
    _write_junit(drifts, junit_path, "the check did not come to its end")
    try:
        references = {path: _load(path, request) for path in _references(folder, tables)}
        jobs = {path: _jobs(then, request) for path, then in references.items()}
        _check_uses(request, [asked for each in jobs.values() for _, asked, _ in each], folder)
        with shared_claim(_workspace(folder, tables, request), fresh=request.fresh) as claim:
            measured = {}
            for path, then in references.items():
                measured[path] = [record for job in jobs[path] for record in _measure_again(*job, claim)]
                found = compare_records(then, measured[path])
                drifts += found
                if not request.quiet:
                    tell(f"{path.name}: {summary(found)}")
            _write_junit(drifts, junit_path)
            check_measured([record for records in measured.values() for record in records])
            title = f"Against the records in {folder}"
            yield Checked(render(drifts, title, style), drifts, references, measured)
    except ColdbenchError as error:
        _write_junit(drifts, junit_path, str(error))
        raise


def _check_uses(request: Request, asked: Sequence[Request], folder: Path) -> None:
    """Whether what the request gives in the place of the recorded is used at all.

    Raises:
        BadInput: it is not.
    """
    if request.data and not any(each.data for each in asked):
        raise BadInput(f"nothing in {folder} was measured on images of --data: leave it out")
    if request.reference_statistics and not any(each.reference_statistics for each in asked):
        raise BadInput(f"nothing in {folder} was compared with --reference-statistics: leave it out")


def _workspace(folder: Path, tables: Sequence[str], request: Request) -> Path:
    """Where a check keeps its states: checks that differ do not meet."""
    parts = [str(folder.resolve()), *tables, request.dtype, request.device, str(request.batch_size)]
    return writable_home() / "check" / short_digest("\n".join(parts))


@only_first
def update(checked: Checked) -> None:
    """Let the new numbers be the references where they moved; what did not move stays as it is.

    Otherwise a drift below the tolerance would accumulate from one update to the next.

    Raises:
        CheckFailed: a number is gone, or has another identity or arithmetic than its reference; nothing is changed.
    """
    renewable = (Status.SAME, Status.MOVED)
    held = [drift for drift in checked.drifts if drift.status not in renewable or not drift.same_arithmetic]
    if held or not checked.drifts:
        raise CheckFailed(
            f"{summary(checked.drifts)}: {len(held)} cannot be updated; measure new references with coldbench run"
        )
    moved = {drift.record.key for drift in checked.drifts if drift.status == Status.MOVED}
    for path in checked.references:
        now = {record.key: record for record in checked.measured[path] if record.key in moved}
        # All of the file, of which a check of some metrics read a part.
        records = [now.get(record.key, record) for record in stored.load(path)]
        if now:
            stored.save(records, path)
        # What measured them wrote both; an update that was killed between the two left an old table.
        table, text = path.with_suffix(".md"), render_stored(records, "markdown")
        if exists(table) and table.read_text(encoding="utf-8") != text:
            write_text(table, text)


@only_first
def _write_junit(drifts: Sequence[Drift], path: Path | None, error: str = "") -> None:
    if path:
        write_text(path, junit(drifts, "coldbench", error))


def _references(folder: Path, tables: Sequence[str]) -> list[Path]:
    paths = record_files(folder)
    if tables:
        known = {path.stem.removeprefix("table-"): path for path in paths}
        unknown = [table for table in tables if table not in known]
        if unknown:
            raise BadInput(f"no reference of table {', '.join(unknown)} in {folder}; known: {', '.join(known)}")
        paths = [known[table] for table in tables]
    return paths


def _load(path: Path, request: Request) -> list[Record]:
    """The records of a file, or those of some metrics."""
    wanted = {name.lower() for name in request.metrics}
    records = stored.load(path)
    return [
        record
        for record in records
        if not wanted or wanted & {record.metric.name.lower(), _asked(record, "metric").lower()}
    ]


def _asked(record: Record, what: str) -> str:
    """The name by which its ``metric`` or ``features`` were asked for; that of one's own is ``module:attribute``."""
    return str(record.request.get(what, record.metric.name if what == "metric" else record.metric.features))


#: A row, how to measure it, and the records that it is to be held against.
Job = tuple[Row, Request, list[Record]]


def _jobs(then: Sequence[Record], request: Request) -> list[Job]:
    """What measured these records, row by row."""
    rows: dict[str, list[Record]] = {}
    for record in then:
        if record.measured:
            rows.setdefault(record.where.row, []).append(record)
    return [_job(records, request) for records in rows.values()]


def _job(then: list[Record], request: Request) -> Job:
    """The row and the request that measured these records of one row.

    Raises:
        BadInput: no single request did, or it had images that this one does not give.
    """
    first = then[0]
    one = {(each.identity.images, each.identity.seed, each.identity.protocol) for each in then}
    if len(one) != 1:
        raise BadInput(f"the reference of {first.where.row} mixes numbers of several N, seeds or protocols")
    data = _data(first, request)
    methods = tuple(dict.fromkeys(record.request.get("method", record.where.method) for record in then))
    asked = replace(
        request,
        images=first.identity.images,
        methods=methods,
        dtype=_dtype(first, request),
        metrics=tuple(dict.fromkeys(_asked(record, "metric") for record in then)),
        features=tuple(filter(None, dict.fromkeys(_asked(record, "features") for record in then))) or ("none",),
        data=data,
        reference_statistics=_statistics(first, request),
        transform=first.request.get("transform"),
        settings=first.request.get("settings", {}),
        prediction=first.request.get("prediction"),
        seed=first.identity.seed,
        protocol=first.identity.protocol,
        allow_random_weights=any(record.identity.checkpoint_sha256 == RANDOM_WEIGHTS for record in then),
    )
    try:
        return _row(first, methods, asked), asked, then
    except KeyError as error:
        raise BadInput(
            f"the record of {first.where.row} does not say what measures it again: it lacks {error}"
        ) from error


def _dtype(first: Record, request: Request) -> str:
    """The arithmetic: what ``--dtype auto`` took is not chosen again; where the device lacks it, float32 will do."""
    taken = first.conditions.dtype
    if request.dtype != "auto" and not (first.conditions.trial and request.dtype == DEFAULTS.dtype):
        return request.dtype
    return taken if taken in available(choose_device(request.device)) else DEFAULTS.dtype


def _data(first: Record, request: Request) -> str | None:
    """The images in the place of the row's, where it was measured on such: those of the request, or the same again.

    Raises:
        BadInput: a record of schema 2 does not say which, and the request does not either.
    """
    again = first.request.get("data")
    if again:
        return request.data or str(again)
    if first.schema_version < stored.SCHEMA_VERSION and _foreign_images(first):
        if request.data is None:
            raise BadInput(f"{first.where.row} was measured on images of {first.identity.data}: say where with --data")
        return request.data
    return None


def _statistics(first: Record, request: Request) -> Path | None:
    """The statistics in the place of those of the training images, where it was compared with such: as for images."""
    again = first.request.get("reference_statistics")
    return (request.reference_statistics or Path(str(again))) if again else None


def _foreign_images(first: Record) -> bool:
    """Whether a record of schema 2, which does not say, was measured on other images than the row's."""
    entry = load_entries().get(first.identity.checkpoint)
    if entry is None:
        raise BadInput(f"{first.identity.checkpoint} is no registered model any more")
    return not entry.start and first.identity.data != first.where.title.removesuffix(" (ours)")


def _row(first: Record, methods: tuple[str, ...], request: Request) -> Row:
    """The row that a record stands in."""
    command = first.request.get("command")
    if command == "run":
        rows = select_rows(first.request["table"], [first.where.row], methods)
        found = [row for row in rows if (row.table, row.name) == (first.where.table, first.where.row)]
        if not found:
            raise BadInput(f"table {first.where.table} has no row {first.where.row} any more")
        return found[0]
    if command == "score":
        raise BadInput(f"{first.where.row} was scored without a model: coldbench score measures it again")
    if command not in ("evaluate", "compare", "sweep"):
        raise BadInput(f"{first.where.row} was measured from Python: no command measures it again")
    return Row(
        table=first.where.table,
        caption=first.where.caption,
        name=first.where.row,
        title=first.where.title,
        dataset=first.request["dataset"],
        checkpoint=first.identity.checkpoint,
        methods=methods,
        metrics=request.metrics,
        degradation=first.request["degradation"],
        transform=first.request["row_transform"],
        channels=first.request["channels"],
    )


def _measure_again(row: Row, request: Request, then: Sequence[Record], claim: Claim) -> list[Record]:
    """What these records measured, measured by the code as it is; missing where that needs something absent."""
    try:
        tabled = then[0].request["command"] == "run"
        prepared = plan(row, request, request.store(), tabled=tabled)
        command = {key: then[0].request.get(key) for key in ("command", "table")}
        measured = measure_plan(prepared, claim, command, f"{then[0].where.table} {row.title}").records
    except Missing as error:
        return [replace(each, value=None, interval=None, status=stored.MISSING, reason=str(error)) for each in then]
    # A comparison of restorers calls each by its own name.
    names = {record.request.get("method", record.where.method): record.where for record in then}
    return [replace(record, where=names.get(record.where.method, record.where)) for record in measured]
