"""What ``run``, ``evaluate`` and ``compare`` keep of every single image: the images, and a table of their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from coldbench.commands.output import SOFTWARE
from coldbench.commands.plan import Plan
from coldbench.commands.request import Request
from coldbench.core.errors import BadInput
from coldbench.core.extras import require
from coldbench.core.files import write_atomically, write_text
from coldbench.core.paths import is_folder
from coldbench.core.processes import only_first
from coldbench.core.progress import tell
from coldbench.data.float_images import numbered
from coldbench.evaluation.details import SavedImages
from coldbench.evaluation.scores import ORIGINAL, Outcome

PARQUET = ".parquet"


def check_keeping(request: Request) -> None:
    """Whether what is to be kept of every image can be written at all.

    Raises:
        BadInput: the file of the scores is a folder.
        Missing: the library that writes Parquet is not installed.
    """
    path = request.per_image
    if path is None:
        return
    if is_folder(path):
        raise BadInput(f"{path} is a folder: --per-image names a file")
    if path.suffix == PARQUET:
        require(f"{path} needs", "pyarrow", extra="parquet", instead=", or name a .csv")


def saved_images(plan: Plan) -> SavedImages | None:
    """The folder that receives the images of a row, if one was asked for.

    Raises:
        BadInput: it holds images of something else.
    """
    request = plan.request
    if request.save_images is None:
        return None
    kinds = plan.methods if plan.start else (ORIGINAL, *plan.methods)

    def name(position: int) -> str:
        return numbered(position + plan.skipped)

    saved = SavedImages(request.save_images / plan.row.stem, request.save_format, kinds, name)
    identity = {key: value for key, value in plan.identity().items() if key not in SOFTWARE | {"batch_size"}}
    saved.begin(identity | {"format": request.save_format})
    return saved


def scores_of_each(plan: Plan, outcome: Outcome, names: Mapping[str, str]) -> pd.DataFrame:
    """A line an image and method, a column a metric.

    Args:
        plan: what was measured.
        outcome: what came of it.
        names: method -> what it is called in the table; others are left out.
    """
    frames = []
    for method, shown in names.items():
        columns = {metric: each.numpy() for (of, metric), each in outcome.each.items() if of == method}
        if columns:
            indices = range(plan.skipped, plan.skipped + (plan.images or 0))
            titles = [plan.names[index] if plan.names else numbered(index) for index in indices]
            facts = {"row": plan.row.name, "name": titles, "index": indices, "method": shown}
            frames.append(pd.DataFrame({**facts, **columns}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


@only_first
def write_scores(frames: Sequence[pd.DataFrame], request: Request) -> None:
    """Write the scores of every image, if they were asked for; a file that is there is replaced.

    Raises:
        BadInput: the file cannot be written.
    """
    path = request.per_image
    if path is None:
        return
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        tell(f"{path} is not written: nothing was measured that compares images with their originals")
        return
    frame = pd.concat(filled, ignore_index=True)
    if path.suffix == PARQUET:
        write_atomically(path, lambda temporary: frame.to_parquet(temporary, index=False))
    else:
        write_text(path, frame.to_csv(index=False))
