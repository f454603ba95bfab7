"""What ``coldbench list`` prints: every name that a command takes, what is at hand, and what supplies the rest."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from coldbench.commands.request import Request
from coldbench.core import array_cache
from coldbench.core.errors import BadInput, ColdbenchError, Missing
from coldbench.core.paths import exists
from coldbench.core.provenance import code_digest
from coldbench.core.registry import Registry
from coldbench.data.datasets import DATASETS, find_dataset, open_source
from coldbench.data.transforms import TRANSFORMS
from coldbench.diffusion.catalog import Entry, load_entries
from coldbench.diffusion.registries import DEGRADATIONS, NETWORKS, RESTORERS, SAMPLERS
from coldbench.diffusion.samplers import find_sampler
from coldbench.metrics.features import FEATURES, absence
from coldbench.metrics.metric import METRICS, find_metrics
from coldbench.tables.tables import Row, paper_tables

_INDENT = " " * 4
_WIDTH = 110


def listing(what: str | None, request: Request) -> str:
    """One kind of name, or all of them, each under its heading.

    Args:
        what: a key of ``KINDS``; all unless given.
        request: says where the data sets are.

    Raises:
        BadInput: a registry that cannot be read.
    """
    if what is not None:
        return KINDS[what](request)
    return "\n\n".join(f"# {name}\n{KINDS[name](request)}" for name in KINDS)


def listed(settings: Mapping[str, Any]) -> str:
    """Settings as ``key value, key value``."""
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def _tables(request: Request) -> str:
    lines = []
    for table in paper_tables().values():
        lines.append(f"{table.name}  {table.caption}")
        lines += [f"{_INDENT}{row.name:<20} {_row_state(row, request)}" for row in table.rows]
    return "\n".join(lines)


def _row_state(row: Row, request: Request) -> str:
    """What a row lacks, data and weights alike, each with the command that supplies it."""
    entry = load_entries()[row.checkpoint]
    # The statistics of MNIST's training images ship: a generator of digits needs no images.
    data = "" if entry.start and row.dataset == "mnist" else _data_state(row.dataset, request.root, bool(entry.start))
    return "; ".join(filter(None, (data, _weights_state(entry)))) or "at hand"


@cache
def _data_state(dataset: str, root: Path, train: bool) -> str:
    try:
        open_source(dataset, root, train=train)
    except ColdbenchError as error:
        return str(error)
    return ""


def _weights_state(entry: Entry) -> str:
    if entry.sha256 and exists(entry.weights):
        return ""
    return f"no weights: coldbench train {entry.name}, or coldbench import model.pt --as {entry.name}"


def _models(request: Request) -> str:
    notes: dict[str, str] = {}
    lines = []
    for entry in load_entries().values():
        state = _weights_state(entry) or f"{entry.weights} ({(entry.sha256 or '')[:12]})"
        lines.append(f"{entry.name}\n{_INDENT}{state}")
        settings = {key: value for key, value in entry.degradation.items() if key != "name"}
        lines.append(f"{_INDENT}{entry.dataset}, {entry.degradation['name']}: {listed(settings)}")
        if entry.presets:
            lines.append(f"{_INDENT}presets: {', '.join(entry.presets)}")
        for sentence in filter(None, re.split(r"(?<=\.)\s+", entry.notes)):
            number = notes.setdefault(sentence, str(len(notes) + 1))
            lines[-1] += f" [{number}]"
    return "\n".join([*lines, "", *(_wrapped(f"[{number}] {note}") for note, number in notes.items())])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=_INDENT)


def _each(registry: Registry, say: Callable[[str], str]) -> str:
    """What is said of each name; a plug-in that cannot be loaded says why, and the others are listed all the same."""
    lines = []
    for name in registry:
        try:
            lines.append(say(name))
        except BadInput as error:
            lines.append(f"{name:<10} cannot be used: {error}")
    return "\n".join(lines) or "none; module:attribute serves as well"


def _datasets(request: Request) -> str:
    def say(name: str) -> str:
        splits = {"test": False, "training": True}
        states = [f"{_INDENT}{split} images: {_split_state(name, request, train=splits[split])}" for split in splits]
        return "\n".join([f"{name:<10} {find_dataset(name).title}", *states])

    return f"{_each(DATASETS, say)}\nfolder:PATH, npz:PATH or module:attribute serve as well"


def _split_state(name: str, request: Request, *, train: bool) -> str:
    try:
        return f"{open_source(name, request.root, train=train).count:,}"
    except Missing as error:
        return f"absent: {error}"
    except BadInput as error:
        return f"damaged: {error}"


def _features(request: Request) -> str:
    import torch

    def say(name: str) -> str:
        summary = (inspect.getdoc(FEATURES[name]) or "").partition("\n")[0]
        return f"{name:<22} {absence(name, torch.device('cpu')) or 'at hand'}\n{_INDENT}{summary}".rstrip()

    return _each(FEATURES, say)


def _metrics(request: Request) -> str:
    def say(name: str) -> str:
        (metric,) = find_metrics([name])
        reads = "images and their originals" if metric.reads == "pairs" else "features of two sets of images"
        try:
            metric.ready()
        except Missing as error:
            return f"{name:<9} {metric.better} is better; of {reads}; {error}"
        return f"{name:<9} {metric.better} is better; of {reads}"

    return _each(METRICS, say)


#: What a sampler starts from, in words.
_STARTS = {
    "degraded": "a degraded image",
    "noise": "noise",
    "channel-means": "channel means",
    "any": "whatever its model starts from",
}


def _samplers(request: Request) -> str:
    def say(name: str) -> str:
        sampler = find_sampler(name)
        summary = (inspect.getdoc(sampler.sample) or "").partition("\n")[0]
        return f"{name:<18} from {_STARTS.get(sampler.start, sampler.start)}: {summary}".rstrip(": ")

    return _each(SAMPLERS, say)


def _transforms(request: Request) -> str:
    return "\n".join(f"{name:<12} {transform}" for name, transform in TRANSFORMS.items())


def _settings(registry: Registry) -> Callable[[Request], str]:
    """A listing of classes or functions, each with what it takes, from its signature and its docstring."""

    def render(request: Request) -> str:
        return _each(registry, lambda name: _described(name, registry[name]))

    return render


def _described(name: str, build: Any) -> str:
    told = _arguments(inspect.getdoc(build) or "")
    summary = (inspect.getdoc(build) or "").partition("\n")[0]
    hints = get_type_hints(build.__init__ if inspect.isclass(build) else build)
    lines = [f"{name:<10} {summary}"]
    for key, parameter in inspect.signature(build).parameters.items():
        default = "required" if parameter.default is parameter.empty else f"default {parameter.default}"
        if parameter.default is None:
            default = "default: none"
        choices = (
            f"; one of {', '.join(map(str, get_args(hints[key])))}" if get_origin(hints.get(key)) is Literal else ""
        )
        line = f"{_INDENT}{key} ({default}{choices}): {told.get(key, '')}".rstrip(": ")
        lines.append(textwrap.fill(line, _WIDTH, subsequent_indent=_INDENT * 2))
    return "\n".join(lines)


def _arguments(doc: str) -> dict[str, str]:
    """What a docstring says of each argument."""
    _, _, section = doc.partition("Args:\n")
    section = section.partition("\n\n")[0]
    found = re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8,}.*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(text.replace("``", "").split()) for names, text in found for name in names.split(", ")}


def _names(registry: Registry) -> Callable[[Request], str]:
    return lambda request: "\n".join(registry) or "none; module:attribute serves as well"


def _cache(request: Request) -> str:
    """One line an entry, then how much there is, of how much there may be, and where."""
    held = array_cache.entries()
    lines = [_entry(each) for each in held] or ["empty"]
    entries = f"{len(held):,} {'entry' if len(held) == 1 else 'entries'}, {_mib(sum(each.size for each in held))}"
    limit = f"at most {array_cache.limit() / (1 << 30):g} GiB: ${array_cache.LIMIT}, 0 for no cache"
    try:
        where = f"{array_cache.folder()}: its files may be deleted at any time"
    except BadInput as error:
        where = str(error)
    return "\n".join([*lines, f"{entries}; {limit}", where])


def _entry(cached: array_cache.Cached) -> str:
    used = f"{_mib(cached.size)}, used {datetime.fromtimestamp(cached.used):%Y-%m-%d %H:%M}"
    try:
        facts = cached.facts
        transform = {str(each): name for name, each in TRANSFORMS.items()}.get(facts["transform"], facts["transform"])
        of = f"{facts['set']}, {transform}, {facts['image_size']} pixels, N {facts['images']:,} from {facts['first']}"
        by = f"{facts['features']} on {facts['device']}, batches of {facts['batch_size']}"
        stale = "" if facts["code"] == code_digest() else ", by another version of coldbench"
        return f"{of}, {by}{stale}: {used}"
    except (KeyError, ValueError):
        return f"{cached.path.name}, damaged: {used}"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"


#: What can be listed.
KINDS: dict[str, Callable[[Request], str]] = {
    "tables": _tables,
    "models": _models,
    "datasets": _datasets,
    "degradations": _settings(DEGRADATIONS),
    "samplers": _samplers,
    "metrics": _metrics,
    "features": _features,
    "networks": _settings(NETWORKS),
    "transforms": _transforms,
    "restorers": _names(RESTORERS),
    "cache": _cache,
}
