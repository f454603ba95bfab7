"""The history of a checkpoint: the training runs that made it, each going on from the weights of the one before it.

A weights' file carries its history, so that whoever goes on from it, on whatever machine, need not be told.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.core.files import sha256_of

_KEY = "stages"


@dataclass(frozen=True)
class Stage:
    """One training run.

    Attributes:
        training: its recipe, see ``coldbench.diffusion.recipe.Recipe``.
        data: what it was trained on, in words.
        steps: optimiser steps done.
        images: that went into each of them.
        hours: wall time.
        cpu_hours: of all cores together.
        machine: where it ran.
        loss: mean of the last hundred steps.
        begun_from: SHA-256 of the weights that it began from; empty where they were random.
        curve: (step, loss, held-out loss) now and then; empty where no images were held out.
    """

    training: dict[str, Any]
    data: str
    steps: int
    images: int
    hours: float
    cpu_hours: float
    machine: str
    loss: float
    begun_from: str
    curve: list[tuple[int, float, float]]


@dataclass(frozen=True)
class Start:
    """What a run goes on from.

    Attributes:
        path: of the weights.
        sha256: of their file.
        weights: parameter name -> its value.
        stages: the runs that made them; empty where the file does not tell.
    """

    path: Path
    sha256: str
    weights: dict[str, Tensor]
    stages: tuple[Stage, ...]

    @property
    def stage(self) -> int:
        """How many runs came before, counting one of which nothing is known."""
        return max(1, len(self.stages))


def read_start(path: Path) -> Start:
    """The weights in a .safetensors file, and their history.

    Raises:
        BadInput: there is no such file, it is damaged, or its history is.
    """
    sha256 = sha256_of(path)
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it has no __iter__)
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path} is no .safetensors file of weights: {str(error).splitlines()[0]}") from error
    try:
        stages = tuple(Stage(**stage) for stage in json.loads(metadata.get(_KEY, "[]")))
    except (TypeError, ValueError) as error:
        raise BadInput(f"{path} tells its training in a way that cannot be read: {error}") from error
    return Start(path, sha256, weights, stages)


def as_metadata(stages: Sequence[Stage]) -> dict[str, str]:
    """A history in the form in which a .safetensors file keeps it."""
    return {_KEY: json.dumps([asdict(stage) for stage in stages])}


def curve_picture(stages: Sequence[Stage]) -> str:
    """An SVG of the losses against the steps: grey what was trained on, black what was held out, a line a stage.

    The axis is logarithmic, because the squared error of one stage may be a tenth of the absolute one of another.
    Losses that are not finite are left out.
    """
    before = [sum(stage.steps for stage in stages[:number]) for number in range(len(stages))]
    points = [(done + x, y, z) for done, stage in zip(before, stages, strict=True) for x, y, z in stage.curve]
    drawn = [loss for _, *pair in points for loss in pair if 0 < loss < math.inf]
    lowest = min(drawn, default=1e-12)
    # The first losses are of an untrained network, and would flatten all the others.
    later = [loss for _, *pair in points[min(2, len(points) - 1) :] for loss in pair]
    highest = max([lowest, *(loss for loss in later if loss < math.inf)])
    across, up = 400 / max(x for x, _, _ in points), 160 / max(math.log(highest / lowest), 1e-12)

    def place(step: float, loss: float) -> str:
        return f"{60 + across * step:.1f},{180 - up * math.log(min(max(loss, lowest), highest) / lowest):.1f}"

    lines = []
    for done, stage in zip(before, stages, strict=True):
        for column, colour in ((1, "#aaa"), (2, "#000")):
            path = " ".join(place(done + point[0], point[column]) for point in stage.curve if point[column] < math.inf)
            lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
    labels = [(4, 184, f"{lowest:.4f}"), (4, 24, f"{highest:.4f}"), (400, 198, f"{points[-1][0]:,} steps")]
    texts = [f'<text x="{x}" y="{y}">{text}</text>' for x, y, text in labels]
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 204" font-family="sans-serif" font-size="11">'
    key = '<text x="60" y="198">loss (logarithmic): grey in training, black held out</text>'
    return "\n".join([head, '<rect width="480" height="204" fill="#fff"/>', *lines, *texts, key, "</svg>", ""])
