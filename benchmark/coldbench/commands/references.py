"""What the features of generated images are compared with: those of training images, or statistics from a file."""

from __future__ import annotations

from collections.abc import Sequence

from coldbench.commands.draft import Draft
from coldbench.commands.request import Request
from coldbench.core.errors import BadInput, Missing
from coldbench.data.cache import ImageStore
from coldbench.evaluation.reference_statistics import TrainingFeatures, TrainingSet, given_statistics
from coldbench.evaluation.set_features import View
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.frechet import FeatureStatistics
from coldbench.metrics.metric import Metric


def references_of(
    draft: Draft, metrics: Sequence[Metric], spaces: Sequence[FeatureSpace], store: ImageStore, view: View
) -> tuple[dict[tuple[str, str], TrainingFeatures], dict[tuple[str, str], str]]:
    """What generated images are compared with, by feature space and metric; and why that is absent for some."""
    if draft.request.reference_statistics:
        return _given_references(draft.request, metrics, spaces, view)
    found: dict[tuple[str, str], TrainingFeatures] = {}
    gone: dict[tuple[str, str], str] = {}
    for space in spaces:
        training = TrainingSet(draft.dataset, space, store, view)
        for metric in metrics:
            try:
                found[space.name, metric.name] = training.seen_by(metric)
            except Missing as error:
                if draft.request.features != ("auto",):
                    raise
                gone[metric.name, space.name] = str(error)
    return found, gone


def _given_references(
    request: Request, metrics: Sequence[Metric], spaces: Sequence[FeatureSpace], view: View
) -> tuple[dict[tuple[str, str], TrainingFeatures], dict[tuple[str, str], str]]:
    """``references_of``, out of a file of statistics, which are those of one feature space.

    Raises:
        BadInput: several feature spaces, or a file that does not fit.
    """
    path = request.reference_statistics
    if path is None or not spaces:
        return {}, {}
    if len(spaces) > 1:
        names = ", ".join(space.name for space in spaces)
        raise BadInput(f"--reference-statistics are those of one feature space: choose one of {names} with --features")
    name, given = spaces[0].name, given_statistics(path, spaces[0], view)
    found = {(name, metric.name): given for metric in metrics if metric.accumulator is FeatureStatistics}
    gone = {
        (metric.name, name): f"{metric.name} needs the features of every image, and {path} holds their mean and "
        "covariance alone"
        for metric in metrics
        if (name, metric.name) not in found
    }
    return found, gone


def unknown_images(request: Request) -> str:
    """What speaks against statistics from a file, where these are the reference."""
    if request.reference_statistics is None:
        return ""
    return (
        f"{request.reference_statistics.name} does not say of how many images its statistics are, nor in which feature "
        "space: compare the distance only with others against the same file"
    )
