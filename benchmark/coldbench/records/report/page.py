"""The page itself: one file of HTML that needs nothing else, from a template of Jinja2's."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldbench import __version__
from coldbench.core.errors import printable
from coldbench.core.extras import require
from coldbench.records.record import UNKNOWN, Record
from coldbench.records.report.contents import Anchors, Kind, Section, Source, sections_of, summary_of
from coldbench.records.report.figures import Plot, is_hot, plot_differences, plot_hot_and_cold, plot_steps
from coldbench.records.report.judgement import EXCLUDED, MEANINGS, Judgement
from coldbench.records.report.pictures import Picture

#: What the page is made with, by the name that it is imported by.
_NEEDED = ("jinja2", "matplotlib")
#: What one number does, and what several do.
_VERBS = {
    Judgement.WITHIN: ("agrees", "agree"),
    Judgement.BETTER: ("is better", "are better"),
    Judgement.WORSE: ("is worse", "are worse"),
    Judgement.DIFFERS: ("differs", "differ"),
}
#: The model of the commands that are named, where the records are of none that they could be named with.
_MODEL = "mnist-superres"


@dataclass(frozen=True)
class Trajectory:
    """A picture of x_t and of the estimates of x_0 over t.

    Attributes:
        model: that it is of, as its file is called.
        picture: one band a method, Algorithm 1 above Algorithm 2.
    """

    model: str
    picture: Picture


@dataclass(frozen=True)
class Generation:
    """Hot and cold methods that generate images of one data set.

    Attributes:
        title: where the numbers stand.
        models: of the hot methods, and of the cold ones.
        plots: one a metric.
    """

    title: str
    models: tuple[str, str]
    plots: list[Plot]


def check_extras() -> None:
    """Whether all is installed that a page is made with.

    Raises:
        Missing: it is not.
    """
    require("a report needs", *_NEEDED, extra="report")


def render_report(sources: Sequence[Source], trajectories: Sequence[Trajectory] = ()) -> str:
    """The page; the same records give the same page.

    Args:
        sources: the files of records, with their pictures.
        trajectories: the pictures of these.
    """
    anchors = Anchors()
    for name in ("contents", "overview", "hot-and-cold", "steps", "trajectories", "missing", "reading"):
        anchors(name)
    sections = sections_of(sources, anchors)
    tables = [section for section in sections if section.kind == Kind.TABLE]
    generations = _generations(sections, anchors)
    counts = sum((section.counts for section in sections), Counter())
    steps = {section.anchor: plot_steps(section.records, anchors(f"steps {section.anchor}")) for section in sections}
    page = _environment().get_template("report.html.jinja")
    text: str = page.render(
        folders=list(dict.fromkeys(source.folder for source in sources)),
        version=__version__,
        summary=summary_of(sources),
        conclusion=_conclusion(counts),
        judgements=[judgement for judgement in Judgement if counts[judgement]],
        tables=tables,
        others=[section for section in sections if section.kind != Kind.TABLE],
        differences=plot_differences([record for section in tables for record in section.records]),
        steps=steps,
        generations=generations,
        trajectories=trajectories,
        absences=[absence for section in sections for block in section.blocks for absence in block.absences],
        commands=_commands(sources),
        meanings=MEANINGS,
        excluded=EXCLUDED,
    )
    return text.lstrip() + "\n"


def _conclusion(counts: Counter[Judgement]) -> str:
    """How many numbers agree and how many do not, in a sentence."""
    parts = [f"{counts[each]} {verbs[counts[each] > 1]}" for each, verbs in _VERBS.items() if counts[each]]
    told = sum(counts[each] for each in _VERBS)
    return (
        f"Of the {told} measured numbers that can be held against a published one: {', '.join(parts)}." if told else ""
    )


def _generations(sections: Sequence[Section], anchors: Anchors) -> list[Generation]:
    """Where hot and cold methods were both measured on the images of one data set."""
    found = []
    for section in sections:
        by_title: dict[str, list[Record]] = {}
        for record in section.records:
            if record.measured and record.identity.start.get("name", UNKNOWN) != UNKNOWN:
                by_title.setdefault(record.where.title, []).append(record)
        for title, records in by_title.items():
            hot, cold = ([r for r in records if is_hot(r) == side] for side in (True, False))
            if hot and cold:
                models = (hot[0].identity.checkpoint, cold[0].identity.checkpoint)
                plots = plot_hot_and_cold([*hot, *cold], anchors(f"generation {title}"))
                found.append(Generation(f"{section.title}, {title}", models, plots))
    return found


def _commands(sources: Sequence[Source]) -> Mapping[str, str]:
    """The commands that add to the report what it lacks, with a model that was measured where there is one."""
    records = [record for source in sources for record in source.records if record.measured]
    restoring = [r.identity.checkpoint for r in records if not r.identity.start and r.identity.checkpoint_sha256]
    model = shlex.quote(restoring[0] if restoring else _MODEL)
    output = f"--output {shlex.quote(sources[0].folder)}"
    return {
        "steps": f"coldbench sweep --model {model} {output}",
        "trajectories": f"coldbench compare naive improved --model {model} --trajectory {output}",
        "generation": f"coldbench run --table 5 {output}",
    }


def _environment() -> Any:
    """Jinja2 as it must be here: all text is escaped, and shown on one line whatever is in it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
