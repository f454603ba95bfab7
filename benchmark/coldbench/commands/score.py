"""``coldbench score``: images that are restored or generated already, scored without a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from coldbench.commands.draft import NOTHING_GIVEN, Draft
from coldbench.commands.evaluate import METRICS
from coldbench.commands.keeping import check_keeping, write_scores
from coldbench.commands.output import save_row, shared_claim
from coldbench.commands.plan import NO_FEATURES, Plan
from coldbench.commands.recording import check_measured, measure_plan
from coldbench.commands.references import references_of, unknown_images
from coldbench.commands.request import Request
from coldbench.commands.scoring import NO_ORIGINALS, asked_names, usable_metrics
from coldbench.core.devices import choose_device
from coldbench.core.errors import BadInput
from coldbench.core.paths import exists, is_file, is_folder
from coldbench.data.cache import ImageStore
from coldbench.data.datasets import DATASETS
from coldbench.data.float_images import FloatImages, listed, numbered, open_images, shape_of_all, sized
from coldbench.data.transforms import to_model_range
from coldbench.evaluation.checks import check_metrics
from coldbench.evaluation.given_images import GivenScores, score_given
from coldbench.evaluation.loop import to_unit
from coldbench.evaluation.protocols import Protocol
from coldbench.evaluation.reference_statistics import TrainingFeatures
from coldbench.evaluation.set_features import View, features_of_set
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import Metric, find_metrics
from coldbench.metrics.statistics_file import SUFFIX
from coldbench.records.record import UNKNOWN, Record
from coldbench.tables.tables import Row, slug

#: Where results go unless said otherwise.
OUTPUT = Path("results/score")
RESTORED, GENERATED = "restored", "generated"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What is scored, and against what: originals or, of generated images, others.

    Attributes:
        images: a folder, an .npz archive or a file; see ``coldbench.data.float_images.open_images``.
        originals: the same; or ``folder:PATH``, ``npz:PATH``, a data set or ``module:attribute``, whose images are
            transformed and called by their numbers.
        against: images as ``coldbench.data.datasets.open_source`` takes them, or a file of statistics.
        train: the training images of the data set that is ``against``.
    """

    images: Path
    originals: str | None = None
    against: str | None = None
    train: bool = False


def score(scored: Scored, request: Request, output: Path = OUTPUT) -> list[Record]:
    """Score images; write record, table and picture.

    Args:
        scored: what is scored.
        request: its ``metrics``, ``features``, ``images`` and ``transform``, and where to compute.
        output: the folder.

    Raises:
        BadInput: images that cannot be read, do not pair, or differ in size; both originals and others, or neither.
        Missing: a data set, a device or the weights of a feature space are absent.
    """
    if (scored.originals is None) == (scored.against is None):
        raise BadInput("say what the images are compared with: ORIGINALS, or others with --against")
    if scored.train and scored.against is None:
        raise BadInput("--train takes the training images of the data set that is --against")
    check_keeping(request)
    images = open_images(scored.images)
    if request.images is not None:
        images = images.chosen(images.names[: request.images])
    store = request.store()
    prepared = (
        _restored(scored, images, request, store) if scored.originals else _generated(scored, images, request, store)
    )
    with shared_claim(output, fresh=request.fresh) as claim:
        measured = measure_plan(prepared, claim, {"command": "score", "table": None}, str(scored.images))
        save_row(measured.records, measured.figures(), output, prepared.row, [prepared.row])
        write_scores([measured.scores_of_each()], request)
    check_measured(measured.records)
    return measured.records


def _restored(scored: Scored, images: FloatImages, request: Request, store: ImageStore) -> Plan:
    """The plan of restored images and their originals."""
    shape = shape_of_all(images)
    originals = _originals(str(scored.originals), images, shape, request, store)
    draft = _draft(scored, RESTORED, str(scored.originals), request)
    metrics, spaces, absent = usable_metrics(draft, min(shape[1:]))
    task = _task(RESTORED, images, metrics, spaces, draft, originals=originals)
    return _plan(draft, task, images, shape, absent, originals.name, originals.digest)


def _originals(
    spec: str, images: FloatImages, shape: tuple[int, int, int], request: Request, store: ImageStore
) -> FloatImages:
    """The original of each image, in their order.

    Raises:
        BadInput: images without originals, originals without images, or images of another size.
    """
    is_set = _is_set(spec)
    found = _set(spec, shape, request, store) if is_set else open_images(Path(spec))
    names = set(images.names)
    lacking = [name for name in images.names if name not in set(found.names)]
    # Of a data set, whoever restores some of the images need not restore all.
    left = [] if is_set or request.images is not None else [name for name in found.names if name not in names]
    if lacking or left:
        without = f"{len(lacking)} restored without original: {listed(lacking)}" * bool(lacking)
        unrestored = f"{len(left)} originals that were not restored: {listed(left)}" * bool(left)
        raise BadInput(f"images pair by their names, and there are {'; '.join(filter(None, (without, unrestored)))}")
    of_all, found = found, found.chosen(images.names)
    if not is_set and (others := shape_of_all(found)) != shape:
        raise BadInput(
            f"restored images are {sized(shape)} and their originals {sized(others)}: to have originals resized, give "
            f"them as folder:{spec}, where they are called by their numbers"
        )
    return replace(found, digest=_digest_of_some(of_all, found.names))


def _digest_of_some(images: FloatImages, names: tuple[str, ...]) -> str:
    """That of all of them; where N images are not the first N, as run takes them, one that says which they are."""
    if names == images.names[: len(names)]:
        return images.digest
    return hashlib.sha256("\n".join((images.digest, *names)).encode()).hexdigest()


def _is_set(spec: str) -> bool:
    """Whether images are named as a data set is, and not as files whose names matter."""
    return spec in DATASETS or (":" in spec and not exists(Path(spec)))


def _set(spec: str, shape: tuple[int, int, int], request: Request, store: ImageStore) -> FloatImages:
    """The images of a data set as ``run`` measures them, by their numbers."""
    source = store.source(spec)
    channels, height, width = shape
    if height != width:
        raise BadInput(f"images of a data set are cut to squares, and the restored ones are {height}x{width}")
    transform = request.transform or "native"
    pixels = store.pixels(source, transform=transform, image_size=height, channels=channels)

    def read(index: int) -> Tensor:
        return to_unit(to_model_range(pixels.batch([index], seed=request.seed)))[0]

    return FloatImages(source.name, source.digest, tuple(map(numbered, range(source.count))), read)


def _generated(scored: Scored, images: FloatImages, request: Request, store: ImageStore) -> Plan:
    """The plan of generated images and what they are compared with."""
    shape = shape_of_all(images)
    if shape[1] != shape[2]:
        raise BadInput(f"feature spaces take squares, and these images are {shape[1]}x{shape[2]}")
    against = str(scored.against)
    if _is_statistics(against):
        if scored.train:
            raise BadInput(f"--train takes the training images of a data set, and {against} is a file")
        request, dataset = replace(request, reference_statistics=Path(against)), "npz:"
    else:
        dataset = f"folder:{against}" if against not in DATASETS and is_folder(Path(against)) else against
    draft = _draft(scored, GENERATED, dataset, request)
    read = replace(draft, metrics=[metric for metric in draft.metrics if metric.reads == "features"])
    metrics, spaces, absent = usable_metrics(read, shape[1]) if read.metrics else ([], [], {})
    view = View(transform=request.transform or "native", image_size=shape[1], channels=shape[0], device=draft.device)
    if scored.train or request.reference_statistics:
        references, gone = references_of(draft, metrics, spaces, store, view)
    else:
        references, gone = _of_set(dataset, metrics, spaces, store, view), {}
    absent |= {**gone, **{(each.name, ""): NO_ORIGINALS for each in draft.metrics if each.reads == "pairs"}}
    metrics = [metric for metric in metrics if any((space.name, metric.name) in references for space in spaces)]
    if not references or not metrics:
        reason = next(iter(gone.values()), "") or next(iter(absent.values()), "")
        raise BadInput(NO_FEATURES if request.features == ("none",) or not reason else reason)
    seen = {key: each.seen for key, each in references.items()}
    task = _task(GENERATED, images, metrics, spaces, draft, references=seen)
    first = next(iter(references.values()))
    made = _plan(draft, task, images, shape, absent, first.name, first.digest)
    return replace(made, warning=unknown_images(request))


def _is_statistics(spec: str) -> bool:
    return spec not in DATASETS and spec.endswith(SUFFIX) and is_file(Path(spec))


def _of_set(
    spec: str, metrics: Sequence[Metric], spaces: Sequence[FeatureSpace], store: ImageStore, view: View
) -> dict[tuple[str, str], TrainingFeatures]:
    """All images of a set, as the metrics of each feature space see them."""
    source = store.source(spec)
    found = {}
    for space in spaces:
        features = features_of_set(source, source.name, space, store, view)
        for metric in metrics:
            seen = features.seen_by(metric.accumulator)
            found[space.name, metric.name] = TrainingFeatures(source.name, source.digest, space.sha256, seen)
    return found


def _draft(scored: Scored, kind: str, dataset: str, request: Request) -> Draft:
    """Names looked up; the row is called after the folder of the images."""
    name = str(scored.images)
    row = Row(
        table=f"score-{slug(name)}",
        caption="",
        name=name,
        title=str(scored.originals or scored.against),
        dataset=dataset if _is_set(dataset) else f"folder:{dataset}",
        checkpoint=name,
        methods=(kind,),
        metrics=METRICS if kind == RESTORED else METRICS[:1],
    )
    return Draft(
        row=row,
        request=request,
        given=NOTHING_GIVEN,
        entry=None,
        methods=(kind,),
        metrics=find_metrics(request.metrics or row.metrics),
        protocol=Protocol("paper"),
        base={},
        device=choose_device(request.device),
    )


def _task(
    kind: str,
    images: FloatImages,
    metrics: Sequence[Metric],
    spaces: Sequence[FeatureSpace],
    draft: Draft,
    *,
    originals: FloatImages | None = None,
    references: Mapping[tuple[str, str], Any] | None = None,
) -> GivenScores:
    return GivenScores(
        kind=kind,
        images=images.batch,
        originals=None if originals is None else originals.batch,
        references=references,
        metrics=metrics,
        features=spaces,
        count=len(images.names),
        batch_size=draft.request.images_at_a_time(),
        device=draft.device,
    )


def _plan(
    draft: Draft,
    task: GivenScores,
    images: FloatImages,
    shape: tuple[int, int, int],
    absent: Mapping[tuple[str, str], str],
    data: str,
    data_sha256: str,
) -> Plan:
    """The digest of the images stands where a plan has that of the checkpoint which made them."""
    check_metrics(task.metrics, task.features, task.count, min(shape[1:]))
    return Plan(
        row=draft.row,
        request=draft.request,
        absent=absent,
        methods=draft.methods,
        networked=draft.methods,
        metrics=draft.metrics,
        features=task.features,
        asked=asked_names(draft),
        shape=shape,
        batch_size=task.batch_size,
        names=images.names,
        measure=partial(score_given, task),
        images=task.count,
        transform=draft.transform,
        degradation={"name": UNKNOWN, "image_size": min(shape[1:])},
        start={} if task.references is None else {"name": UNKNOWN},
        checkpoint_sha256=images.digest,
        data=data,
        data_sha256=data_sha256,
        device=draft.device,
    )
