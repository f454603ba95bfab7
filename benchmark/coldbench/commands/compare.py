"""``coldbench compare``: several methods, or several restorers, on the same images, seeds and noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from coldbench.commands.evaluate import evaluated_row
from coldbench.commands.figures import Figures, check_figures
from coldbench.commands.keeping import check_keeping, write_scores
from coldbench.commands.output import save_comparison, shared_claim
from coldbench.commands.plan import NO_FEATURES, Plan, available, plan
from coldbench.commands.recording import Measurement, measure_plan
from coldbench.commands.request import Request
from coldbench.core.errors import BadInput, Missing
from coldbench.core.registry import did_you_mean
from coldbench.data.cache import ImageStore
from coldbench.diffusion.catalog import find_entry, load_entries
from coldbench.diffusion.elsewhere import is_elsewhere
from coldbench.diffusion.registries import RESTORERS, SAMPLERS
from coldbench.diffusion.samplers import DEGRADED_IMAGE, find_sampler
from coldbench.evaluation.scores import ORIGINAL, Key
from coldbench.metrics.intervals import Estimate, difference
from coldbench.metrics.paired_tests import paired_tests
from coldbench.records.comparison import verdict
from coldbench.records.folder import Claim
from coldbench.records.record import Difference, Record
from coldbench.tables.tables import Row, slug

#: Where results go, and how many images are measured, unless said otherwise.
OUTPUT = Path("results/compare")
IMAGES = 1000
#: The model of each kind of method, where none is named: by what it starts from.
MODELS = {DEGRADED_IMAGE: "mnist-blur", "noise": "mnist-noise", "channel-means": "mnist-blur-generate"}


@dataclasses.dataclass(frozen=True)
class Side:
    """One of those that are compared.

    Attributes:
        name: as it was asked for.
        method: the sampler that it is measured by.
        measured: what came of it.
    """

    name: str
    method: str
    measured: Measurement

    def estimate(self, metric: str, features: str) -> Estimate:
        """Its number, with replicates."""
        assert self.measured.outcome is not None
        return self.measured.outcome.estimates[self.method, metric, features]

    def of_each(self, metric: str) -> Tensor | None:
        """The metric of every image, (N,); None where it compares no images with originals."""
        assert self.measured.outcome is not None
        return self.measured.outcome.each.get((self.method, metric))


def compare(
    names: Sequence[str],
    request: Request,
    *,
    models: Sequence[str] = (),
    degradation: str | None = None,
    output: Path = OUTPUT,
) -> list[Record]:
    """Measure every method or restorer, pair by pair; write record, table and picture.

    Args:
        names: methods; or restorers, where ``degradation`` is given without ``models``, or where all are models.
        request: how to measure; of restorers, ``methods`` says by which one method, ``sampled`` unless given.
        models: the checkpoint of the methods, or one a kind of method.
        degradation: that the restorers undo.
        output: the folder.

    Raises:
        BadInput: unknown or incomparable names, or models that do not fit them.
        Missing: data or weights that they need.
    """
    if len(set(names)) < len(names) or len(names) < 2:
        raise BadInput("a comparison needs two or more different methods, e.g. fixed-noise estimated-noise")
    check_keeping(request)
    check_figures(request)
    stem = "-vs-".join(map(slug, names))
    rows = compared_rows(names, request, models, degradation, stem)
    store = request.store()
    if request.images is None:
        request = dataclasses.replace(request, images=_default_images(rows, request, store))
    with shared_claim(output, fresh=request.fresh) as claim:
        sides = _sides(names, rows, request, store, claim)
        records = with_differences([sides[name] for name in names])
        save_comparison(records, _figures(sides), output / stem)
        write_scores([side.measured.scores_of_each({side.method: side.name}) for side in sides.values()], request)
    return records


def compared_rows(
    names: Sequence[str], request: Request, models: Sequence[str], degradation: str | None, table: str
) -> dict[str, Row]:
    """Each name's row; methods of one kind share one."""
    entries = load_entries()
    restorers = not models and (degradation is not None or all(name in entries or name in RESTORERS for name in names))
    if restorers:
        methods = request.methods or ("sampled",)
        if len(methods) > 1:
            raise BadInput("restorers are compared by one method: name one with --methods")
        own = degradation or names[0]
        return {name: _restoring(name, own, methods, request, table) for name in names}
    kinds = _by_kind(names, models)
    checkpoints = _models(models, tuple(kinds), degradation, request)
    rows = {kind: _row(checkpoints[kind], methods, degradation, request, table) for kind, methods in kinds.items()}
    return {name: rows[kind] for kind, methods in kinds.items() for name in methods}


def _default_images(rows: Mapping[str, Row], request: Request, store: ImageStore) -> int:
    """``IMAGES``, or as many as there are."""
    there = [available(row, request, store) for row in rows.values()]
    return min([IMAGES, *(count for count in there if count is not None)])


def _by_kind(methods: Sequence[str], models: Sequence[str]) -> dict[str, list[str]]:
    """The methods of each kind, by what they start from; those that start from anything join others or the model."""
    kinds: dict[str, list[str]] = {}
    for method in methods:
        if method not in SAMPLERS and ":" not in method:
            raise BadInput(
                f"unknown method '{method}'{did_you_mean(method, SAMPLERS)} (restorers are compared with --degradation)"
            )
    starts = {method: find_sampler(method).start for method in methods}
    known = [start for start in starts.values() if start in MODELS] or [*map(_kind, models), DEGRADED_IMAGE]
    for method, start in starts.items():
        kinds.setdefault(start if start in MODELS else known[0], []).append(method)
    if DEGRADED_IMAGE in kinds and len(kinds) > 1:
        raise BadInput(
            "methods that restore images and methods that generate them cannot be compared: they share no metric"
        )
    return kinds


def _kind(model: str) -> str:
    """The kind of method that a model serves, by what it starts from; a restorer from outside starts from an image.

    Raises:
        BadInput: there is no such model.
    """
    own = model not in load_entries() and (":" in model or model in RESTORERS)
    return DEGRADED_IMAGE if own else find_entry(model).start.get("name", DEGRADED_IMAGE)


def _models(names: Sequence[str], kinds: Sequence[str], degradation: str | None, request: Request) -> dict[str, str]:
    """The checkpoint of each kind of method: the one named that has the kind's start, or the default."""
    models = {kind: MODELS[kind] for kind in kinds}
    named: set[str] = set()
    entries = load_entries()
    for name in names:
        kind = _kind(name)
        if kind not in kinds:
            raise BadInput(f"--model {name} serves none of these methods")
        if kind in named:
            raise BadInput(f"--model {name} is one too many: {models[kind]} serves these methods already")
        models[kind] = name
        named.add(kind)
    if request.data and DEGRADED_IMAGE not in kinds:
        raise BadInput("--data gives images to restore, but these methods generate")
    if request.features == ("none",) and DEGRADED_IMAGE not in kinds:
        raise BadInput(NO_FEATURES)
    datasets = {entries[name].dataset for name in models.values() if name in entries}
    if len(datasets) > 1:
        raise BadInput(f"models of different data sets cannot be compared: {', '.join(sorted(datasets))}")
    return models


def _row(model: str, methods: Sequence[str], degradation: str | None, request: Request, table: str) -> Row:
    """One checkpoint with the methods that it is compared by."""
    entry = load_entries().get(model)
    if entry is None or not entry.start:
        return _restoring(model, degradation, methods, request, table)
    return evaluated_row(model, None, dataclasses.replace(request, methods=tuple(methods)), table)


def _restoring(restorer: str, degradation: str | None, methods: Sequence[str], request: Request, table: str) -> Row:
    """One restorer with the methods that it is compared by, and the degraded images for the picture."""
    shown = tuple(dict.fromkeys((*methods, "degraded")))
    return evaluated_row(restorer, degradation, dataclasses.replace(request, methods=shown), table)


def _sides(
    names: Sequence[str], rows: Mapping[str, Row], request: Request, store: ImageStore, claim: Claim
) -> dict[str, Side]:
    """All rows are planned before any is measured."""
    elsewhere = {row.name for row in rows.values() if is_elsewhere(row.checkpoint)}
    others = dataclasses.replace(request, prediction=None) if elsewhere else request
    plans = {row.name: plan(row, request if row.name in elsewhere else others, store) for row in rows.values()}
    for each in plans.values():
        for reason in (*each.missing.values(), *_asked_and_absent(each)):
            raise Missing(reason)
    command = {"command": "compare", "table": None}
    measured = {name: measure_plan(each, claim, command, name, each=True) for name, each in plans.items()}
    return {
        name: Side(name, name if name in row.methods else row.methods[0], measured[row.name])
        for name, row in ((name, rows[name]) for name in names)
    }


def _asked_and_absent(prepared: Plan) -> list[str]:
    """Why metrics that were asked for by name cannot be had; a feature space is only missed if it was named."""
    spaces = ("", *(space.name for space in prepared.features))
    return [reason for (_, name), reason in prepared.absent.items() if prepared.request.metrics and name in spaces]


def with_differences(sides: Sequence[Side]) -> list[Record]:
    """The records of all sides, each with its differences from those before it."""
    records: list[Record] = []
    for number, side in enumerate(sides):
        for record in side.measured.records:
            if record.where.method != side.method or not record.measured:
                continue
            where = dataclasses.replace(record.where, method=side.name)
            named = dataclasses.replace(record, where=where, request={**record.request, "method": side.method})
            differences = tuple(_difference(before, side, named) for before in sides[:number] if _has(before, named))
            records.append(dataclasses.replace(named, differences=differences))
    return records


def _has(side: Side, record: Record) -> bool:
    key: Key = (side.method, record.metric.name, record.metric.features)
    return side.measured.outcome is not None and key in side.measured.outcome.estimates


def _difference(a: Side, b: Side, record: Record) -> Difference:
    metric = record.metric
    paired = _paired(a, b)
    estimates = [side.estimate(metric.name, metric.features) for side in (a, b)]
    found = difference(*estimates, paired=paired)
    numbers = [each for each in (a.of_each(metric.name), b.of_each(metric.name)) if each is not None]
    tests = paired_tests(*numbers) if paired and len(numbers) == 2 else None
    return Difference(
        against=a.name,
        value=found.value,
        interval=found.interval,
        paired=found.paired,
        verdict=verdict(found.value, found.interval, a.name, record),
        sign_test=tests and tests.sign,
        wilcoxon=tests and tests.wilcoxon,
    )


def _paired(a: Side, b: Side) -> bool:
    """Whether both saw the same images under the same draws: those of one row do, and restorers of one degradation."""
    first, second = a.measured.plan, b.measured.plan
    if first is second:
        return True
    alike = first.degradation == second.degradation and first.data_sha256 == second.data_sha256
    return alike and not first.start and not second.start and first.transform == second.transform


def _figures(sides: Mapping[str, Side]) -> list[Figures]:
    """A picture with one row a side, under the originals where there are any; and the trajectories of each model."""
    found = {side.measured.plan.row.name: side.measured.figures() for side in sides.values()}
    galleries = {name: found[side.measured.plan.row.name].gallery for name, side in sides.items()}
    picture: dict[str, Tensor] = {}
    for name, gallery in galleries.items():
        picture = {kind: gallery[kind] for kind in (ORIGINAL, DEGRADED_IMAGE) if kind in gallery} | picture
        picture |= {name: gallery[sides[name].method]} if gallery else {}
    first, *others = found.values()
    return [dataclasses.replace(first, gallery=picture), *(dataclasses.replace(each, gallery={}) for each in others)]
