"""``coldbench compare``: several methods on the same images, seeds and noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import click
from torch import Tensor

from coldbench.commands.output import States, claimed
from coldbench.commands.plan import Prepared, Settings, prepare, protocol_name
from coldbench.commands.saving import save_comparison
from coldbench.core.devices import device_name
from coldbench.core.errors import BadInput, Missing
from coldbench.data.cache import ImageStore
from coldbench.diffusion.catalog import did_you_mean, find_entry
from coldbench.evaluation.generation import GENERATORS
from coldbench.evaluation.scores import Outcome
from coldbench.metrics.frechet import few_images
from coldbench.records import record as results
from coldbench.records.comparison import Comparison, Setting, Side

#: What restores images, by the names of the paper's Figure 2 -> what the runner calls it.
RESTORERS = {"degraded": "degraded", "direct": "direct", "naive": "naive", "improved": "sampled"}
#: The model of each kind of method, where none is named: generators by what they start from.
DEFAULT_MODELS = {"": "mnist-blur", "noise": "mnist-noise", "channel-means": "mnist-blur-generate"}


@dataclass(frozen=True, kw_only=True)
class CompareOptions(Settings):
    """A request to compare; see ``coldbench compare --help``."""

    methods: tuple[str, ...]
    models: tuple[str, ...] = ()
    output: Path = Path("results/compare")


def compare_methods(options: CompareOptions) -> list[Comparison]:
    """Measure every method, pair by pair; write record, table and picture.

    Raises:
        BadInput: unknown or incomparable methods, or models that do not fit them.
        Missing: data or weights that they need.
    """
    methods_of = _by_kind(options.methods)
    models = _models(options.models, tuple(methods_of))
    if options.data and "" not in methods_of:
        raise BadInput("--data gives images to restore, but these methods generate")
    if options.features == ("none",) and "" not in methods_of:
        raise BadInput("generated images have no metric without features: choose other --features")
    stem = options.output / "-vs-".join(options.methods)
    with claimed(options.output, fresh=options.fresh) as states:
        store = options.store()
        prepared = {kind: _prepare(models[kind], methods, options, store) for kind, methods in methods_of.items()}
        outcomes = {kind: _measure(item, options, states) for kind, item in prepared.items()}
        sides = {method: (prepared[kind], outcomes[kind]) for kind, methods in methods_of.items() for method in methods}
        comparisons = _compare(sides, options)
        save_comparison(comparisons, _gallery(sides), stem)
    return comparisons


def _by_kind(methods: tuple[str, ...]) -> dict[str, list[str]]:
    """The methods of each kind: ``""`` restores, the others are what a generator starts from."""
    kinds: dict[str, list[str]] = {}
    known = [*RESTORERS, *GENERATORS]
    for method in methods:
        if method not in known:
            raise BadInput(f"unknown method '{method}'{did_you_mean(method, known)}")
        kinds.setdefault(GENERATORS[method].start if method in GENERATORS else "", []).append(method)
    if len(set(methods)) < len(methods) or len(methods) == 1:
        raise BadInput("a comparison needs two or more different methods, e.g. fixed-noise estimated-noise")
    if "" in kinds and len(kinds) > 1:
        raise BadInput("methods that restore images and methods that make new ones have nothing to be compared by")
    return kinds


def _models(names: tuple[str, ...], kinds: tuple[str, ...]) -> dict[str, str]:
    """The checkpoint of each kind of method: the one named that has the kind's start, or the default."""
    models = {kind: DEFAULT_MODELS[kind] for kind in kinds}
    named: set[str] = set()
    for name in names:
        entry = find_entry(name)
        kind = "" if "" in kinds else entry.start.get("name", "")
        if kind not in kinds or not entry.degradation:
            raise BadInput(f"--model {name} serves none of these methods")
        if kind in named:
            raise BadInput(f"--model {name} is one too many: {models[kind]} serves these methods already")
        models[kind] = name
        named.add(kind)
    datasets = {find_entry(name).dataset for name in models.values()}
    if len(datasets) > 1:
        raise BadInput(f"models of different data sets cannot be compared: {', '.join(sorted(datasets))}")
    return models


def _prepare(model: str, methods: list[str], options: CompareOptions, store: ImageStore) -> Prepared:
    internal = [RESTORERS.get(method, method) for method in methods]
    if methods[0] in RESTORERS and "degraded" not in internal:
        internal.append("degraded")  # for the picture
    item = prepare(find_entry(model), internal, options, store)
    for reason in item.missing.values():
        raise Missing(reason)
    return item


def _measure(item: Prepared, options: CompareOptions, states: States) -> Outcome:
    outcome = item.run(item.entry.name, states.keeper(item.entry.name, item.identity(options)), options)
    if not options.quiet:
        click.echo(f"{item.entry.name}: {item.images} images in {outcome.seconds:.1f} s", err=True)
    return outcome


def _compare(sides: Mapping[str, tuple[Prepared, Outcome]], options: CompareOptions) -> list[Comparison]:
    first, outcome = next(iter(sides.values()))
    setting = Setting(
        images=first.images,
        seed=options.seed,
        protocol=protocol_name(first.entry, options),
        data=first.data,
        data_sha256=first.data_sha256,
        device=device_name(first.device),
        dtype=options.dtype,
        batch_size=options.batch_size,
        versions=results.versions(),
        revision=results.revision(),
    )
    hashes = {space.name: space.sha256 for space in first.features}
    metrics = dict.fromkeys((metric, features) for _, metric, features in outcome.estimates)
    return [
        Comparison(
            metric=metric,
            features=features,
            features_sha256=hashes.get(features),
            a=_side(a, *sides[a], metric, features),
            b=_side(b, *sides[b], metric, features),
            setting=setting,
            warning=few_images(first.images, features, outcome.dimensions),
        )
        for metric, features in sorted(metrics)
        for a, b in combinations(options.methods, 2)
    ]


def _side(method: str, item: Prepared, outcome: Outcome, metric: str, features: str) -> Side:
    internal = RESTORERS.get(method, method)
    return Side(
        method=method,
        estimate=outcome.estimates[internal, metric, features],
        checkpoint=item.entry.name,
        checkpoint_sha256=item.entry.sha256 if internal in item.networked else None,
    )


def _gallery(sides: Mapping[str, tuple[Prepared, Outcome]]) -> dict[str, Tensor]:
    """One row a method, under the originals where there are any."""
    pictures: dict[str, Tensor] = {}
    for method, (_, outcome) in sides.items():
        for label in ("original", "degraded"):
            if label in outcome.gallery:
                pictures.setdefault(label, outcome.gallery[label])
        pictures[method] = outcome.gallery[RESTORERS.get(method, method)]
    return pictures
