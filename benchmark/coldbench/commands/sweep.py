"""``coldbench sweep``: one model with fewer steps than its degradation has, and with other settings of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from coldbench.commands.evaluate import evaluated_row
from coldbench.commands.figures import check_figures
from coldbench.commands.output import shared_claim
from coldbench.commands.plan import Plan, plan
from coldbench.commands.recording import Measurement, measure_plan
from coldbench.commands.request import Request
from coldbench.core.errors import BadInput, Missing
from coldbench.core.files import write_text
from coldbench.core.processes import only_first
from coldbench.core.progress import tell
from coldbench.core.steps import split_steps, with_steps
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.catalog import load_entries
from coldbench.diffusion.samplers import find_sampler
from coldbench.metrics.metric import METRICS
from coldbench.records.folder import holds, renewed, set_aside, stored_records
from coldbench.records.formats import render
from coldbench.records.plots import FORMATS, can_plot, save_plot
from coldbench.records.record import Record, save
from coldbench.tables.tables import Row, slug

#: Where results go unless said otherwise.
OUTPUT = Path("results/sweep")
#: The method of a model that restores; of a generator, all that are made for it.
METHODS = ("sampled",)
#: Setting -> the values that it is given in turn.
Values = Mapping[str, Sequence[Any]]


def sweep(
    model: str,
    request: Request,
    *,
    steps: Sequence[int] = (),
    values: Values | None = None,
    degradation: str | None = None,
    output: Path = OUTPUT,
) -> list[Record]:
    """Measure a model with several numbers of steps, all on the same images; write records, table, plot and pictures.

    Args:
        model: a restorer, as ``commands.evaluate.evaluate`` takes it.
        request: how to measure; its methods are those that take the steps.
        steps: n of each, 1 to T; 1, 2, 4, ... and T unless given.
        values: of settings of the degradation; each combination of them is a row.
        degradation: see ``commands.evaluate.evaluate``.
        output: the folder; what an earlier sweep of the model has left there stays, as far as it was measured alike.

    Raises:
        BadInput, Missing: as ``coldbench sweep --help`` says.
    """
    check_figures(request)
    rows = _rows(model, request, steps, values or {}, degradation)
    store = request.store()
    plans = [_complete(plan(row, asked, store)) for row, asked in rows]
    records: list[Record] = []
    with shared_claim(output, fresh=request.fresh) as claim:
        for each in plans:
            command = {"command": "sweep", "table": None}
            measured = measure_plan(each, claim, command, each.row.name)
            records += measured.records
            _save(measured, [each.row.name for each in plans], output)
    if not can_plot() and not request.quiet:
        tell("no plot is drawn, since that needs matplotlib: pip install 'coldbench[report]'")
    return records


def _rows(
    model: str, request: Request, steps: Sequence[int], values: Values, degradation: str | None
) -> list[tuple[Row, Request]]:
    """A row a combination of settings, each with the request that has these settings.

    Raises:
        BadInput: unknown names, numbers of steps that the degradation does not have, or methods without steps.
    """
    found = []
    for combination in product(*values.values()):
        settings = dict(zip(values, combination, strict=True))
        asked = replace(request, settings={**request.settings, **settings})
        row = evaluated_row(
            model, degradation, replace(asked, methods=request.methods or _own(model)), f"sweep-{slug(model)}"
        )
        methods = [with_steps(method, n) for method in map(_plain, row.methods) for n in _steps(row, asked, steps)]
        for method in methods:
            find_sampler(method)
        own = [f"{name} {value}" for name, value in settings.items()]
        name, title = slug("-".join((row.name, *own))), ", ".join((row.title, *own))
        found.append((replace(row, name=name, title=title, methods=tuple(methods)), asked))
    return found


def _own(model: str) -> tuple[str, ...]:
    """The methods, where none are named; of a generator, ``evaluated_row`` knows them."""
    entry = load_entries().get(model)
    return () if entry and entry.start else METHODS


def _plain(method: str) -> str:
    """The name of a method, if it leaves the number of steps to the sweep.

    Raises:
        BadInput: it does not.
    """
    if split_steps(method)[1] is not None:
        raise BadInput(f"{method} says a number of steps already: leave that to --steps")
    return method


def _steps(row: Row, request: Request, asked: Sequence[int]) -> tuple[int, ...]:
    """The numbers of steps, from few to many.

    Raises:
        BadInput: one that the row's degradation does not have.
    """
    base = row.degradation if row.degradation is not None else load_entries()[row.checkpoint].degradation
    T = build_degradation({**base, **request.settings}).timesteps
    for n in asked:
        if not 1 <= n <= T:
            raise BadInput(f"--steps {n}: the degradation of {row.name} has {T}, so give whole numbers of 1 to {T}")
    return tuple(sorted(set(asked))) or (*(2**k for k in range((T - 1).bit_length())), T)


def _complete(prepared: Plan) -> Plan:
    """The plan, if nothing of it is missing: a sweep without its numbers of steps says nothing.

    Raises:
        Missing: something is.
    """
    for reason in prepared.missing.values():
        raise Missing(reason)
    return prepared


@only_first
def _save(measured: Measurement, rows: Sequence[str], output: Path) -> None:
    """Write the records of one row into those of its model, with table, plot and picture.

    Raises:
        BadInput: the folder cannot be written.
    """
    row = measured.plan.row
    path, picture = output / f"{slug(row.checkpoint)}.json", output / "pictures" / slug(row.name)
    figures = measured.figures()
    plots = [path.with_suffix(f".{form}") for form in dict.fromkeys((*FORMATS, *figures.formats))]
    stored = stored_records(path)
    kept = renewed(stored, measured.records, lambda record: _place(record, rows))
    if not holds(stored, kept):
        set_aside([path, *plots, *figures.paths(picture)])
    save(kept, path)
    write_text(path.with_suffix(".md"), render(kept, "markdown", intervals=True))
    figures.titled().save(picture, output)
    for plot in plots if can_plot() else ():
        save_plot(kept, plot)


def _place(record: Record, rows: Sequence[str]) -> tuple[Any, ...]:
    """The place of a record: rows of other sweeps first, then those asked for; in a row, from few to many steps."""
    method, steps = split_steps(record.where.method)
    metrics = tuple(METRICS)
    return (
        record.where.row in rows,
        rows.index(record.where.row) if record.where.row in rows else 0,
        record.where.row,
        method,
        steps or 0,
        metrics.index(record.metric.name) if record.metric.name in metrics else len(metrics),
        record.metric.label,
    )
