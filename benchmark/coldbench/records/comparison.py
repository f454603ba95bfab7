"""Two methods beside each other: the record of a comparison, its verdict and its table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from coldbench.metrics.intervals import Difference, Estimate, difference
from coldbench.records.formats import ABSENT, DECIMALS, RECORDS, print_frame, print_number, print_records
from coldbench.records.record import metric_name

#: All other metrics are better where they are lower.
HIGHER_IS_BETTER = frozenset({"SSIM"})


@dataclass(frozen=True)
class Side:
    """One method of a comparison, and what it was measured with.

    Attributes:
        method: its name.
        estimate: the metric, with replicates.
        checkpoint, checkpoint_sha256: of its network; no hash where none took part.
    """

    method: str
    estimate: Estimate
    checkpoint: str
    checkpoint_sha256: str | None


@dataclass(frozen=True)
class Setting:
    """What both sides have in common: see ``results.Cell`` for each."""

    images: int
    seed: int
    protocol: str
    data: str
    data_sha256: str | None
    device: str
    dtype: str
    batch_size: int
    versions: dict[str, str]
    revision: str


@dataclass(frozen=True)
class Comparison:
    """b against a in one metric.

    Attributes:
        metric, features, features_sha256: what was measured; ``features`` is empty but for Frechet distances.
        a, b: the methods.
        outcome: b - a, with its interval.
        setting: on what.
        warning: what speaks against trusting the number.
    """

    metric: str
    features: str
    features_sha256: str | None
    a: Side
    b: Side
    setting: Setting
    warning: str = ""

    @property
    def paired(self) -> bool:
        """Whether both methods started from the same images or noise: those of one checkpoint do."""
        return self.a.checkpoint == self.b.checkpoint

    @property
    def outcome(self) -> Difference:
        """b - a, with its 95 % interval."""
        return difference(self.a.estimate, self.b.estimate, paired=self.paired)

    @property
    def verdict(self) -> str:
        """Who is better, in words; empty where the interval does not exclude zero."""
        outcome = self.outcome
        if not outcome.excludes_zero:
            return ""
        b_wins = (outcome.value > 0) == (self.metric in HIGHER_IS_BETTER)
        return f"{(self.b if b_wins else self.a).method} is better"


def render(comparisons: Sequence[Comparison], style: str) -> str:
    """Comparisons in one of ``tables.FORMATS``; JSON and CSV hold one object or line each, in full precision."""
    if style in RECORDS:
        records = [_record(each) for each in comparisons]
        for record in records if style == "csv" else ():
            del record["versions"]  # not flat
        return print_records(records, style)
    frame = pd.DataFrame([_line(each) for each in comparisons])
    methods = dict.fromkeys(side.method for each in comparisons for side in (each.a, each.b))
    return print_frame(frame, f"Comparison of {', '.join(methods)}", _notes(comparisons), style)


def _line(comparison: Comparison) -> dict[str, str]:
    metric, outcome = comparison.metric, comparison.outcome
    decimals = DECIMALS[metric]
    low_high = outcome.interval
    return {
        "Metric": metric_name(metric, comparison.features),
        "A, B": f"{comparison.a.method}, {comparison.b.method}",
        "A": _with_error(comparison.a.estimate, metric),
        "B": _with_error(comparison.b.estimate, metric),
        "B - A": f"{outcome.value:+.{decimals}f}",
        "95 % interval": ABSENT if low_high is None else f"{low_high[0]:+.{decimals}f} to {low_high[1]:+.{decimals}f}",
        "Verdict": comparison.verdict,
    }


def _with_error(estimate: Estimate, metric: str) -> str:
    return print_number(estimate.value, estimate.interval(), metric)


def _notes(comparisons: Sequence[Comparison]) -> list[str]:
    setting = comparisons[0].setting
    sides = {side.method: side for each in comparisons for side in (each.a, each.b)}
    models = {side.checkpoint: (side.checkpoint_sha256 or "")[:12] for side in sides.values() if side.checkpoint_sha256}
    notes = [
        f"{setting.images} images, {setting.data}, seed {setting.seed}, protocol {setting.protocol}, "
        f"{', '.join(f'{name} ({sha})' for name, sha in models.items())}, {setting.dtype} on {setting.device}",
        "95 % intervals by a delete-a-group jackknife; a difference is that of B and A on the same images and noise"
        + ("" if all(each.paired for each in comparisons) else ", or, across tasks, of independent ones"),
    ]
    if any(each.metric in ("FD", "FID") for each in comparisons):
        notes.append("a Frechet distance is that of so many images: it is biased upwards, the more the fewer they are")
    notes += dict.fromkeys(each.warning for each in comparisons if each.warning)
    if any(each.outcome.interval is None for each in comparisons):
        notes.append("too few images for an interval")
    elif any(not each.verdict for each in comparisons):
        notes.append("no verdict where the interval includes zero: these images do not tell which is better")
    return notes


def _record(comparison: Comparison) -> dict[str, object]:
    """Flat, with every identity."""
    outcome = comparison.outcome
    sides = {
        f"{field}_{name}": value
        for name, side in (("a", comparison.a), ("b", comparison.b))
        for field, value in (
            ("method", side.method),
            ("value", side.estimate.value),
            ("interval", side.estimate.interval()),
            ("checkpoint", side.checkpoint),
            ("checkpoint_sha256", side.checkpoint_sha256),
        )
    }
    return {
        "metric": comparison.metric,
        "features": comparison.features,
        "features_sha256": comparison.features_sha256,
        **sides,
        "difference": outcome.value,
        "difference_interval": outcome.interval,
        "paired": outcome.paired,
        "verdict": comparison.verdict,
        "warning": comparison.warning,
        **dataclasses.asdict(comparison.setting),
    }
