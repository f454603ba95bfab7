"""``coldbench evaluate``: any restorer, any degradation, any images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from coldbench import api
from coldbench.commands.plan import Settings, progress_bar, transform_of
from coldbench.core.errors import BadInput
from coldbench.data.datasets import open_source
from coldbench.diffusion.catalog import RESTORERS, Entry, load_entries
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.protocols import Protocol, find_protocol, stored_name
from coldbench.records.formats import ABSENT, DECIMALS, RECORDS, print_frame, print_records, random_weights
from coldbench.records.record import RANDOM, metric_name


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Settings):
    """A request to evaluate; see ``coldbench evaluate --help``."""

    restorer: str
    degradation: str | None = None
    methods: tuple[str, ...] = ("degraded", "sampled", "direct")
    channels: int | None = None


def evaluate_restorer(options: EvaluateOptions) -> pd.DataFrame:
    """Measure; one line a method and metric, as ``coldbench.evaluate`` returns it.

    Raises:
        BadInput, Missing: as ``coldbench.evaluate``; and where nothing says what to restore.
    """
    entry = load_entries().get(options.restorer)
    name = options.degradation or (entry.name if entry else None)
    data = options.data or (entry.dataset if entry else None)
    if name is None or data is None:
        raise BadInput(f"{options.restorer} is no registered model: say --degradation and --data")
    protocol = _protocol(entry, options)
    degradation = api.build_degradation(name, **{**protocol.settings, **options.chosen})
    source = open_source(data, options.data_root)
    transform = transform_of(entry, options, protocol) if entry else options.transform or "native"
    return api.evaluate(
        _restore(entry, options) if any(map(protocol.involves_network, options.methods)) else None,
        degradation,
        source,
        count=options.images,
        channels=options.channels or (entry.channels if entry else 3),
        methods=options.methods,
        features=options.features,
        transform=transform,
        protocol=protocol,
        seed=options.seed,
        batch_size=options.batch_size,
        device=options.device,
        workers=options.workers,
        progress=partial(progress_bar, quiet=options.quiet),
        watch=_counting(progress_bar(options.restorer, quiet=options.quiet), options.images or source.count),
    )


def _counting(progress: Callable[[int, int], None], total: int) -> Callable[[int], None]:
    """What is told of each batch tells ``progress`` of all of them."""
    done = 0

    def watch(more: int) -> None:
        nonlocal done
        done += more
        progress(done, total)

    return watch


def _protocol(entry: Entry | None, options: EvaluateOptions) -> Protocol:
    """Under the name that tells what the command changed."""
    own = entry is not None and options.degradation in (None, entry.name)
    if not own and options.protocol != "paper":
        raise BadInput(f"protocol {options.protocol} is that of the paper's rows: it needs a model's own degradation")
    protocol = find_protocol(options.protocol, entry) if entry and own else Protocol("paper")
    return replace(protocol, name=stored_name(protocol.name, "native", options.settings))


def _restore(entry: Entry | None, options: EvaluateOptions) -> Restore:
    if entry is not None:
        model = api.load_model(
            entry.name,
            device=options.device,
            dtype=options.dtype,
            allow_random_weights=options.allow_random_weights,
        )
        return model.restore
    if options.dtype != "float32":
        raise BadInput(f"--dtype is that of a registered model's network; {options.restorer} has its own")
    restore: Any = RESTORERS[options.restorer]
    if not callable(restore):
        raise BadInput(f"restorer '{options.restorer}' is {type(restore).__name__}, not a callable R(x, s)")
    return restore


def render(frame: pd.DataFrame, options: EvaluateOptions, style: str) -> str:
    """The measurement in one of ``tables.FORMATS``; CSV and JSON in full precision."""
    if style in RECORDS:
        return print_records(frame.astype(object).where(frame.notna(), None).to_dict("records"), style)
    first = frame.iloc[0]
    network = next(filter(None, frame.checkpoint_sha256), "")[:12]
    notes = [
        f"{first.images} images of {first.data}, seed {first.seed}, protocol {first.protocol}, {first.degradation}",
        f"{options.restorer}{f' ({network})' if network else ''}, {first['dtype']} on {first.device}",
        "95 % intervals by a delete-a-group jackknife",
        *dict.fromkeys(filter(None, frame.warning)),
    ]
    if network == RANDOM:
        notes.append(random_weights(options.restorer))
    table = pd.DataFrame([_line(row) for row in frame.itertuples()])
    return print_frame(table, options.restorer, notes, style)


def _line(row: Any) -> dict[str, str]:
    decimals = DECIMALS[row.metric]
    interval = ABSENT if math.isnan(row.low) else f"{row.low:.{decimals}f} to {row.high:.{decimals}f}"
    return {
        "Method": row.method.capitalize(),
        "Metric": metric_name(row.metric, row.features),
        "Value": f"{row.value:.{decimals}f}",
        "95 % interval": interval,
    }
