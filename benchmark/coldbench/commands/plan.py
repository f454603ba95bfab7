"""From a row and a request to a measurement that is ready to run, or to the reasons why it is not."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from coldbench.commands.request import Request
from coldbench.core.devices import choose_device, device_name
from coldbench.core.errors import BadInput, Missing
from coldbench.core.provenance import code_digest, versions
from coldbench.data.cache import ImageStore
from coldbench.data.datasets import dataset_features
from coldbench.data.sources import ImageSource
from coldbench.diffusion.building import build_degradation, complete
from coldbench.diffusion.catalog import Entry, intended_entry, load_entries
from coldbench.diffusion.checkpoints import Restorer, load_restorer
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.registries import DEGRADATIONS, RESTORERS
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.generation import PAPER_IMAGES, Generation, check_generation, generate
from coldbench.evaluation.loop import check_count
from coldbench.evaluation.protocols import Protocol, find_protocol
from coldbench.evaluation.reference_statistics import training_features, training_start
from coldbench.evaluation.restoration import Task, check, measure
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import Outcome
from coldbench.metrics.features import FID_FEATURES, FeatureSpace, absence, feature_spaces, load_feature_space
from coldbench.metrics.metric import Metric, find_metrics
from coldbench.tables.tables import Row

NO_FEATURES = "generated images have no metric without features: choose other --features"
NO_ORIGINALS = "generated images have no originals to be compared with"


@dataclass(frozen=True)
class Given:
    """Objects from Python in the place of names.

    Attributes:
        restore: R.
        degradation: D.
        source: the images.
        features: feature spaces.
        metrics: metrics.
    """

    restore: Restore | None = None
    degradation: Degradation | None = None
    source: ImageSource | None = None
    features: Sequence[FeatureSpace] | None = None
    metrics: Sequence[Metric] | None = None


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
        measure: runs it; None if there is nothing to run. Takes what ``evaluation.restoration.measure`` takes beside
            its task.
        images: N.
        protocol, transform, degradation, start, checkpoint_sha256, data, data_sha256: see ``records.record.Identity``.
        float32_only: see ``records.record.Conditions``.
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
    measure: Callable[[Callable[[int], object], Keeper | None], Outcome] | None = None
    images: int | None = None
    transform: str = "native"
    degradation: Mapping[str, Any] = field(default_factory=dict)
    start: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_sha256: str | None = None
    data: str = ""
    data_sha256: str | None = None
    float32_only: str = ""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def identity(self) -> dict[str, Any]:
        """Everything that the numbers depend on: a stopped measurement goes on only where all of it is the same."""
        return {
            "row": [self.row.table, self.row.name, self.row.checkpoint],
            "degradation": dict(self.degradation),
            "start": dict(self.start),
            "checkpoint": self.checkpoint_sha256 or "",
            "methods": list(self.methods),
            "metrics": [metric.name for metric in self.metrics],
            "images": self.images,
            "data": self.data_sha256 or "",
            "features": {space.name: space.sha256 for space in self.features},
            "protocol": self.request.protocol,
            "transform": self.transform,
            "seed": self.request.seed,
            "batch_size": self.request.batch_size,
            "dtype": self.request.dtype,
            "device": device_name(self.device),
            "versions": versions(),
            "code": code_digest(),
        }

    def run(self, label: str, keeper: Keeper | None) -> Outcome:
        """Measure, with a progress bar; there must be something to measure."""
        assert self.measure is not None
        with tqdm(total=self.images, desc=label, unit="img", disable=self.request.quiet) as bar:
            return self.measure(lambda images: bar.update(images) and None, keeper)


def plan(row: Row, request: Request, store: ImageStore, *, tabled: bool = False, given: Given = Given()) -> Plan:
    """Find out all that can be found out before anything is measured.

    Args:
        row: what to measure.
        request: how.
        store: where images come from.
        tabled: whether the row must be what its table says it is, however its checkpoint was registered.
        given: objects in the place of names.

    Raises:
        BadInput: names, settings, methods, images or weights that do not fit.
        Missing: something asked for by name is absent: a device, a feature space.
    """
    draft = _draft(row, request, given)
    wrong = _unlike_its_table(draft) if tabled else ""
    if wrong:
        return _nothing(draft, wrong)
    return _generation(draft, store) if draft.start else _restoration(draft, store)


def available(row: Row, request: Request, store: ImageStore) -> int | None:
    """How many images a row can measure; None where it generates them.

    Raises:
        BadInput, Missing: see ``plan``.
    """
    draft = _draft(row, request, Given())
    if draft.start:
        return None
    return store.source(request.data or row.dataset).count - draft.protocol.skipped


@dataclass(frozen=True)
class _Draft:
    """A row and a request with their names looked up.

    Attributes:
        row, request, given: see ``plan``.
        entry: the checkpoint; None where the restorer is the user's own.
        methods: names of samplers.
        metrics: all that were asked for.
        protocol: what the methods are.
        base: the settings of the degradation, before those of the protocol and of the request.
        device: where to compute.
    """

    row: Row
    request: Request
    given: Given
    entry: Entry | None
    methods: tuple[str, ...]
    metrics: Sequence[Metric]
    protocol: Protocol
    base: Mapping[str, Any]
    device: torch.device

    @property
    def start(self) -> Mapping[str, Any]:
        """What a generator starts from; empty for what restores."""
        return self.entry.start if self.entry else {}

    @property
    def settings(self) -> dict[str, Any]:
        """Of the degradation, as it is measured."""
        return {**self.base, **self.changes}

    @property
    def transform(self) -> str:
        """Of the images: the request's, or else the protocol's, the row's, or the checkpoint's."""
        own = self.row.transform or (self.entry.transform if self.entry else "native")
        return self.request.transform or self.protocol.transform or own

    @property
    def dataset(self) -> str:
        """The data set that feature spaces and training images are those of."""
        return self.entry.dataset if self.entry else self.row.dataset

    @property
    def changes(self) -> dict[str, Any]:
        """What the protocol and the request change of the settings."""
        return {**self.protocol.settings, **self.request.settings}

    def build(self) -> Degradation:
        """D, on the device.

        Raises:
            BadInput: settings are changed that a degradation made by the user does not tell of.
        """
        given = self.given.degradation
        if given is not None and not self.changes:
            return given.to(self.device)
        name = str(self.base.get("name"))
        if given is not None and ":" not in name and name not in DEGRADATIONS:
            raise BadInput(f"settings change a degradation that is known by name; {name} was given as it is")
        return build_degradation(self.settings).to(self.device)


def _draft(row: Row, request: Request, given: Given) -> _Draft:
    entry = load_entries().get(row.checkpoint)
    if given.degradation is not None:
        base: Mapping[str, Any] = given.degradation.settings
    elif row.degradation is not None or entry is not None:
        base = row.degradation if row.degradation is not None else entry.degradation if entry else {}
    else:
        raise BadInput(f"{row.checkpoint} is no registered model: say which --degradation it undoes")
    generates = entry is not None and bool(entry.start)
    if generates and request.protocol == "released":
        protocol = Protocol("released")  # Table 5 has none of the released code's differences
    else:
        dataset = entry.dataset if entry else row.dataset
        protocol = find_protocol(request.protocol, str(base.get("name")), dataset)
    return _Draft(
        row=row,
        request=request,
        given=given,
        entry=entry,
        methods=row.methods,
        metrics=given.metrics if given.metrics is not None else find_metrics(request.metrics or row.metrics),
        protocol=protocol,
        base=base,
        device=choose_device(request.device),
    )


def _unlike_its_table(draft: _Draft) -> str:
    """Why the registered checkpoint is not what the table means by its name; nothing where it is."""
    if draft.entry is None or draft.row.degradation is not None:
        return ""
    name = draft.entry.name
    wanted, found = _described(intended_entry(name), draft.changes), _described(draft.entry, draft.changes)
    if wanted == found:
        return ""
    differences = [
        f"{key} {found.get(key, 'absent')} instead of {wanted.get(key, 'absent')}"
        for key in dict.fromkeys((*wanted, *found))
        if wanted.get(key) != found.get(key)
    ]
    return (
        f"{name} is registered with {', '.join(differences)}, so this is not what Table {draft.row.table} measures: "
        f"coldbench evaluate {name}, or import it under another name"
    )


def _described(entry: Entry, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a checkpoint that of its row: data set, transform, kind of start, and degradation."""
    facts = {"dataset": entry.dataset, "transform": entry.transform, "start": entry.start.get("name", "none")}
    return {**facts, **complete({**entry.degradation, **changes})}


def _nothing(draft: _Draft, reason: str) -> Plan:
    """A plan of which nothing can be measured, for one reason."""
    return _plan(draft, missing=dict.fromkeys(draft.methods, reason))


def _plan(draft: _Draft, **facts: Any) -> Plan:
    as_given = draft.given.degradation is not None and not draft.changes
    settings = dict(draft.base) if as_given else complete(draft.settings)
    common = {
        "row": draft.row,
        "request": draft.request,
        "metrics": draft.metrics,
        "transform": draft.transform,
        "degradation": settings,
        "start": draft.start,
        "asked": _asked(draft),
        "device": draft.device,
    }
    return Plan(**{**common, **facts})


def _asked(draft: _Draft) -> dict[str, str]:
    """Metric or feature space -> the name by which it was asked for, where that is another one."""
    if draft.given.metrics is not None or draft.given.features is not None:
        return {}
    asked = {find_metrics([name])[0].name: name for name in draft.request.metrics or draft.row.metrics}
    if any(metric.reads == "features" for metric in draft.metrics):
        asked |= {load_feature_space(name, draft.device).name: name for name in _names_of_spaces(draft)}
    return {name: spec for name, spec in asked.items() if name != spec}


def _names_of_spaces(draft: _Draft) -> list[str]:
    """By which the feature spaces at hand are asked for."""
    words = {"auto": dataset_features(draft.dataset), "none": ()}
    names = [each for name in draft.request.features for each in words.get(name, (name,))]
    return [name for name in names if not absence(name, draft.device)]


def _restoration(draft: _Draft, store: ImageStore) -> Plan:
    request, protocol = draft.request, draft.protocol
    try:
        source = draft.given.source or store.source(request.data or draft.row.dataset)
    except Missing as error:
        return _nothing(draft, str(error))
    degradation = draft.build()
    networked = tuple(method for method in draft.methods if protocol.sampler(method).uses_network)
    restore, sha256, missing = _restorer(draft, networked)
    methods = tuple(method for method in draft.methods if method not in missing)
    metrics, spaces, absent = _metrics(draft, degradation.image_size)
    if not methods:
        return _plan(draft, missing=missing)
    images = source.count - protocol.skipped if request.images is None else request.images
    check_count(images, source.count, protocol.skipped, source.name)
    task = Task(
        pixels=store.pixels(
            source,
            transform=draft.transform,
            image_size=degradation.image_size,
            channels=_channels(draft, source),
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
        batch_size=request.batch_size,
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
        measure=partial(measure, task),
        images=images,
        checkpoint_sha256=sha256,
        data=source.name,
        data_sha256=source.digest,
        degradation=degradation.settings,
        float32_only=degradation.float32_only,
    )


def _channels(draft: _Draft, source: ImageSource) -> int:
    """C: what was asked for, or what the network takes, or what the first image has."""
    asked = draft.request.channels or draft.row.channels
    if asked is not None:
        return asked
    return draft.entry.channels if draft.entry else source.channels


def _generation(draft: _Draft, store: ImageStore) -> Plan:
    entry, request = draft.entry, draft.request
    assert entry is not None
    if request.data:
        return _nothing(draft, "--data gives images to restore, and this row generates")
    restore, sha256, missing = _restorer(draft, draft.methods)
    if restore is None:
        return _plan(draft, missing=missing)
    degradation = draft.build()
    metrics, spaces, absent = _metrics(draft, degradation.image_size)
    shape: dict[str, Any] = {
        "transform": draft.transform,
        "image_size": degradation.image_size,
        "channels": entry.channels,
    }
    references, gone = _references(draft, metrics, spaces, store, shape)
    spaces = [space for space in spaces if all((space.name, metric.name) in references for metric in metrics)]
    if not spaces or not metrics:
        reason = next(iter(gone.values()), "") or (NO_FEATURES if request.features != ("auto",) else "")
        return _nothing(draft, reason or next(iter(absent.values()), NO_FEATURES))
    try:
        start = training_start(entry.dataset, entry.start, store, **shape)
    except Missing as error:
        return _nothing(draft, str(error))
    task = Generation(
        degradation=degradation,
        start=start,
        restore=restore,
        metrics=metrics,
        features=spaces,
        references={key: each.seen for key, each in references.items()},
        methods=draft.methods,
        images=PAPER_IMAGES if request.images is None else request.images,
        channels=entry.channels,
        seed=request.seed,
        batch_size=request.batch_size,
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
        measure=partial(generate, task),
        images=task.images,
        start=start,
        checkpoint_sha256=sha256,
        data=training.name,
        data_sha256=training.digest,
        degradation=degradation.settings,
        float32_only=degradation.float32_only,
    )


def _references(
    draft: _Draft,
    metrics: Sequence[Metric],
    spaces: Sequence[FeatureSpace],
    store: ImageStore,
    shape: Mapping[str, Any],
) -> tuple[dict[tuple[str, str], Any], dict[tuple[str, str], str]]:
    """What generated images are compared with, by feature space and metric; and why that is absent for some."""
    found: dict[tuple[str, str], Any] = {}
    gone: dict[tuple[str, str], str] = {}
    for space in spaces:
        for metric in metrics:
            try:
                taken = training_features(draft.dataset, space, metric, store, device=draft.device, **shape)
            except Missing as error:
                if draft.request.features != ("auto",):
                    raise
                gone[metric.name, space.name] = str(error)
            else:
                found[space.name, metric.name] = taken
    return found, gone


def _metrics(draft: _Draft, image_size: int) -> tuple[list[Metric], list[FeatureSpace], dict[tuple[str, str], str]]:
    """The metrics and feature spaces that can be used; and why those that were asked for and cannot be are absent."""
    absent: dict[tuple[str, str], str] = {}
    usable: list[Metric] = []
    spaces = _spaces(draft, image_size)
    left_out = _left_out(draft, image_size)
    for metric in draft.metrics:
        reason = _unusable(metric, generates=bool(draft.start))
        if reason:
            absent[metric.name, FID_FEATURES if metric.reads == "features" else ""] = reason
            continue
        usable.append(metric)
        if metric.reads == "pairs":
            continue
        if FID_FEATURES not in [space.name for space in spaces]:
            absent[metric.name, FID_FEATURES] = _no_fid(draft)
        absent |= {(metric.name, name): reason for name, reason in left_out.items()}
    return usable, spaces, absent


def _unusable(metric: Metric, *, generates: bool) -> str:
    """Why a metric cannot be computed here; nothing where it can."""
    if generates and metric.reads == "pairs":
        return NO_ORIGINALS
    try:
        metric.ready()
    except Missing as error:
        return str(error)
    return ""


def _spaces(draft: _Draft, image_size: int) -> list[FeatureSpace]:
    if all(metric.reads == "pairs" for metric in draft.metrics):
        return []
    if draft.given.features is not None:
        return list(draft.given.features)
    names = draft.request.features
    spaces = feature_spaces(names, draft.device, auto=dataset_features(draft.dataset))
    fitting = [space for space in spaces if space.image_size in (None, image_size)]
    return fitting if names == ("auto",) else spaces


def _left_out(draft: _Draft, image_size: int) -> dict[str, str]:
    """The data set's own feature spaces that ``auto`` cannot use, and why."""
    if draft.given.features is not None or draft.request.features != ("auto",):
        return {}
    left_out = {}
    for name in dataset_features(draft.dataset):
        reason = absence(name, draft.device)
        takes = None if reason else load_feature_space(name, draft.device).image_size
        if takes not in (None, image_size):
            reason = f"{name} takes images of {takes} pixels, not {image_size}"
        if reason:
            left_out[name] = reason
    return left_out


def _no_fid(draft: _Draft) -> str:
    """Why the feature space of the FID is not used."""
    if draft.given.features is not None:
        return "not among the feature spaces that were given"
    if draft.request.features == ("auto",):
        return absence(FID_FEATURES, draft.device)
    return f"not asked for: --features {','.join(draft.request.features)}"


def _restorer(draft: _Draft, networked: Sequence[str]) -> tuple[Restore | None, str | None, dict[str, str]]:
    """R and its hash, if these methods need one; and why they cannot be measured, if it is not there."""
    if not networked:
        return None, None, {}
    if draft.given.restore is not None or draft.entry is None:
        restore = find_restorer(draft.row.checkpoint) if draft.given.restore is None else draft.given.restore
        _check_restorer(restore, draft.row.checkpoint)
        if draft.request.dtype != "float32" and not isinstance(restore, Restorer):
            raise BadInput(f"--dtype is that of a registered model's network; {draft.row.checkpoint} has its own")
        return _ready(restore, draft.device), parameters_sha256(restore), {}
    try:
        random = draft.request.allow_random_weights
        restorer = load_restorer(draft.entry, draft.device, draft.request.dtype, random=random)
    except Missing as error:
        return None, None, dict.fromkeys(networked, str(error))
    return restorer, restorer.sha256, {}


def find_restorer(name: str) -> Restore:
    """A restorer of the user's own, by its name or ``module:attribute``.

    Raises:
        BadInput: there is none, or it is no callable R(x, s).
    """
    restore: Restore = RESTORERS[name]
    _check_restorer(restore, name)
    return restore


def _check_restorer(restore: object, name: str) -> None:
    if inspect.isclass(restore):
        raise BadInput(f"restorer '{name}' is a class: name an instance of it, or a function R(x, s)")
    if not callable(restore):
        raise BadInput(f"restorer '{name}' is {type(restore).__name__}, not a callable R(x, s)")


def _ready(restore: Restore, device: torch.device) -> Restore:
    return restore.to(device).eval() if isinstance(restore, nn.Module) else restore


def parameters_sha256(restore: object) -> str | None:
    """SHA-256 of a module's parameters and buffers, or what a restorer says of its own; None where there are none."""
    known = getattr(restore, "sha256", None)
    if isinstance(known, str):
        return known
    if not isinstance(restore, nn.Module):
        return None
    digest = hashlib.sha256()
    for name, tensor in sorted(restore.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
