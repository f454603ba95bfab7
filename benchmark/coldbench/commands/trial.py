"""``--dtype auto``: which cheaper arithmetic leaves every metric of a row as it is, and is the fastest.

Before a row is measured, its first images are measured in float32 and in each other arithmetic of the device, by all
methods and metrics and with the same draws. What moves a metric by more than float32 itself may move it is refused.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import torch

from coldbench.commands.output import keeper
from coldbench.commands.plan import Plan
from coldbench.core.devices import device_name
from coldbench.core.errors import BadInput
from coldbench.core.paths import exists
from coldbench.core.processes import first_alone, only_first, share
from coldbench.core.progress import tell
from coldbench.core.weights import write_state
from coldbench.diffusion import ARITHMETICS
from coldbench.diffusion.arithmetic import available
from coldbench.evaluation.resume import Keeper
from coldbench.evaluation.scores import Outcome
from coldbench.metrics.metric import Metric
from coldbench.records.drift import distance
from coldbench.records.folder import Claim
from coldbench.records.tolerances import device_class
from coldbench.records.trials import Trial, told

#: So many images of a row are measured in each arithmetic, or all that it has.
IMAGES = 64
FLOAT32 = ARITHMETICS[0]
#: Forwards of which the fastest counts.
_TIMED = 3


def settled(plan: Plan, claim: Claim | None, label: str) -> Plan:
    """The plan in the arithmetic that ``--dtype auto`` takes; one that asks for another, or for no network, as it is.

    What was taken stays taken until the command ends well: a stopped one that is given again goes on in it.

    Args:
        plan: what is to be measured.
        claim: of the folder that keeps the states of a stopped measurement; None if none is kept.
        label: of the progress bars.
    """
    if plan.request.dtype != "auto" or not plan.networked:
        return plan
    state = keeper(claim, f"{plan.row.stem}-trial", plan.identity() | {"dtype": "auto"}) if claim else None
    trials = share(_kept(state))
    if not trials:
        trials = first_alone(lambda: _trials(plan, claim, label))  # no other waits for images that one refuses
        if state is not None:
            _keep(trials, state)
    dtype = fastest(trials)
    if not plan.request.quiet:
        tell(f"{label}: --dtype auto takes {dtype}, after trials of {trials[0].images} images:")
        for each in trials:
            tell(f"  {told(each)}")
    return dataclasses.replace(_in(plan, dtype), trial=trials)


def fastest(trials: Sequence[Trial]) -> str:
    """The arithmetic that spends the least time in the network, of those that were not refused."""
    taken = [each for each in trials if not each.refused and each.network_seconds is not None]
    return min(taken, key=lambda each: each.network_seconds or 0.0).dtype


def _trials(plan: Plan, claim: Claim | None, label: str) -> tuple[Trial, ...]:
    """What is found of each arithmetic of the device, float32 first."""
    images = min(IMAGES, plan.images or IMAGES)
    exact = _in(plan, FLOAT32, images)
    pace = _pace(exact)
    reference = _measured(exact, claim, label)
    trials = [Trial(FLOAT32, images, reference.network_seconds, {}, "")]
    for dtype in available(plan.device)[1:]:
        cheaper = _in(plan, dtype, images)
        slower = _pace(cheaper) / pace
        if slower >= 1:
            trials.append(Trial(dtype, images, None, {}, f"it takes {slower:.3g} times as long as float32"))
            continue
        try:
            outcome = _measured(cheaper, claim, label)
        except BadInput as error:  # such as numbers beyond its range
            trials.append(Trial(dtype, images, None, {}, str(error)))
            continue
        trials.append(compared(dtype, images, outcome, reference, plan.metrics, device_name(plan.device)))
    return tuple(trials)


def _in(plan: Plan, dtype: str, images: int | None = None) -> Plan:
    """The same row in an arithmetic; as many images, unless a number is given."""
    assert plan.again is not None
    changes: dict[str, Any] = {"dtype": dtype} | ({} if images is None else {"images": images})
    return plan.again(dataclasses.replace(plan.request, **changes))


def _pace(plan: Plan) -> float:
    """Seconds of one forward of the network: the least of a few, after one that nobody counts."""
    restore = plan.restore
    assert restore is not None
    x = torch.zeros(getattr(restore, "chunk", 1), *plan.shape, device=plan.device)

    def seconds() -> float:
        started = time.perf_counter()
        restore(x, 1).sum().item()  # which waits for a GPU
        return time.perf_counter() - started

    with torch.inference_mode():
        seconds()
        return min(seconds() for _ in range(_TIMED))


def _measured(plan: Plan, claim: Claim | None, label: str) -> Outcome:
    state = keeper(claim, plan.row.stem, plan.identity()) if claim else None
    return plan.run(f"{label}, trial of {plan.request.dtype}", state)


def compared(
    dtype: str, images: int, outcome: Outcome, reference: Outcome, metrics: Sequence[Metric], device: str
) -> Trial:
    """What is found of an arithmetic.

    Args:
        dtype: its name.
        images: how many were measured.
        outcome: what came of them in it.
        reference: what came of them in float32.
        metrics: that were measured; their tolerances are those of float32.
        device: as it is stored with a number.
    """
    by_name = {metric.name: metric for metric in metrics}
    deviations: dict[str, float] = {}
    beyond: dict[str, float] = {}
    for key, exact in reference.estimates.items():
        metric = by_name[key[1]]
        found = distance(outcome.values[key], exact.value, exact.interval(), relative=metric.relative)
        label, allowed = metric.label(key[2]), metric.tolerances[f"{FLOAT32} {device_class(device)}"]
        deviations[label] = max(found, deviations.get(label, 0.0))
        if found > allowed:
            beyond[label] = allowed
    refused = ", ".join(f"{label} moves by more than {allowed:g}" for label, allowed in beyond.items())
    return Trial(dtype, images, outcome.network_seconds, deviations, refused)


def _kept(state: Keeper | None) -> tuple[Trial, ...]:
    """What the command that was stopped found; nothing where there was none, or of another version.

    Raises:
        BadInput: the file is damaged.
    """
    if state is None or not exists(state.path):
        return ()
    try:
        kept = torch.load(state.path, weights_only=True)
        return tuple(Trial(**each) for each in kept["trials"]) if kept["identity"] == state.identity else ()
    except Exception as error:  # a damaged archive fails in many ways
        raise BadInput(f"{state.path} is damaged ({type(error).__name__}): begin anew with --fresh") from error


@only_first
def _keep(trials: Sequence[Trial], state: Keeper) -> None:
    found = [dataclasses.asdict(each) for each in trials]
    write_state({"identity": dict(state.identity), "trials": found}, state.path)
