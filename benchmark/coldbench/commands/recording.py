"""From a plan and what came of it to records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from coldbench.commands.figures import Figures, figures_of
from coldbench.commands.keeping import saved_images, scores_of_each
from coldbench.commands.output import keeper
from coldbench.commands.plan import Plan
from coldbench.commands.trial import settled
from coldbench.core.devices import device_name
from coldbench.core.errors import Missing
from coldbench.core.processes import size
from coldbench.core.progress import tell
from coldbench.core.provenance import revision, versions
from coldbench.evaluation.details import Details
from coldbench.evaluation.scores import Key, Outcome
from coldbench.metrics.features import FID_FEATURES
from coldbench.metrics.metric import Metric
from coldbench.records.folder import Claim
from coldbench.records.record import (
    MEASURED,
    MISSING,
    Conditions,
    Cost,
    Identity,
    MetricFacts,
    Published,
    Record,
    Where,
)


@dataclass(frozen=True)
class Measurement:
    """One row, measured or missing.

    Attributes:
        plan: what was to be measured.
        records: its cells, in the order of methods and metrics.
        outcome: what came of it; None where nothing could be measured.
    """

    plan: Plan
    records: list[Record]
    outcome: Outcome | None

    def figures(self) -> Figures:
        """What is drawn of it; drawn up anew at each call."""
        return figures_of(self.plan, self.outcome)

    def scores_of_each(self, names: Mapping[str, str] | None = None) -> pd.DataFrame:
        """The scores of every image; see ``coldbench.commands.keeping.scores_of_each``.

        Args:
            names: method -> what it is called; all by their own names unless given.
        """
        if self.outcome is None:
            return pd.DataFrame()
        own = {method: method for method in self.plan.methods}
        return scores_of_each(self.plan, self.outcome, own if names is None else names)


def measure_plan(
    plan: Plan, claim: Claim | None, command: Mapping[str, Any], label: str, *, each: bool = False
) -> Measurement:
    """Run a plan, and say what came of it.

    Args:
        plan: what to measure.
        claim: of the folder that keeps the state of a stopped measurement; None if none is kept.
        command: the command that measures the numbers again; see ``request_of``.
        label: of the progress bar.
        each: whether the scores of every image are kept, even if no file of them was asked for.

    Raises:
        BadInput, CheckFailed: see ``evaluation.restoration.measure``.
    """
    outcome = None
    if plan.measure is not None:
        plan = settled(plan, claim, label)
        details = Details(saved_images(plan), each=each or plan.request.per_image is not None)
        identity = plan.identity() | {"each": details.each}
        outcome = plan.run(label, keeper(claim, plan.row.stem, identity) if claim else None, details)
        if not plan.request.quiet:
            tell(_profile(outcome, plan.images or 0))
    return Measurement(plan, _records(plan, outcome, request_of(plan, command)), outcome)


def request_of(plan: Plan, command: Mapping[str, Any]) -> dict[str, Any]:
    """What measures the row again: the command and what it changed of the row.

    Args:
        plan: what is measured.
        command: ``command``, its name, and ``table``, the name or path that it was given, where it was.
    """
    row, request = plan.row, plan.request
    return {
        **command,
        "dataset": row.dataset,
        "degradation": None if row.degradation is None else dict(row.degradation),
        "row_transform": row.transform,
        "channels": request.channels or row.channels,
        "data": request.data,
        "reference_statistics": None if request.reference_statistics is None else str(request.reference_statistics),
        "transform": request.transform,
        "prediction": request.prediction,
        "settings": dict(request.settings),
    }


def check_measured(records: Sequence[Record]) -> None:
    """Whether anything was measured at all.

    Raises:
        Missing: nothing was, and something was asked for; says what the first cell lacked.
    """
    if records and not any(record.measured for record in records):
        raise Missing(f"nothing could be measured: {records[0].reason}")


def _profile(outcome: Outcome, images: int) -> str:
    share = outcome.network_seconds / outcome.seconds
    network = f", {share:.1%} of it inside the network's forward" if outcome.network_seconds else ""
    return f"{images} images in {outcome.seconds:.1f} s{network}"


def _records(plan: Plan, outcome: Outcome | None, request: dict[str, Any]) -> list[Record]:
    by_name = {metric.name: metric for metric in plan.metrics}
    found: dict[Key, Record] = {}
    for method, reason in plan.missing.items():
        for metric in plan.metrics:
            key = (method, metric.name, FID_FEATURES if metric.reads == "features" else "")
            found[key] = _record(plan, key, metric, None, request, reason=reason)
    if outcome is not None:
        for key in outcome.estimates:
            found[key] = _record(plan, key, by_name[key[1]], outcome, request)
        for (name, features), reason in plan.absent.items():
            for method in plan.methods:
                key = (method, name, features)
                found[key] = _record(plan, key, by_name[name], outcome, request, reason=reason)
    methods, metrics = plan.row.methods, list(by_name)
    # The feature space of the FID comes first, then the others by name.
    order = sorted(
        found, key=lambda key: (methods.index(key[0]), metrics.index(key[1]), key[2] != FID_FEATURES, key[2])
    )
    return [found[key] for key in order]


def _record(
    plan: Plan,
    key: Key,
    metric: Metric,
    outcome: Outcome | None,
    request: dict[str, Any],
    *,
    reason: str = "",
) -> Record:
    """One cell: measured if something came of the plan, unless there is a reason why it is missing."""
    method, _, features = key
    estimate = outcome.estimates[key] if outcome and not reason else None
    return Record(
        where=_where(plan, method),
        metric=_facts(metric, features),
        status=MEASURED if estimate else MISSING,
        reason=reason,
        value=estimate.value if estimate else None,
        interval=estimate.interval() if estimate else None,
        deviation=outcome.deviations[key] if outcome and estimate else None,
        warning=_warning(plan, key, outcome) if outcome and estimate else "",
        identity=_identity(plan, method, features, measured=outcome is not None),
        conditions=_conditions(plan),
        cost=_cost(plan, outcome),
        published=_published(plan, method, metric, features),
        request={
            **request,
            "metric": plan.asked.get(metric.name, metric.name),
            "features": plan.asked.get(features, features),
        },
    )


def _warning(plan: Plan, key: Key, outcome: Outcome) -> str:
    """What speaks against trusting a number: of the metric, and of what it is compared with."""
    return "; ".join(filter(None, (outcome.warnings.get(key, ""), plan.warning if key[2] else "")))


def _where(plan: Plan, method: str) -> Where:
    row = plan.row
    return Where(row.table, row.caption, row.name, row.title, method, row.note)


def _facts(metric: Metric, features: str) -> MetricFacts:
    return MetricFacts(
        name=metric.name,
        features=features,
        label=metric.label(features),
        better=metric.better,
        decimals=metric.decimals,
        relative=metric.relative,
        tolerances=dict(metric.tolerances),
    )


def _identity(plan: Plan, method: str, features: str, *, measured: bool) -> Identity:
    hashes = {space.name: space.sha256 for space in plan.features}
    return Identity(
        images=plan.images if measured else None,
        seed=plan.request.seed,
        protocol=plan.request.protocol,
        transform=plan.transform,
        degradation=dict(plan.degradation),
        start=dict(plan.start),
        checkpoint=plan.row.checkpoint,
        checkpoint_sha256=plan.checkpoint_sha256 if method in plan.networked else None,
        data=plan.data,
        data_sha256=plan.data_sha256,
        features_sha256=hashes.get(features),
    )


def _conditions(plan: Plan) -> Conditions:
    return Conditions(
        device=device_name(plan.device),
        dtype=plan.request.arithmetic,
        batch_size=plan.batch_size,
        processes=size(),
        float32_only=plan.float32_only,
        versions=versions(),
        revision=revision(),
        trial=plan.trial,
    )


def _cost(plan: Plan, outcome: Outcome | None) -> Cost:
    if outcome is None:
        return Cost(None, None, None)
    return Cost(outcome.seconds, outcome.network_seconds, (plan.images or 0) / outcome.seconds)


def _published(plan: Plan, method: str, metric: Metric, features: str) -> Published | None:
    """What is printed there: of a distance in another feature space than the FID's, nothing is."""
    printed = plan.row.published.get((method, metric.name))
    if printed is None or features not in ("", FID_FEATURES):
        return None
    return Published(printed.value, printed.printed, printed.note, printed.source)
