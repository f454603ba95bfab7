"""The commands on models and data: train, import, fetch, list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from coldbench.cli import completion, options
from coldbench.cli.parameters import SectionCommand, Setting, as_dict
from coldbench.cli.printing import print_text
from coldbench.commands.request import Request
from coldbench.core.interrupts import resumable


@click.command("list", cls=SectionCommand)
@click.argument("what", required=False, metavar="[WHAT]")
@options.data_root
def list_(what: str | None, data_root: Path | None) -> None:
    """List what can be named, what is at hand, and what supplies the rest.

    \b
    WHAT is one of: tables, models, datasets, degradations, samplers, metrics, features, networks, transforms,
    restorers (plug-ins), cache (features that were kept). Without it, all are listed.

    \b
    Examples:
      coldbench list
      coldbench list degradations     each family with its settings, for --set
    """
    from coldbench.commands.listing import KINDS, listing
    from coldbench.core.registry import did_you_mean

    if what is not None and what not in KINDS:
        raise click.BadParameter(f"'{what}' cannot be listed{did_you_mean(what, KINDS)}", param_hint="WHAT")
    print_text(listing(what, Request(data_root=data_root)))


@click.command(cls=SectionCommand)
@click.argument("name", shell_complete=completion.offer(completion.models))
@click.option(
    "--preset",
    metavar="NAME",
    shell_complete=completion.offer(completion.presets),
    help="Another recipe of the same checkpoint, e.g. quick.",
)
@click.option(
    "--data",
    multiple=True,
    metavar="SPEC",
    shell_complete=completion.offer(completion.data),
    help="Other training images, as in run; several are joined.",
)
@click.option(
    "--set",
    "settings",
    type=Setting(),
    multiple=True,
    callback=as_dict,
    metavar="KEY=VALUE",
    help="Override a value of the recipe, e.g. steps=5000.",
)
@click.option(
    "--from",
    "start",
    type=options.FILE,
    metavar="WEIGHTS",
    help="Begin from the weights in this .safetensors file, as the next stage of their training.",
)
@click.option(
    "--held-out",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Do not train on the last N images; draw the curve of the loss on them.",
)
@click.option("--half", is_flag=True, help="Store the weights in half precision.")
@options.data_root
@options.workers
@options.device
@options.output(Path("runs"), "a folder NAME, NAME-PRESET or NAME-stage-2")
@click.option(
    "--compile/--no-compile",
    "compile_network",
    default=None,
    help="Fuse the network.  [default: where there is a compiler]",
)
@click.option(
    "--grid-every",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    metavar="STEPS",
    help="The steps between two pictures.",
)
@options.quiet
def train(name: str, **asked: Any) -> None:
    """Train the checkpoint NAME by the recipe of its registry entry.

    \b
    Examples:
      coldbench fetch mnist && coldbench train mnist-blur
      coldbench train mnist-cnn --data-root data --output runs
      coldbench train cifar10-blur                                  the paper's recipe: days on a GPU
      coldbench train cifar10-blur --preset quick                   a small network, 2,000 steps
      coldbench train cifar10-blur --data folder:cifar_jpeg --data npz:cifar_true.npz
      coldbench train mnist-blur --set steps=20000 --held-out 500
      coldbench train mnist-blur --from runs/mnist-blur/mnist-blur.safetensors
      torchrun --standalone --nproc-per-node 2 -m coldbench train mnist-blur      two processes, two GPUs

    A stopped run is resumed when the same command is given again (mnist-cnn, a classifier that takes minutes on any
    CPU, starts anew). The result is a .safetensors file and a model card in OUTPUT/NAME, registered under NAME in
    $COLDBENCH_HOME/models/registry.toml. With --from, training continues from these weights with a recipe and a
    learning-rate schedule of its own, on draws of its own; the file and the card tell of all stages. Processes that
    torchrun starts share every batch of the recipe among them, and any number of them resumes.
    """
    from coldbench.commands.train import TrainRequest, train_checkpoint

    with resumable():
        told = train_checkpoint(TrainRequest(name=name, **asked))
    print_text(told)


@click.command("import", cls=SectionCommand)
@click.argument("path", type=options.FILE)
@click.option("--as", "name", required=True, metavar="NAME", help="The name to register it under.")
@click.option(
    "--like",
    metavar="MODEL",
    shell_complete=completion.offer(completion.models),
    help="A registered model with its data set and degradation.  [default: NAME]",
)
@options.settings
@click.option(
    "--weights-key",
    metavar="KEY",
    help="The key in the file of the state dict to take, e.g. model; dots lead deeper, and . is the file itself. Of a "
    ".safetensors file, how the names of its tensors begin.  [default: ema]",
)
@click.option("--force", is_flag=True, help="Take the place of weights that are called NAME already.")
def import_(path: Path, **asked: Any) -> None:
    """Import a checkpoint of the released code (model.pt), or a state dict of such a network.

    \b
    Examples:
      coldbench import model.pt --as celeba-blur                      fills the row of Table 1
      coldbench import model.pt --as my-celeba-blur --like celeba-blur
      coldbench import model.pt --as my-snow --like cifar10-snow --set timesteps=20 --set level=2
      coldbench import model.pt --as my-celeba-blur --like celeba-blur --weights-key model --force

    The averaged network (EMA) is taken, unless --weights-key names another state dict. Its widths, levels and channels
    are read off its parameters, T, kernels and noise schedule off the file's buffers where it has them; the rest of the
    degradation is MODEL's. Buffers that are not coldbench's, or not what --set says, are refused. Code in the file is
    never run. Weights and entry go to $COLDBENCH_HOME/models.
    """
    from coldbench.commands.import_ import ImportRequest, import_checkpoint

    print_text(import_checkpoint(ImportRequest(path, **asked)))


@click.command(cls=SectionCommand)
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME...", shell_complete=completion.offer(completion.fetched)
)
@options.data_root
@options.quiet
def fetch(names: tuple[str, ...], data_root: Path | None, quiet: bool) -> None:
    """Download data sets, feature weights and models of the hub; no other command downloads.

    NAME is a data set (mnist, cifar10), the weights of the paper's FID (inception), of LPIPS (lpips), or of another
    feature space, by its name (coldbench list features); or a model of the Hugging Face hub, which evaluate and compare
    then take by that name: hub:OWNER/NAME, a UNet of diffusers', or hub:OWNER/NAME:FILE, a file of weights. For celeba
    and afhq, whose licences must be agreed to by hand, it says how to get them. An interrupted download is resumed when
    the same command is given again; every file is checked.

    \b
    Examples:
      coldbench fetch mnist inception
      coldbench fetch dinov2-vit-s-14
      coldbench fetch hub:google/ddpm-cifar10-32
    """
    from coldbench.commands.fetch import fetch as supply

    for told in supply(names, Request(data_root=data_root, quiet=quiet)):
        print_text(told)
