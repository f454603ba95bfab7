"""Which metrics and feature spaces a measurement can use, and why it cannot use the others."""

from __future__ import annotations

from coldbench.commands.draft import Draft
from coldbench.core.errors import Missing
from coldbench.data.datasets import dataset_features
from coldbench.metrics.features import FID_FEATURES, FeatureSpace, absence, feature_spaces, load_feature_space
from coldbench.metrics.metric import Metric, find_metrics

NO_ORIGINALS = "generated images have no originals to be compared with"


def usable_metrics(
    draft: Draft, image_size: int
) -> tuple[list[Metric], list[FeatureSpace], dict[tuple[str, str], str]]:
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


def _spaces(draft: Draft, image_size: int) -> list[FeatureSpace]:
    if all(metric.reads == "pairs" for metric in draft.metrics):
        return []
    if draft.given.features is not None:
        return list(draft.given.features)
    names = draft.request.features
    spaces = feature_spaces(names, draft.device, auto=dataset_features(draft.dataset))
    fitting = [space for space in spaces if space.image_size in (None, image_size)]
    return fitting if names == ("auto",) else spaces


def _left_out(draft: Draft, image_size: int) -> dict[str, str]:
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


def _no_fid(draft: Draft) -> str:
    """Why the feature space of the FID is not used."""
    if draft.given.features is not None:
        return "not among the feature spaces that were given"
    if draft.request.features == ("auto",):
        return absence(FID_FEATURES, draft.device)
    return f"not asked for: --features {','.join(draft.request.features)}"


def asked_names(draft: Draft) -> dict[str, str]:
    """Metric or feature space -> the name by which it was asked for, where that is another one."""
    if draft.given.metrics is not None or draft.given.features is not None:
        return {}
    asked = {find_metrics([name])[0].name: name for name in draft.request.metrics or draft.row.metrics}
    if any(metric.reads == "features" for metric in draft.metrics):
        asked |= {load_feature_space(name, draft.device).name: name for name in _names_of_spaces(draft)}
    return {name: spec for name, spec in asked.items() if name != spec}


def _names_of_spaces(draft: Draft) -> list[str]:
    """By which the feature spaces at hand are asked for."""
    words = {"auto": dataset_features(draft.dataset), "none": ()}
    names = [each for name in draft.request.features for each in words.get(name, (name,))]
    return [name for name in names if not absence(name, draft.device)]
