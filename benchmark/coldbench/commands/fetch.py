"""``coldbench fetch``: data sets, the weights of metrics, and models of the hub, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from coldbench.commands.request import Request
from coldbench.core.errors import BadInput, Missing
from coldbench.core.paths import writable_home
from coldbench.core.registry import did_you_mean
from coldbench.data.datasets import DATASETS, find_dataset
from coldbench.diffusion import hub_models
from coldbench.metrics import inception, perceptual
from coldbench.metrics.dinov2 import DINOV2
from coldbench.metrics.fidelity import CLIP, VGG16
from coldbench.metrics.hub import HubWeights

#: The weights of metrics and feature spaces, by their names.
WEIGHTS: dict[str, HubWeights] = {
    weights.name: weights
    for weights in (inception.WEIGHTS, perceptual.WEIGHTS, VGG16, *DINOV2.values(), *CLIP.values())
}


def fetch(names: Sequence[str], request: Request) -> Iterator[str]:
    """Fetch what the names stand for; those that end with an error come last.

    Args:
        names: of data sets, keys of ``WEIGHTS``, or models of the hub.
        request: where data sets belong.

    Yields:
        What to tell the user of each.

    Raises:
        BadInput: an unknown name, or nowhere to put a data set; nothing is fetched.
        Missing: what cannot be downloaded, or a net that does not answer.
    """
    jobs = {name: _job(name, request) for name in names}
    failed: list[Missing] = []
    for job in jobs.values():
        try:
            yield job()
        except Missing as error:
            failed.append(error)
    if failed:
        raise Missing("; ".join(map(str, failed)))


def _job(name: str, request: Request) -> Callable[[], str]:
    if name in WEIGHTS:
        return partial(WEIGHTS[name].fetch, quiet=request.quiet)
    if name.startswith(hub_models.PREFIX):
        return partial(hub_models.hub_model(name).fetch, quiet=request.quiet)
    if name not in DATASETS:
        raise BadInput(f"nothing called '{name}' can be fetched{did_you_mean(name, [*DATASETS, *WEIGHTS])}")
    dataset = find_dataset(name)
    if dataset.fetch is None:
        raise BadInput(f"coldbench does not know how to fetch {name}")
    root = writable_home() / "data" if request.data_root is None else request.data_root
    return partial(dataset.fetch, root, quiet=request.quiet)
