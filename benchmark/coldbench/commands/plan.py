"""From the options of a command to a measurement that is ready to run, shared by ``run`` and ``compare``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from coldbench.api import feature_spaces, restoration_task
from coldbench.core.devices import choose_device, device_name
from coldbench.core.errors import BadInput, Missing
from coldbench.core.settings import parse_setting
from coldbench.data.cache import ImageStore
from coldbench.diffusion.catalog import Entry
from coldbench.diffusion.checkpoints import Restorer, build_degradation, load_restorer
from coldbench.evaluation.generation import GENERATORS, PAPER_IMAGES, Generation, check_generation, generate
from coldbench.evaluation.protocols import Protocol, find_protocol, stored_name
from coldbench.evaluation.reference_statistics import Reference, training_reference, training_start
from coldbench.evaluation.restoration import measure
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import Outcome
from coldbench.metrics.features import FID_FEATURES, FeatureSpace
from coldbench.records import record as results

NO_INCEPTION = "no Inception weights: coldbench fetch inception"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to measure: what ``coldbench run`` and ``coldbench compare`` have in common; see their ``--help``."""

    images: int | None = None
    data: str | None = None
    features: tuple[str, ...] = ("auto",)
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 64
    seed: int = 0
    protocol: str = "paper"
    data_root: Path = Path("data")
    workers: int | None = None
    transform: str | None = None
    settings: tuple[str, ...] = ()
    allow_random_weights: bool = False
    quiet: bool = False
    fresh: bool = False

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings of the degradation that the command changes."""
        return dict(map(parse_setting, self.settings))

    def store(self) -> ImageStore:
        """Where the images of this request come from."""
        return ImageStore(self.data_root, workers=self.workers, progress=partial(progress_bar, quiet=self.quiet))


@dataclass(frozen=True)
class Prepared:
    """A measurement with one checkpoint, ready to run.

    Attributes:
        entry: the checkpoint.
        missing: method -> why it cannot be measured, and how to mend that.
        methods: those that can.
        networked: of these, those in which the network has a part.
        measure: runs them; None if there are none. Takes what ``runner.measure`` takes beside its task.
        images: N.
        data, data_sha256: the images restored, or those that generated ones are compared with.
        features: the feature spaces.
        no_fid: why Inception's is not among them, where it could be.
        device: where it runs.
    """

    entry: Entry
    missing: Mapping[str, str]
    methods: tuple[str, ...] = ()
    networked: tuple[str, ...] = ()
    measure: Callable[[Callable[[int], object], Keeper | None], Outcome] | None = None
    images: int = 0
    data: str = ""
    data_sha256: str | None = None
    features: Sequence[FeatureSpace] = field(default_factory=tuple)
    no_fid: str = NO_INCEPTION
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def identity(self, settings: Settings) -> dict[str, Any]:
        """Everything that the numbers depend on: a stopped measurement goes on only where all of it is the same."""
        return {
            "entry": [self.entry.dataset, self.entry.network, self.entry.degradation, self.entry.start],
            "checkpoint": self.entry.sha256 or "",
            "methods": list(self.methods),
            "images": self.images,
            "data": self.data_sha256 or "",
            "features": {space.name: space.sha256 for space in self.features},
            "protocol": protocol_name(self.entry, settings),
            "seed": settings.seed,
            "batch_size": settings.batch_size,
            "dtype": settings.dtype,
            "device": device_name(self.device),
            "versions": results.versions(),
            "code": results.code_digest(),
        }

    def run(self, label: str, keeper: Keeper, settings: Settings) -> Outcome:
        """Measure, with a progress bar; there must be something to measure."""
        assert self.measure is not None
        with tqdm(total=self.images, desc=label, unit="img", disable=settings.quiet) as bar:

            def watch(images: int) -> None:
                bar.update(images)
                if bar.n == bar.total:
                    bar.set_postfix_str("intervals")  # that is what takes time then

            return self.measure(watch, keeper)


def prepare(entry: Entry, methods: Sequence[str], settings: Settings, store: ImageStore) -> Prepared:
    """Load all that these methods need; what is absent becomes a reason, what is wrong an error.

    Raises:
        BadInput: methods, images or weights that do not fit.
        Missing: something asked for by name is absent: a device, a feature space.
    """
    if all(method in GENERATORS for method in methods):
        return _prepare_generation(entry, methods, settings, store)
    return _prepare_restoration(entry, methods, settings, store)


def transform_of(entry: Entry, settings: Settings, protocol: Protocol) -> str:
    """Of the images: the command's, or else the protocol's, or else the entry's."""
    return settings.transform or protocol.transform or entry.transform


def protocol_name(entry: Entry, settings: Settings) -> str:
    """The protocol as stored with a number: with everything that makes this measurement another one."""
    generates = bool(entry.start)
    protocol = Protocol(settings.protocol) if generates else find_protocol(settings.protocol, entry)
    transform = transform_of(entry, settings, protocol)
    return stored_name(settings.protocol, transform, settings.settings)


def _prepare_restoration(entry: Entry, methods: Sequence[str], settings: Settings, store: ImageStore) -> Prepared:
    device = choose_device(settings.device)
    try:
        source = store.source(settings.data or entry.dataset)
    except Missing as error:
        return Prepared(entry, dict.fromkeys(methods, str(error)))
    protocol = find_protocol(settings.protocol, entry)
    networked = [method for method in methods if protocol.involves_network(method)]
    restore, missing = _restorer(entry, networked, settings, device)
    possible = tuple(method for method in methods if method not in missing)
    if not possible:
        return Prepared(entry, missing)
    task = restoration_task(
        restore,
        build_degradation(entry, {**protocol.settings, **settings.chosen}).to(device),
        source,
        store,
        count=settings.images,
        channels=entry.channels,
        methods=possible,
        features=_feature_spaces(entry.dataset, settings.features, device),
        transform=transform_of(entry, settings, protocol),
        protocol=protocol,
        seed=settings.seed,
        batch_size=settings.batch_size,
        device=device,
    )
    return Prepared(
        entry=replace(entry, sha256=restore.sha256 if restore else entry.sha256),
        missing=missing,
        methods=possible,
        networked=tuple(networked),
        measure=partial(measure, task),
        images=task.images,
        data=source.name,
        data_sha256=source.digest,
        features=task.features,
        device=device,
    )


def _prepare_generation(entry: Entry, methods: Sequence[str], settings: Settings, store: ImageStore) -> Prepared:
    for method in methods:
        if GENERATORS[method].start != entry.start.get("name"):
            raise BadInput(f"{method} generates from {GENERATORS[method].start}, and {entry.name} does not")
    if settings.data:
        return Prepared(entry, dict.fromkeys(methods, "--data gives images to restore, and this row generates"))
    device = choose_device(settings.device)
    restore, missing = _restorer(entry, methods, settings, device)
    if restore is None:
        return Prepared(entry, missing)
    spaces = _feature_spaces(entry.dataset, settings.features, device)
    if not spaces:
        reason = NO_INCEPTION if settings.features == ("auto",) else "generated images have no metric without features"
        return Prepared(entry, dict.fromkeys(methods, reason))
    degradation = build_degradation(entry, settings.chosen).to(device)
    shape: dict[str, Any] = {
        "transform": settings.transform or entry.transform,
        "image_size": degradation.image_size,
        "channels": entry.channels,
    }
    references, absent = _references(
        entry.dataset, spaces, settings, partial(training_reference, store=store, device=device, **shape)
    )
    if not references:
        return Prepared(entry, dict.fromkeys(methods, absent))
    try:
        start = training_start(entry.dataset, entry.start, store, **shape)
    except Missing as error:
        return Prepared(entry, dict.fromkeys(methods, str(error)))
    spaces = [space for space in spaces if space.name in references]
    task = Generation(
        degradation=degradation,
        start=start,
        restore=restore,
        features=spaces,
        references={name: reference.statistics for name, reference in references.items()},
        methods=methods,
        images=PAPER_IMAGES if settings.images is None else settings.images,
        channels=entry.channels,
        seed=settings.seed,
        batch_size=settings.batch_size,
        device=device,
    )
    check_generation(task)
    reference = next(iter(references.values()))
    return Prepared(
        entry=replace(entry, sha256=restore.sha256),
        missing={},
        methods=tuple(methods),
        networked=tuple(methods),
        measure=partial(generate, task),
        images=task.images,
        data=reference.name,
        data_sha256=reference.digest,
        features=spaces,
        no_fid=absent or NO_INCEPTION,
        device=device,
    )


def _references(
    dataset: str, spaces: Sequence[FeatureSpace], settings: Settings, take: Callable[..., Reference]
) -> tuple[dict[str, Reference], str]:
    """What generated images are compared with in each feature space, and why that is absent in some."""
    references: dict[str, Reference] = {}
    absent = ""
    for space in spaces:
        try:
            references[space.name] = take(dataset, space)
        except Missing as error:
            if settings.features != ("auto",):
                raise
            absent = str(error)
    return references, absent


def progress_bar(label: str, *, quiet: bool) -> Callable[[int, int], None]:
    """A progress bar for (done, total); it shows itself at the first call."""
    bars: list[tqdm] = []

    def progress(done: int, of: int) -> None:
        if not bars:
            bars.append(tqdm(total=of, desc=label, unit="img", disable=quiet))
        bars[0].update(done - bars[0].n)
        if done == of:
            bars.pop().close()

    return progress


def _restorer(
    entry: Entry, methods: Sequence[str], settings: Settings, device: torch.device
) -> tuple[Restorer | None, dict[str, str]]:
    """The network, if these methods need one; and why, if they need one that is not there."""
    if not methods:
        return None, {}
    try:
        return load_restorer(entry, device, settings.dtype, random=settings.allow_random_weights), {}
    except Missing as error:
        return None, dict.fromkeys(methods, str(error))


def _feature_spaces(dataset: str, names: tuple[str, ...], device: torch.device) -> list[FeatureSpace]:
    """The feature spaces asked for; ``auto`` is Inception where its weights are, and the digits' own on MNIST."""
    own = ("mnist-cnn",) if dataset == "mnist" else ()
    return feature_spaces(names, device, auto=(FID_FEATURES, *own))
