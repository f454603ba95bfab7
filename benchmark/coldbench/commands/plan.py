"""From a row and a request to a measurement that is ready to run, or to the reasons why it is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from tqdm import tqdm

from coldbench.commands.draft import NOTHING_GIVEN, Draft, Given, draft_of, unlike_its_table
from coldbench.commands.references import references_of, unknown_images
from coldbench.commands.request import BATCH_SIZE, Request
from coldbench.commands.restorers import restorer_of
from coldbench.commands.scoring import asked_names, usable_metrics
from coldbench.core.devices import device_name
from coldbench.core.errors import BadInput, Missing
from coldbench.core.processes import check_alike, first_goes_first
from coldbench.core.provenance import code_digest, versions
from coldbench.data.cache import ImageStore
from coldbench.data.sources import ImageSource
from coldbench.diffusion.arithmetic import check_available
from coldbench.diffusion.building import complete
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.checks import check_count, check_metrics
from coldbench.evaluation.details import NO_DETAILS, Details
from coldbench.evaluation.generation import PAPER_IMAGES, Generation, check_generation, generate
from coldbench.evaluation.reference_statistics import training_start
from coldbench.evaluation.restoration import Task, check, measure
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import Outcome
from coldbench.evaluation.set_features import View
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import Metric
from coldbench.records.trials import Trial
from coldbench.tables.tables import Row

RESTORES = "--reference-statistics is what generated images are compared with, and this row restores"
NO_FEATURES = "generated images can only be measured in a feature space: choose one with --features"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A measurement of one row.

    Attributes:
        row, request: what was asked for.
        missing: method -> why it cannot be measured, and how to mend that.
        absent: (metric, feature space) -> why that cannot be measured of any method, and how to mend that.
        methods: those that can be measured.
        networked: of these, those in which the network has a part.
        metrics: all that were asked for.
        features: the feature spaces.
        asked: metric or feature space -> the name by which it was asked for, e.g. ``module:attribute``.
        restore: R; None where the network has no part.
        shape: (C, S, S) of the images.
        batch_size: images at a time.
        skipped: images of the data set before the first that is measured.
        names: of all images of the data set; empty where they have none.
        trial: see ``records.record.Conditions``.
        again: plans the same row by another request.
        task: the measurement itself; None if there is nothing to run.
        measure: runs it; None if there is nothing to run. Takes what ``evaluation.restoration.measure`` takes beside
            its task.
        images: N.
        protocol, transform, degradation, start, checkpoint_sha256, data, data_sha256: see ``records.record.Identity``.
        float32_only: see ``records.record.Conditions``.
        warning: what speaks against trusting any number of features.
        device: where it runs.
    """

    row: Row
    request: Request
    missing: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[tuple[str, str], str] = field(default_factory=dict)
    methods: tuple[str, ...] = ()
    networked: tuple[str, ...] = ()
    metrics: Sequence[Metric] = ()
    features: Sequence[FeatureSpace] = ()
    asked: Mapping[str, str] = field(default_factory=dict)
    restore: Restore | None = None
    shape: tuple[int, int, int] = (1, 1, 1)
    batch_size: int = 1
    skipped: int = 0
    names: tuple[str, ...] = ()
    trial: tuple[Trial, ...] = ()
    again: Callable[[Request], Plan] | None = None
    task: Task | Generation | None = None
    measure: Callable[[Callable[[int], object], Keeper | None, Details], Outcome] | None = None
    images: int | None = None
    transform: str = "native"
    degradation: Mapping[str, Any] = field(default_factory=dict)
    start: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_sha256: str | None = None
    data: str = ""
    data_sha256: str | None = None
    float32_only: str = ""
    warning: str = ""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def identity(self) -> dict[str, Any]:
        """Everything that the numbers depend on: a stopped measurement goes on only where all of it is the same."""
        return {
            "row": [self.row.table, self.row.name, self.row.checkpoint],
            "degradation": dict(self.degradation),
            "start": dict(self.start),
            "checkpoint": self.checkpoint_sha256 or "",
            "methods": list(self.methods),
            "metrics": [self.asked.get(metric.name, metric.name) for metric in self.metrics],
            "images": self.images,
            "data": self.data_sha256 or "",
            "features": {space.name: space.sha256 for space in self.features},
            "protocol": self.request.protocol,
            "transform": self.transform,
            "seed": self.request.seed,
            "batch_size": self.batch_size,
            "dtype": self.request.arithmetic,
            "device": device_name(self.device),
            "versions": versions(),
            "code": code_digest(),
        }

    def run(self, label: str, keeper: Keeper | None, details: Details = NO_DETAILS) -> Outcome:
        """Measure, with a progress bar; there must be something to measure."""
        assert self.measure is not None
        with tqdm(total=self.images, desc=label, unit="img", disable=self.request.quiet) as bar:
            return self.measure(lambda images: bar.update(images) and None, keeper, details)


def plan(row: Row, request: Request, store: ImageStore, *, tabled: bool = False, given: Given = NOTHING_GIVEN) -> Plan:
    """Find out all that can be found out before anything is measured.

    Args:
        row: what to measure.
        request: how.
        store: where images come from.
        tabled: whether the row must be what its table says it is, however its checkpoint was registered.
        given: objects in the place of names.

    Raises:
        BadInput: names, settings, methods, images or weights that do not fit, or are not the same for all processes.
        Missing: something asked for by name is absent: a device, a feature space.
    """
    # What the first process takes from images (statistics, features) the others find in the cache.
    try:
        with first_goes_first():
            found = _planned(row, request, store, tabled, given)
    except Missing as error:
        check_alike({}, [str(error)])
        raise
    _check_shown(found)
    lacking = [*found.missing.values(), *found.absent.values()]
    check_alike({**found.identity(), "what is absent": [*found.absent]}, lacking)
    return found


def _check_shown(plan: Plan) -> None:
    """Whether the measurement has the images that its figures are to show.

    Raises:
        BadInput: it does not.
    """
    last = max(plan.request.figure_images, default=0)
    if plan.images is not None and last >= plan.images:
        raise BadInput(
            f"--figure-images {last}: {plan.row.title} is measured on {plan.images} images, so the last is "
            f"{plan.images - 1}"
        )


def _planned(row: Row, request: Request, store: ImageStore, tabled: bool, given: Given) -> Plan:
    draft = draft_of(row, request, given)
    check_available(request.arithmetic, draft.device)
    wrong = unlike_its_table(draft) if tabled else ""
    if wrong:
        return _nothing(draft, wrong)
    found = _generation(draft, store) if draft.start else _restoration(draft, store)
    return replace(found, again=lambda other: plan(row, other, store, tabled=tabled, given=given))


def available(row: Row, request: Request, store: ImageStore) -> int | None:
    """How many images a row can measure; None where it generates them.

    Raises:
        BadInput, Missing: see ``plan``.
    """
    draft = draft_of(row, request, NOTHING_GIVEN)
    if draft.start:
        return None
    return store.source(request.data or row.dataset).count - draft.protocol.skipped


def _nothing(draft: Draft, reason: str) -> Plan:
    """A plan of which nothing can be measured, for one reason."""
    return _plan(draft, missing=dict.fromkeys(draft.methods, reason))


def _plan(draft: Draft, **facts: Any) -> Plan:
    as_given = draft.given.degradation is not None and not draft.changes
    settings = dict(draft.base) if as_given else complete(draft.settings)
    common = {
        "row": draft.row,
        "request": draft.request,
        "metrics": draft.metrics,
        "transform": draft.transform,
        "degradation": settings,
        "start": draft.start,
        "asked": asked_names(draft),
        "device": draft.device,
        "batch_size": draft.request.images_at_a_time(),
    }
    return Plan(**{**common, **facts})


def _restoration(draft: Draft, store: ImageStore) -> Plan:
    request, protocol = draft.request, draft.protocol
    if request.reference_statistics:
        return _nothing(draft, RESTORES)
    try:
        source = draft.given.source or store.source(request.data or draft.row.dataset)
    except Missing as error:
        return _nothing(draft, str(error))
    degradation = draft.build()
    networked = tuple(method for method in draft.methods if protocol.sampler(method).uses_network)
    restore, sha256, missing = restorer_of(draft, networked)
    methods = tuple(method for method in draft.methods if method not in missing)
    metrics, spaces, absent = usable_metrics(draft, degradation.image_size)
    if not methods:
        return _plan(draft, missing=missing)
    images = source.count - protocol.skipped if request.images is None else request.images
    check_count(images, source.count, protocol.skipped, source.name)
    channels, batch_size = _channels(draft, source), _batch_size(request, restore)
    task = Task(
        pixels=store.pixels(
            source,
            transform=draft.transform,
            image_size=degradation.image_size,
            channels=channels,
            count=images + protocol.skipped,
        ),
        degradation=degradation,
        restore=restore,
        metrics=metrics,
        features=spaces,
        methods=methods,
        protocol=protocol,
        images=images,
        seed=request.seed,
        batch_size=batch_size,
        device=draft.device,
    )
    check(task)
    return _plan(
        draft,
        missing=missing,
        absent=absent,
        methods=methods,
        networked=networked,
        features=spaces,
        restore=restore,
        shape=(channels, degradation.image_size, degradation.image_size),
        batch_size=batch_size,
        skipped=protocol.skipped,
        names=source.names,
        task=task,
        measure=partial(measure, task),
        images=images,
        checkpoint_sha256=sha256,
        data=source.name,
        data_sha256=source.digest,
        degradation=degradation.settings,
        float32_only=degradation.float32_only,
    )


def _batch_size(request: Request, restore: Restore | None) -> int:
    """Images at a time: as many as were asked for, or as R takes."""
    return request.images_at_a_time(getattr(restore, "chunk", BATCH_SIZE))


def _channels(draft: Draft, source: ImageSource) -> int:
    """C: what was asked for, or what the network takes, or what the first image has."""
    asked = draft.request.channels or draft.row.channels
    if asked is not None:
        return asked
    return draft.entry.channels if draft.entry else source.channels


def _generation(draft: Draft, store: ImageStore) -> Plan:
    entry, request = draft.entry, draft.request
    assert entry is not None
    if request.data:
        return _nothing(draft, "--data gives images to restore, and this row generates")
    restore, sha256, missing = restorer_of(draft, draft.methods)
    if restore is None:
        return _plan(draft, missing=missing)
    degradation = draft.build()
    metrics, spaces, absent = usable_metrics(draft, degradation.image_size)
    images = PAPER_IMAGES if request.images is None else request.images
    check_metrics(metrics, spaces, images, degradation.image_size)
    shape: dict[str, Any] = {
        "transform": draft.transform,
        "image_size": degradation.image_size,
        "channels": entry.channels,
    }
    references, gone = references_of(draft, metrics, spaces, store, View(device=draft.device, **shape))
    metrics = [metric for metric in metrics if any((space.name, metric.name) in references for space in spaces)]
    spaces = [space for space in spaces if all((space.name, metric.name) in references for metric in metrics)]
    if not spaces or not metrics:
        reason = next(iter(gone.values()), "") or (NO_FEATURES if request.features != ("auto",) else "")
        return _nothing(draft, reason or next(iter(absent.values()), NO_FEATURES))
    try:
        start = training_start(entry.dataset, entry.start, store, **shape)
    except Missing as error:
        return _nothing(draft, str(error))
    batch_size = _batch_size(request, restore)
    task = Generation(
        degradation=degradation,
        start=start,
        restore=restore,
        metrics=metrics,
        features=spaces,
        references={key: each.seen for key, each in references.items()},
        methods=draft.methods,
        images=images,
        channels=entry.channels,
        seed=request.seed,
        batch_size=batch_size,
        device=draft.device,
    )
    check_generation(task)
    training = next(iter(references.values()))
    return _plan(
        draft,
        absent={**absent, **gone},
        methods=draft.methods,
        networked=draft.methods,
        features=spaces,
        restore=restore,
        shape=task.shape,
        batch_size=batch_size,
        task=task,
        measure=partial(generate, task),
        images=images,
        start=start,
        checkpoint_sha256=sha256,
        data=training.name,
        data_sha256=training.digest,
        degradation=degradation.settings,
        float32_only=degradation.float32_only,
        warning=unknown_images(request),
    )
