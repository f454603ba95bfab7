"""``coldbench evaluate``: any restorer, any degradation, any images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd
from torch import Tensor
from tqdm import tqdm

from coldbench import api
from coldbench.commands.prepare import Settings, progress_bar
from coldbench.commands.settings import parse_setting
from coldbench.datasets import open_source
from coldbench.errors import BadInput, ColdbenchError
from coldbench.protocols import Protocol, find_protocol
from coldbench.registry import RESTORERS, Entry, load_entries
from coldbench.render import ABSENT, DECIMALS, print_frame
from coldbench.sampling import Restore


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
    settings = {**protocol.settings, **dict(map(parse_setting, options.settings))}
    degradation = api.build_degradation(name, **settings)
    source = open_source(data, options.data_root)
    with tqdm(total=options.images or source.count, desc=options.restorer, unit="img", disable=options.quiet) as bar:
        return api.evaluate(
            _restore(entry, options),
            degradation,
            source,
            count=options.images,
            channels=options.channels or (entry.network["channels"] if entry else 3),
            methods=options.methods,
            features=options.features,
            transform=options.transform or protocol.transform or (entry.transform if entry else "native"),
            protocol=protocol,
            seed=options.seed,
            batch_size=options.batch_size,
            device=options.device,
            workers=options.workers,
            progress=partial(progress_bar, quiet=options.quiet),
            watch=bar.update,
        )


def _protocol(entry: Entry | None, options: EvaluateOptions) -> Protocol:
    """Under the name that tells what the command changed."""
    if entry is None and options.protocol != "paper":
        raise BadInput(f"protocol {options.protocol} is that of the paper's rows; {options.restorer} is none")
    protocol = find_protocol(options.protocol, entry) if entry else Protocol("paper")
    transform = [f"transform={options.transform}"] if options.transform else []
    return replace(protocol, name="+".join([protocol.name, *transform, *options.settings]))


def _restore(entry: Entry | None, options: EvaluateOptions) -> Restore:
    if entry is not None:
        model = api.load_model(
            entry.name,
            device=options.device,
            dtype=options.dtype,
            allow_random_weights=options.allow_random_weights,
        )
        return model.restore
    restore: Any = RESTORERS[options.restorer]
    if not callable(restore):
        raise BadInput(f"restorer '{options.restorer}' is {type(restore).__name__}, not a callable R(x, s)")
    return partial(_guarded, options.restorer, restore)


def _guarded(name: str, restore: Restore, x: Tensor, s: int) -> Tensor:
    """What goes wrong in somebody else's code, in one line."""
    try:
        return restore(x, s)
    except (ColdbenchError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise BadInput(f"restorer '{name}' failed at s = {s}: {type(error).__name__}: {error}") from error


def render(frame: pd.DataFrame, options: EvaluateOptions, style: str) -> str:
    """The measurement in one of ``tables.FORMATS``; CSV and JSON in full precision."""
    if style == "json":
        return str(frame.to_json(orient="records", indent=1)) + "\n"
    if style == "csv":
        return str(frame.to_csv(index=False))
    first = frame.iloc[0]
    notes = [
        f"{first.images} images of {first.data}, seed {first.seed}, protocol {first.protocol}, {first.device}",
        "95 % intervals by a delete-a-group jackknife",
    ]
    table = pd.DataFrame([_line(row) for row in frame.itertuples()])
    return print_frame(table, options.restorer, notes, style)


def _line(row: Any) -> dict[str, str]:
    decimals = DECIMALS[row.metric]
    interval = ABSENT if math.isnan(row.low) else f"{row.low:.{decimals}f} to {row.high:.{decimals}f}"
    return {
        "Method": row.method.capitalize(),
        "Metric": f"FD[{row.features}]" if row.metric == "FD" else row.metric,
        "Value": f"{row.value:.{decimals}f}",
        "95 % interval": interval,
    }
