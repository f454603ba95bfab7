"""Every option, declared once, with its default from ``commands.request`` and its choices from their registries."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from coldbench.cli import completion
from coldbench.cli.parameters import SECTIONS, BatchSize, Names, SectionOption, TransformName, set_in
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
    help="Look for data sets in this folder.  [default: $COLDBENCH_HOME/data]",
)
device = how(
    "--device",
    type=click.Choice(DEVICES),
    default=DEFAULTS.device,
    show_default=True,
    help="Compute on this device; auto takes a GPU if there is one.",
)
dtype = how(
    "--dtype",
    type=click.Choice(DTYPES),
    default=DEFAULTS.dtype,
    show_default=True,
    help="Run the network in this arithmetic; auto takes the fastest one that a trial on 64 images finds harmless.",
)
batch_size = how(
    "--batch-size",
    type=BatchSize(min=1),
    default=DEFAULTS.batch_size,
    show_default=True,
    help="Take this many images at a time, which changes no result; auto takes 64, or on a GPU as many as save time.",
)
workers = how(
    "--workers",
    type=click.IntRange(min=0),
    default=DEFAULTS.workers,
    help="Decode images in this many processes.  [default: one for each core, up to 8]",
)
style = told(
    "--format",
    "style",
    type=click.Choice(FORMATS),
    default="markdown",
    show_default=True,
    help="Print the result in this format.",
)
intervals = told("--intervals", is_flag=True, help="Print 95 % intervals, too; records always hold them.")
fresh = how("--fresh", is_flag=True, help="Begin anew instead of going on with a command that was stopped.")
quiet = told("--quiet", is_flag=True, help="Show no progress on stderr.")
metrics = what(
    "--metrics",
    type=Names(METRICS),
    default=DEFAULTS.metrics,
    metavar="NAMES",
    help="Measure these metrics, such as SSIM,PSNR, or a module:attribute of your own.  [default: those of the table]",
)
features = what(
    "--features",
    type=Names(FEATURES, besides=("auto", "none")),
    default=",".join(DEFAULTS.features),
    show_default=True,
    metavar="NAMES",
    help="Measure in these feature spaces (coldbench list features). auto takes the paper's and those of the data set, "
    "as far as they are at hand; none leaves out the metrics that need one.",
)
data = what(
    "--data",
    metavar="SPEC",
    default=DEFAULTS.data,
    shell_complete=completion.offer(completion.data),
    help="Restore these images: folder:PATH, npz:PATH, a data set, or a module:attribute of your own.",
)
reference_statistics = what(
    "--reference-statistics",
    type=FILE,
    default=DEFAULTS.reference_statistics,
    metavar="FILE.npz",
    help="Compare generated images with the mean and covariance in this file (see coldbench statistics).",
)
transform = what(
    "--transform",
    type=TransformName(),
    default=DEFAULTS.transform,
    metavar="NAME",
    help="Resize and crop images in this way (coldbench list transforms).  [default: that of the row, or native]",
)
settings = set_in(what)
seed = what(
    "--seed",
    type=click.IntRange(min=0),
    default=DEFAULTS.seed,
    show_default=True,
    help="Draw everything that is random from this seed.",
)
protocol = what(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default=DEFAULTS.protocol,
    show_default=True,
    help="Follow the algorithms as the paper prints them, or the released code with its quirks.",
)
random_weights = what(
    "--allow-random-weights",
    is_flag=True,
    help="Use random weights where a checkpoint has none, to try out everything but the network.",
)
degradation = what(
    "--degradation",
    metavar="NAME",
    shell_complete=completion.offer(completion.degradations, completion.models),
    help="Undo this degradation: a family, a model's, or a module:attribute of yours.  [default: the restorer's own]",
)
prediction = what(
    "--prediction",
    type=click.Choice(PREDICTIONS),
    default=DEFAULTS.prediction,
    help="Say what a model from elsewhere predicts.  [default: what its folder says, or x0]",
)


def methods(default: str) -> Callable[[Command], Command]:
    """--methods, the same everywhere but for what it is without."""
    return what(
        "--methods",
        type=METHOD_NAMES,
        default=DEFAULTS.methods,
        metavar="NAMES",
        help=f"Use these samplers, or a module:attribute of your own.  [default: {default}]",
    )


def images(default: str, least: int = 2) -> Callable[[Command], Command]:
    """--images, the same everywhere but for what it is without, and how few will do; measuring takes two."""
    shown = f"Use this many images.  [default: {default}]"
    return what("--images", type=click.IntRange(min=least), default=DEFAULTS.images, help=shown)


def channels(default: str) -> Callable[[Command], Command]:
    """--channels, the same everywhere but for what it is without."""
    return what(
        "--channels", type=click.Choice([1, 3]), help=f"Read images with this many channels.  [default: {default}]"
    )


def output(default: Path, what: str) -> Callable[[Command], Command]:
    """--output, the same everywhere but for where and what."""
    return told("--output", type=FILE, default=default, show_default=True, help=f"Write {what} to this folder.")


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
