"""``coldbench evaluate``: any restorer, any degradation, any images, as a table of one row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coldbench.commands.draft import Given
from coldbench.commands.figures import check_figures
from coldbench.commands.keeping import check_keeping, write_scores
from coldbench.commands.output import save_row, shared_claim
from coldbench.commands.plan import Plan, plan
from coldbench.commands.recording import Measurement, measure_plan
from coldbench.commands.request import Request
from coldbench.core.errors import BadInput, Missing
from coldbench.core.registry import did_you_mean, module_hint
from coldbench.data.datasets import dataset_title
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.catalog import Entry, find_entry, load_entries
from coldbench.diffusion.registries import DEGRADATIONS, RESTORERS, SAMPLERS
from coldbench.diffusion.samplers import find_sampler
from coldbench.records.record import Record
from coldbench.tables.tables import Row, slug

#: Where results go unless said otherwise.
OUTPUT = Path("results/evaluate")
#: What is measured unless said otherwise.
METHODS = ("degraded", "sampled", "direct")
METRICS = ("FID", "SSIM", "RMSE")


def evaluate(restorer: str, request: Request, *, degradation: str | None = None, output: Path = OUTPUT) -> list[Record]:
    """Measure one restorer; write record, table and picture.

    Args:
        restorer: a model of the registry, the name of a plug-in, or ``module:attribute``.
        request: how to measure.
        degradation: a family, a model whose degradation it is, or ``module:attribute``; the restorer's own else.
        output: the folder.

    Raises:
        BadInput, Missing: as ``coldbench evaluate --help`` says; and where nothing says what to restore.
    """
    check_keeping(request)
    check_figures(request)
    row = evaluated_row(restorer, degradation, request)
    prepared = _planned(row, request, Given())
    with shared_claim(output, fresh=request.fresh) as claim:
        measured = measure_plan(prepared, claim, {"command": "evaluate", "table": None}, restorer)
        save_row(measured.records, measured.figures(), output, row, [row])
        write_scores([measured.scores_of_each()], request)
    return measured.records


def _planned(row: Row, request: Request, given: Given) -> Plan:
    """A plan in which nothing that was asked for is missing: a table of one row has no other rows to show.

    Raises:
        BadInput, Missing: see ``evaluate``.
    """
    prepared = plan(row, request, request.store(), given=given)
    for reason in prepared.missing.values():
        raise Missing(reason)
    return prepared


def evaluated_row(restorer: str, degradation: str | Mapping[str, Any] | None, request: Request, table: str = "") -> Row:
    """The row that a restorer makes.

    Args:
        restorer: see ``evaluate``.
        degradation: see ``evaluate``; or its settings.
        request: how to measure.
        table: its name; one made of the restorer's unless given.

    Raises:
        BadInput: no such restorer, or nothing says what to restore.
    """
    entry = load_entries().get(restorer)
    if entry is None and ":" not in restorer and restorer not in RESTORERS:
        known = did_you_mean(restorer, [*load_entries(), *RESTORERS])
        raise BadInput(f"unknown model or restorer '{restorer}'{module_hint(restorer) or known}")
    data = request.data or (entry.dataset if entry else None)
    if data is None or (degradation is None and entry is None):
        raise BadInput(f"{restorer} is no registered model: say --degradation and --data")
    start = entry.start.get("name", "") if entry else ""
    if start and request.data:
        raise BadInput(f"--data gives images to restore, and {restorer} generates")
    if not start and request.reference_statistics:
        raise BadInput(f"--reference-statistics is what generated images are compared with, and {restorer} restores")
    return Row(
        table=table or f"evaluate-{slug(restorer)}",
        caption="",
        name=restorer,
        title=dataset_title(data),
        dataset=entry.dataset if entry else data,
        checkpoint=restorer,
        methods=request.methods or _methods(entry),
        metrics=METRICS[:1] if start else METRICS,
        degradation=degradation_settings(degradation) if isinstance(degradation, str) else degradation,
    )


def _methods(entry: Entry | None) -> tuple[str, ...]:
    """What is measured unless said otherwise; of a generator, all methods that are made for it."""
    start = entry.start.get("name") if entry else None
    if entry is None or start is None:
        return METHODS
    degradation = build_degradation(entry.degradation, entry.name)
    builtin = filter(SAMPLERS.is_builtin, SAMPLERS)
    return tuple(name for name in builtin if find_sampler(name).is_made_for(start, degradation))


def degradation_settings(name: str) -> Mapping[str, Any]:
    """The settings that a degradation's name stands for: those of a model, or the bare family.

    Raises:
        BadInput: it is neither, nor ``module:attribute``.
    """
    entries = load_entries()
    if name in DEGRADATIONS or ":" in name:
        return {"name": name}
    if name not in entries:
        known = did_you_mean(name, [*DEGRADATIONS, *entries])
        raise BadInput(f"unknown degradation '{name}'{module_hint(name) or known}")
    return find_entry(name).degradation


def measure_given(row: Row, request: Request, given: Given, output: Path | None = None) -> Measurement:
    """Measure objects from Python; no command has these numbers again.

    Args:
        row, request, given: see ``coldbench.commands.plan.plan``.
        output: the folder for record, table and picture; nothing is written unless given.
    """
    prepared, command = _planned(row, request, given), {"command": "python", "table": None}
    if output is None:
        return measure_plan(prepared, None, command, row.name)
    with shared_claim(output, fresh=request.fresh):
        measured = measure_plan(prepared, None, command, row.name)
        save_row(measured.records, measured.figures(), output, row, [row])
        return measured
