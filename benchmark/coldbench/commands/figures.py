"""What ``run``, ``evaluate`` and ``compare`` draw of a measurement: some of its images, and the way to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from coldbench.commands.plan import Plan
from coldbench.commands.request import Request
from coldbench.core.extras import require
from coldbench.core.processes import is_first
from coldbench.core.progress import tell
from coldbench.core.steps import split_steps
from coldbench.diffusion.samplers import IMPROVED, NAIVE, find_sampler
from coldbench.evaluation.scores import ORIGINAL, Outcome
from coldbench.evaluation.trajectories import Revisited, revisit
from coldbench.records.formats import method_title
from coldbench.records.pictures import GALLERY, Way, save_picture, save_ways
from coldbench.tables.tables import slug

#: Images whose trajectories are drawn, unless others are asked for.
FOLLOWED = 2
#: What the paper calls some methods, by the function that samples.
_ALGORITHMS = {NAIVE.sample: "Algorithm 1", IMPROVED.sample: "Algorithm 2"}


@dataclass(frozen=True)
class Figures:
    """What is drawn of one measurement.

    Attributes:
        gallery: ``original``, where there are any, and each method, in the order of the table -> images (n, C, S, S)
            in [0, 1]; empty where nothing was measured.
        ways: of some images, by each method that goes step by step; empty unless asked for.
        model: the checkpoint that took them.
        formats: of the files.
    """

    gallery: Mapping[str, Tensor] = field(default_factory=dict)
    ways: Sequence[Way] = ()
    model: str = ""
    formats: Sequence[str] = ()

    def paths(self, stem: Path) -> list[Path]:
        """Of one picture, the file of each format.

        Args:
            stem: the path without the suffix.
        """
        return [stem.with_name(f"{stem.name}.{form}") for form in self.formats]

    def trajectories(self, folder: Path) -> list[Path]:
        """The files of the trajectories; none where none are drawn."""
        return self.paths(folder / f"trajectory-{slug(self.model)}") if self.ways else []

    def titled(self) -> Figures:
        """With the names by which tables call the methods."""
        return replace(self, gallery={method_title(kind): images for kind, images in self.gallery.items()})

    def save(self, stem: Path, folder: Path) -> None:
        """Write the picture, if there is anything on it, and the trajectories.

        Args:
            stem: of the picture.
            folder: of the trajectories.

        Raises:
            BadInput: a folder cannot be written.
        """
        for path in self.paths(stem) if self.gallery else ():
            save_picture(self.gallery, path)
        for path in self.trajectories(folder):
            save_ways(self.ways, path)


def check_figures(request: Request) -> None:
    """Whether figures can be written in the formats that were asked for.

    Raises:
        Missing: the library that draws them is not installed.
    """
    others = [form for form in request.figure_formats if form != "png"]
    if others:
        require(f"figures as {' and '.join(others)} need", "matplotlib", extra="report")


def figures_of(plan: Plan, outcome: Outcome | None) -> Figures:
    """What is drawn of a measurement; images that it has not kept are restored or generated once more.

    Args:
        plan: of the measurement.
        outcome: what came of it; None where nothing could be measured.

    Raises:
        BadInput: see ``coldbench.evaluation.trajectories.revisit``.
    """
    if outcome is None or not is_first():  # one process draws for all
        return Figures()
    asked, kept = plan.request.figure_images, min(map(len, outcome.gallery.values()))
    trajectory, far = plan.request.trajectory, max(asked, default=0) >= kept
    again = Revisited({}, {})
    if plan.task and (trajectory or far):
        again = revisit(plan.task, asked or range(min(FOLLOWED, kept)))
    # What the measurement keeps stands in the order of the table.
    first = list(asked or range(min(GALLERY, kept)))
    gallery = {kind: again.images[kind] if far else images[first] for kind, images in outcome.gallery.items()}
    ways = _ways(plan, again) if trajectory else []
    return Figures(gallery, ways, plan.row.checkpoint, plan.request.figure_formats)


def _ways(plan: Plan, again: Revisited) -> list[Way]:
    """The trajectories of all methods, in the order of the table, and of each method those of all images."""
    if not again.trajectories and not plan.request.quiet:
        tell(f"no trajectory of {plan.row.title} is drawn: none of {', '.join(plan.methods)} goes step by step")
    originals = again.images.get(ORIGINAL)
    return [
        Way(
            title=_title(method, plan),
            steps=trajectory.steps,
            states=[images[number] for images in trajectory.states],
            estimates=[images[number] for images in trajectory.estimates],
            original=None if originals is None else originals[number],
        )
        for method, trajectory in again.trajectories.items()
        for number in range(len(trajectory.states[0]))
    ]


def _title(method: str, plan: Plan) -> str:
    """What a method is called, with the name that the paper gives its algorithm."""
    sampler = find_sampler(split_steps(method)[0])
    algorithm = _ALGORITHMS.get(sampler.sample) if plan.request.protocol == "paper" else None
    return f"{method_title(method)} ({algorithm})" if algorithm else method_title(method)
