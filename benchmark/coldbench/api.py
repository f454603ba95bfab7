"""Coldbench from Python: the same calls that the commands make, and objects of your own in the place of names.

    import coldbench

    records = coldbench.run_table("3", images=1000)
    frame = coldbench.evaluate("mnist-superres", count=1000)
    frame = coldbench.evaluate(my_network, degradation=my_blur, images=my_images)

Any callable R(x, s) can be evaluated: ``x`` float32 (B, C, S, S) in [-1, 1] with s degradations applied, s = 1..T;
it returns the estimate of the clean images, of the same shape. All functions that measure take the options of
``coldbench.commands.request.Request`` by name, with the command line's defaults, but are quiet unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from coldbench.commands import compare as compare_command
from coldbench.commands import evaluate as evaluate_command
from coldbench.commands import report as report_command
from coldbench.commands import run as run_command
from coldbench.commands import statistics as statistics_command
from coldbench.commands.draft import Given
from coldbench.commands.evaluate import METHODS, METRICS, degradation_settings, measure_given
from coldbench.commands.recording import check_measured
from coldbench.commands.request import BATCH_SIZE, DEFAULTS, Request
from coldbench.core.devices import choose_device
from coldbench.core.errors import BadInput
from coldbench.core.paths import data_folder
from coldbench.data.cache import ImageStore
from coldbench.data.datasets import DATASETS, dataset_title, find_dataset
from coldbench.data.sources import ImageSource
from coldbench.diffusion import building, checkpoints
from coldbench.diffusion.catalog import Entry, find_entry
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.sampling import Restore
from coldbench.evaluation.generation import as_file, generated
from coldbench.evaluation.loop import batches, to_unit
from coldbench.evaluation.protocols import Protocol
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.metric import Metric, find_metrics
from coldbench.records.record import Record, as_row
from coldbench.tables.tables import Row


@dataclass(frozen=True)
class Model:
    """A checkpoint, ready to use.

    Attributes:
        restore: R(x_s, s); images come and go on its device.
        degradation: the D it was trained to undo, on the same device.
        entry: what the registry says of it.
    """

    restore: checkpoints.Restorer
    degradation: Degradation
    entry: Entry


def load_model(
    name: str,
    *,
    device: str = DEFAULTS.device,
    dtype: str = DEFAULTS.dtype,
    allow_random_weights: bool = DEFAULTS.allow_random_weights,
) -> Model:
    """A checkpoint of the registry: shipped, trained or imported.

    Args:
        name: see ``coldbench list models``.
        device, dtype, allow_random_weights: see ``Request``.

    Raises:
        BadInput: an unknown name, or a damaged file of weights.
        Missing: no weights.
    """
    entry, where = find_entry(name), choose_device(device)
    restore = checkpoints.load_restorer(entry, where, dtype, random=allow_random_weights)
    return Model(restore, building.build_degradation(entry.degradation, name).to(where), entry)


def build_degradation(name: str, **settings: Any) -> Degradation:
    """D(x, s), s = 0..T.

    Args:
        name: a family (``coldbench list degradations``), a checkpoint whose settings are the defaults, or
            ``module:attribute`` of your own.
        settings: of the family, e.g. ``image_size=32, timesteps=20``.

    Raises:
        BadInput: an unknown name, or settings that it does not take.
    """
    return building.build_degradation({**degradation_settings(name), **settings}, name)


def open_images(spec: str, *, data_root: Path | str | None = None, train: bool = False) -> ImageSource:
    """Images by name.

    Args:
        spec: a data set (``coldbench list datasets``), ``folder:PATH``, ``npz:PATH``, or ``module:attribute`` of your
            own: a ``Dataset``, or a function of (root, train) that returns an ``ImageSource``.
        data_root: folder of the data sets that do not ship; ``$COLDBENCH_HOME/data`` unless given.
        train: a data set's training images.

    Raises:
        BadInput: nothing usable there.
        Missing: a data set that is absent.
    """
    return ImageStore(data_folder(data_root)).source(spec, train=train)


def run_table(
    table: str | int | Path,
    *,
    rows: str | Sequence[str] = (),
    output: Path | str = run_command.OUTPUT,
    **options: Any,
) -> list[Record]:
    """``coldbench run``: measure a table of the paper, ``all`` of them, or those of a .toml file.

    Args:
        table: its number, or the path of the file.
        rows: names of rows or data sets; all unless given.
        output: the folder that receives records, tables and pictures.
        options: see ``Request``.

    Returns:
        One record a cell, measured or missing.

    Raises:
        BadInput, Missing, CheckFailed: see ``coldbench run --help``.
    """
    return run_command.run_table(str(table), _request(options), rows=_listed(rows), output=Path(output))


def evaluate(
    restore: Restore | str | None,
    degradation: Degradation | str | None = None,
    images: ImageSource | str | None = None,
    *,
    count: int | None = None,
    features: str | FeatureSpace | Sequence[str | FeatureSpace] = DEFAULTS.features,
    metrics: str | Metric | Sequence[str | Metric] = DEFAULTS.metrics,
    output: Path | str | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Degrade images, restore them, and score what comes back.

    Args:
        restore: R(x, s), any callable; a name as in ``coldbench evaluate``; None if only ``degraded`` is asked for. A
            module is put on the device and into eval mode.
        degradation: D, or its name, whose settings ``settings`` gives; a model's own unless given.
        images: what to restore, or its name; a model's data set unless given.
        count: only the first N; all unless given.
        features: feature spaces, or their names; see ``Request``.
        metrics: metrics, or their names; see ``Request``.
        output: the folder that receives record, table and picture; nothing is written unless given. Only what is given
            by name alone can be measured again by ``coldbench check``.
        options: the other options of ``Request``.

    Returns:
        One line a method and metric, with its ``value``, its 95 % interval ``low`` to ``high`` (None where N is too
        small for one), its ``deviation`` from another implementation's and a ``warning`` where something speaks against
        trusting it, with N, seed, protocol and everything else that identifies the number. What could not be measured
        has the ``status`` ``missing``, no value, and a ``reason``.

    Raises:
        BadInput: methods, images or settings that do not fit, or an R that returns something else than images.
        Missing: data, a device or a feature space that is absent, or nothing could be measured.
        CheckFailed: a metric is not what its reference says.
    """
    spaces, wanted = _listed(features), _listed(metrics)
    options = {"dtype": _dtype(restore), **options, "images": count}
    if all(isinstance(each, str) for each in (*spaces, *wanted)):
        request, given = _request({**options, "features": spaces, "metrics": wanted}), Given()
    else:
        names = [each for each in spaces if isinstance(each, str)]
        request = _request({**options, "features": names or DEFAULTS.features})
        given = Given(features=_spaces(spaces), metrics=_metrics(wanted) or None)
    if isinstance(images, str):
        request = replace(request, data=images)
    folder = None if output is None else Path(output)
    objects_given = isinstance(images, ImageSource) or isinstance(degradation, Degradation) or given != Given()
    if folder is not None and isinstance(restore, str) and not objects_given:
        own = None if isinstance(degradation, Degradation) else degradation
        return _frame(evaluate_command.evaluate(restore, request, degradation=own, output=folder))
    row, objects = _row_and_given(restore, degradation, images, request)
    given = replace(objects, features=given.features, metrics=given.metrics)
    return _frame(measure_given(row, request, given, folder).records)


def _frame(records: Sequence[Record]) -> pd.DataFrame:
    """One line a record.

    Raises:
        Missing: none of them was measured.
    """
    check_measured(records)
    return pd.DataFrame([as_row(record) for record in records])


def _listed(given: Any) -> tuple[Any, ...]:
    """One thing, or several, as a tuple: a plain string is one name."""
    return (given,) if isinstance(given, str | FeatureSpace | Metric) else tuple(given)


def _dtype(restore: object) -> str:
    """The arithmetic of what ``load_model`` gave; that of everything else is not coldbench's to choose."""
    if isinstance(restore, checkpoints.Restorer):
        return restore.dtype
    return DEFAULTS.dtype


def _row_and_given(
    restore: Restore | str | None,
    degradation: Degradation | str | None,
    images: ImageSource | str | None,
    request: Request,
) -> tuple[Row, Given]:
    """The row that names and objects make, and the objects.

    Raises:
        BadInput: a degradation or images of another kind, or too little to make a row of.
    """
    for what, each, kind in (("degradation", degradation, Degradation), ("images", images, ImageSource)):
        if each is not None and not isinstance(each, str | kind):
            raise BadInput(f"{what} must be a name or a coldbench.{kind.__name__}, not {type(each).__name__}")
    own = degradation if isinstance(degradation, Degradation) else None
    source = images if isinstance(images, ImageSource) else None
    settings = degradation_settings(degradation) if isinstance(degradation, str) else None
    settings = own.settings if own is not None else settings
    if isinstance(restore, str):
        named = request if source is None else replace(request, data=source.name)
        row = evaluate_command.evaluated_row(restore, settings, named)
        return row, Given(degradation=own, source=source)
    if settings is None or images is None:
        raise BadInput("a restorer of your own needs a degradation and images")
    row = Row(
        table="python",
        caption="",
        name="degraded" if restore is None else _called(restore),
        title=_title(images),
        dataset=_dataset(images),
        checkpoint="" if restore is None else _called(restore),
        methods=request.methods or (METHODS if restore is not None else METHODS[:1]),
        metrics=METRICS,
        degradation=settings,
    )
    return row, Given(restore=restore, degradation=own, source=source)


def _called(restore: Restore) -> str:
    """What records call a restorer: the name of the function, or of the object's class."""
    return str(getattr(restore, "__qualname__", type(restore).__name__))


def _title(images: ImageSource | str) -> str:
    return dataset_title(images) if isinstance(images, str) else images.name


def _dataset(images: ImageSource | str) -> str:
    """The data set, whose own feature spaces ``auto`` takes; images of no data set have none."""
    if isinstance(images, str):
        return images
    titles = {find_dataset(name).title: name for name in DATASETS}
    return titles.get(images.name, "")


def _metrics(metrics: Sequence[str | Metric]) -> list[Metric]:
    return [each if isinstance(each, Metric) else find_metrics([each])[0] for each in metrics]


def _spaces(features: Sequence[str | FeatureSpace]) -> list[FeatureSpace] | None:
    """The spaces themselves, where any were given.

    Raises:
        BadInput: names are among them.
    """
    spaces = [each for each in features if isinstance(each, FeatureSpace)]
    if spaces and len(spaces) < len(features):
        raise BadInput("give either names of feature spaces or feature spaces, not both")
    return spaces or None


def compare(
    names: Sequence[str],
    *,
    models: str | Sequence[str] = (),
    degradation: str | None = None,
    output: Path | str = compare_command.OUTPUT,
    **options: Any,
) -> list[Record]:
    """``coldbench compare``: methods, or restorers, on the same images, seeds and noise.

    Args:
        names, models, degradation: see ``coldbench.commands.compare.compare``.
        output: the folder that receives record, table and picture.
        options: see ``Request``.

    Returns:
        One record a method and metric, each with its differences from the methods before it.

    Raises:
        BadInput, Missing, CheckFailed: see ``coldbench compare --help``.
    """
    return compare_command.compare(
        names, _request(options), models=_listed(models), degradation=degradation, output=Path(output)
    )


def report(folders: Path | str | Sequence[Path | str], output: Path | str | None = None) -> Path:
    """``coldbench report``: all that was measured in some folders, as one page of HTML.

    Args:
        folders: one or several, that ``run_table``, ``evaluate`` or ``compare`` have written.
        output: the file; ``report.html`` in the first folder unless given.

    Returns:
        The path of the file.

    Raises:
        BadInput, Missing: see ``coldbench.commands.report.report``.
    """
    several = (folders,) if isinstance(folders, str | Path) else folders
    return report_command.report([Path(folder) for folder in several], None if output is None else Path(output))


def save_statistics(
    images: ImageSource | str,
    output: Path | str,
    *,
    features: FeatureSpace | str,
    train: bool = False,
    count: int | None = None,
    image_size: int | None = None,
    **options: Any,
) -> Path:
    """``coldbench statistics``: mean and covariance of the features of some images, in the format of pytorch-fid.

    Args:
        images: what they are taken of, or its name; see ``open_images``.
        output: the .npz file to write.
        features: the feature space, or its name.
        train: a data set's training images.
        count: only the first N; all unless given.
        image_size: S, in pixels; see ``coldbench statistics --help``.
        options: those of ``coldbench statistics``, as ``Request`` calls them: ``transform``, ``channels``, ``device``,
            ``batch_size``, ``data_root``, ``workers``, ``quiet``.

    Returns:
        The path of the file, which ``reference_statistics`` takes.

    Raises:
        BadInput, Missing: see ``coldbench.commands.statistics.save_statistics``.
    """
    of = statistics_command.ImageSet(images=images, train=train, image_size=image_size)
    statistics_command.save_statistics(of, features, _request({**options, "images": count}), Path(output))
    return Path(output)


@torch.inference_mode()
def generate(
    model: str | Model, method: str, count: int, *, seed: int = DEFAULTS.seed, batch_size: int = BATCH_SIZE
) -> Tensor:
    """New images by a generator of Section 5.

    Args:
        model: a checkpoint that generates, e.g. ``mnist-noise``, or what ``load_model`` made of it.
        method: a sampler that fits its start, e.g. ``estimated-noise``.
        count: how many.
        seed: of everything drawn at random; image i depends on the seed and on i alone.
        batch_size: images at a time; changes no result.

    Returns:
        float32 (count, C, S, S) in [0, 1], rounded to 8 bits as Table 5 scores them, on the CPU.

    Raises:
        BadInput: a model that generates nothing, or a method that does not fit it.
        Missing: no weights.
    """
    model = load_model(model) if isinstance(model, str) else model
    if count < 1 or batch_size < 1:
        raise BadInput(f"count and batch_size must be at least 1, not {count} and {batch_size}")
    if not model.entry.start:
        raise BadInput(f"{model.entry.name} restores images: it generates none")
    device = next(model.restore.network.parameters()).device
    batches_of_images = [
        generated(
            model.restore,
            model.degradation,
            model.entry.start,
            method,
            positions,
            seed=seed,
            channels=model.entry.channels,
            device=device,
        )
        for positions in batches(count, batch_size)
    ]
    return torch.cat([as_file(to_unit(images)).cpu() for images in batches_of_images])


def _request(options: dict[str, Any]) -> Request:
    """A request that is quiet unless told otherwise; a protocol may be given by its name alone."""
    protocol = options.get("protocol")
    if isinstance(protocol, Protocol):
        options = {**options, "protocol": protocol.name}
    return Request.of(**{"quiet": True, **options})
