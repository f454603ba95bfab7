"""Every option, declared once, with its default from ``commands.request`` and its choices from their registries."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from coldbench.cli import completion
from coldbench.cli.parameters import SECTIONS, BatchSize, Names, SectionOption, Setting, TransformName, as_dict
from coldbench.commands.request import DEFAULTS, DEVICES, DTYPES, PREDICTIONS
from coldbench.diffusion.registries import SAMPLERS
from coldbench.evaluation import PROTOCOLS
from coldbench.metrics.features import FEATURES
from coldbench.metrics.metric import METRICS
from coldbench.records import FORMATS

Command = Callable[..., Any]


def section(heading: str) -> Callable[..., Callable[[Command], Command]]:
    """Declares options in a section of the help."""
    return partial(click.option, cls=SectionOption, section=heading)


what, how, told = map(section, SECTIONS[:3])
FILE = click.Path(path_type=Path)
METHOD_NAMES = Names(SAMPLERS)

data_root = how(
    "--data-root",
    type=FILE,
    default=DEFAULTS.data_root,
    help="The folder of the data sets that do not ship.  [default: $COLDBENCH_HOME/data]",
)
device = how(
    "--device",
    type=click.Choice(DEVICES),
    default=DEFAULTS.device,
    show_default=True,
    help="Where to compute; auto takes a GPU where there is one.",
)
dtype = how(
    "--dtype",
    type=click.Choice(DTYPES),
    default=DEFAULTS.dtype,
    show_default=True,
    help="The arithmetic of the network; auto takes the fastest that 64 images show to be harmless.",
)
batch_size = how(
    "--batch-size",
    type=BatchSize(min=1),
    default=DEFAULTS.batch_size,
    show_default=True,
    help="Images at a time; changes no result. auto is 64, or on a GPU as many as pay.",
)
workers = how(
    "--workers",
    type=click.IntRange(min=0),
    default=DEFAULTS.workers,
    help="Processes that decode images.  [default: one a core, up to 8]",
)
style = told(
    "--format",
    "style",
    type=click.Choice(FORMATS),
    default="markdown",
    show_default=True,
    help="The format of the output.",
)
intervals = told("--intervals", is_flag=True, help="Print 95 % intervals; records always hold them.")
fresh = how("--fresh", is_flag=True, help="Begin anew instead of resuming a stopped command.")
quiet = told("--quiet", is_flag=True, help="Show no progress on stderr.")
metrics = what(
    "--metrics",
    type=Names(METRICS),
    default=DEFAULTS.metrics,
    metavar="NAMES",
    help="Metrics, e.g. SSIM,PSNR, or module:attribute of yours.  [default: those of the table]",
)
features = what(
    "--features",
    type=Names(FEATURES, besides=("auto", "none")),
    default=",".join(DEFAULTS.features),
    show_default=True,
    metavar="NAMES",
    help="Feature spaces of the metrics that need one (coldbench list features): auto takes the paper's and those of "
    "the data set, as far as they are at hand; none skips these metrics.",
)
data = what(
    "--data",
    metavar="SPEC",
    default=DEFAULTS.data,
    shell_complete=completion.offer(completion.data),
    help="Images to restore: folder:PATH, npz:PATH, a data set, or module:attribute of yours.",
)
reference_statistics = what(
    "--reference-statistics",
    type=FILE,
    default=DEFAULTS.reference_statistics,
    metavar="FILE.npz",
    help="Compare generated images with this mean and covariance (see coldbench statistics).",
)
transform = what(
    "--transform",
    type=TransformName(),
    default=DEFAULTS.transform,
    metavar="NAME",
    help="How images are resized and cropped (coldbench list transforms).  [default: as in the row, or native]",
)
settings = what(
    "--set",
    "settings",
    type=Setting(),
    multiple=True,
    callback=as_dict,
    metavar="KEY=VALUE",
    help="Override a setting of the row's degradation (coldbench list degradations).",
)
seed = what(
    "--seed",
    type=click.IntRange(min=0),
    default=DEFAULTS.seed,
    show_default=True,
    help="The seed of everything that is drawn at random.",
)
protocol = what(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default=DEFAULTS.protocol,
    show_default=True,
    help="The algorithms as printed, or the released code with its quirks.",
)
random_weights = what(
    "--allow-random-weights",
    is_flag=True,
    help="Where a checkpoint has no weights, take random ones: a trial of everything but the network.",
)
degradation = what(
    "--degradation",
    metavar="NAME",
    shell_complete=completion.offer(completion.degradations, completion.models),
    help="A family, a model whose degradation it is, or module:attribute of yours.  [default: the restorer's own]",
)
prediction = what(
    "--prediction",
    type=click.Choice(PREDICTIONS),
    default=DEFAULTS.prediction,
    help="What a model from elsewhere predicts.  [default: what its folder says, or x0]",
)


def methods(default: str) -> Callable[[Command], Command]:
    """--methods, the same everywhere but for what it is without."""
    return what(
        "--methods",
        type=METHOD_NAMES,
        default=DEFAULTS.methods,
        metavar="NAMES",
        help=f"Samplers, or module:attribute of yours.  [default: {default}]",
    )


def images(default: str, least: int = 2) -> Callable[[Command], Command]:
    """--images, the same everywhere but for what it is without, and how few will do; measuring takes two."""
    shown = f"How many images.  [default: {default}]"
    return what("--images", type=click.IntRange(min=least), default=DEFAULTS.images, help=shown)


def channels(default: str) -> Callable[[Command], Command]:
    """--channels, the same everywhere but for what it is without."""
    return what("--channels", type=click.Choice([1, 3]), help=f"The channels of the images.  [default: {default}]")


def output(default: Path, what: str) -> Callable[[Command], Command]:
    """--output, the same everywhere but for where and what."""
    return told("--output", type=FILE, default=default, show_default=True, help=f"The folder that receives {what}.")


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order of the help."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


#: What makes another number.
identity = together(metrics, features, data, reference_statistics, transform, settings, seed, protocol)
#: How and where it is computed.
conditions = together(device, dtype, batch_size, data_root, workers, random_weights, fresh, quiet)
