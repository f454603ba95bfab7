"""The commands on models and data: train, import, fetch, list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from coldbench.cli import completion, options
from coldbench.cli.parameters import SectionCommand, Setting, as_dict, set_in
from coldbench.cli.printing import print_text
from coldbench.commands.request import Request
from coldbench.core.interrupts import resumable


@click.command("list", cls=SectionCommand)
@click.argument("what", required=False, metavar="[WHAT]")
@options.data_root
def list_(what: str | None, data_root: Path | None) -> None:
    """List what can be measured, and what is missing for it.

    \b
    WHAT is one of tables, models, datasets, degradations, samplers, metrics,
    features, networks, transforms, restorers (plug-ins) and cache (features that
    were kept). Everything is listed if it is left out.

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
    help="Train by another recipe of the same model, such as quick.",
)
@click.option(
    "--data",
    multiple=True,
    metavar="SPEC",
    shell_complete=completion.offer(completion.data),
    help="Train on these images, named as run takes them. The option may be repeated to join several sets.",
)
@click.option(
    "--set",
    "settings",
    type=Setting(),
    multiple=True,
    callback=as_dict,
    metavar="KEY=VALUE",
    help="Change a value of the recipe, such as steps=5000. The option may be repeated.",
)
@click.option(
    "--from",
    "start",
    type=options.FILE,
    metavar="WEIGHTS",
    help="Begin with the weights in this .safetensors file, as the next stage of their training.",
)
@click.option(
    "--held-out",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Keep the last N images out of training, and draw the curve of the loss on them.",
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
    help="Compile the network to train faster.  [default: if there is a compiler]",
)
@click.option(
    "--grid-every",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    metavar="STEPS",
    help="Draw a picture every so many steps.",
)
@options.quiet
def train(name: str, **asked: Any) -> None:
    """Train a registered model by its own recipe.

    \b
    Examples:
      coldbench fetch mnist && coldbench train mnist-blur
      coldbench train mnist-cnn --data-root data --output runs
      coldbench train cifar10-blur                 the paper's recipe
      coldbench train cifar10-blur --preset quick  a small network, 2,000 steps
      coldbench train cifar10-blur --data folder:cifar_jpeg \\
          --data npz:cifar_true.npz
      coldbench train mnist-blur --set steps=20000 --held-out 500
      coldbench train mnist-blur --from runs/mnist-blur/mnist-blur.safetensors
      torchrun --standalone --nproc-per-node 2 -m coldbench train mnist-blur

    A run that was stopped goes on when the same command is given again. (Only mnist-cnn, a classifier that takes
    minutes on any CPU, starts anew.) The result is a .safetensors file and a model card in OUTPUT/NAME, registered as
    NAME in $COLDBENCH_HOME/models/registry.toml. With --from, training continues from these weights with a recipe, a
    learning-rate schedule and random draws of its own; the file and the card tell of all stages. Processes that
    torchrun starts, one for each GPU, share every batch of the recipe among them, and any number of them can go on with
    a run.
    """
    from coldbench.commands.train import TrainRequest, train_checkpoint

    with resumable():
        told = train_checkpoint(TrainRequest(name=name, **asked))
    print_text(told)


@click.command("import", cls=SectionCommand)
@click.argument("path", type=options.FILE)
@click.option("--as", "name", required=True, metavar="NAME", help="Register the model under this name.")
@click.option(
    "--like",
    metavar="MODEL",
    shell_complete=completion.offer(completion.models),
    help="Take the data set and the degradation of this registered model.  [default: NAME]",
)
@set_in(click.option)
@click.option(
    "--weights-key",
    metavar="KEY",
    help="Take the state dict under this key of the file, such as model; dots lead deeper, and . is the file itself. "
    "In a .safetensors file, take the tensors whose names begin with it.  [default: ema]",
)
@click.option("--force", is_flag=True, help="Replace weights that are already called NAME.")
def import_(path: Path, **asked: Any) -> None:
    """Import a checkpoint of the released code.

    PATH is the file model.pt that the released code writes, or a file with the state dict of such a network.

    \b
    Examples:
      coldbench import model.pt --as celeba-blur      fills the row of Table 1
      coldbench import model.pt --as my-celeba-blur --like celeba-blur
      coldbench import model.pt --as my-snow --like cifar10-snow \\
          --set timesteps=20 --set level=2
      coldbench import model.pt --as my-celeba-blur --like celeba-blur \\
          --weights-key model --force

    The averaged network (EMA) is imported unless --weights-key names another state dict. Its widths, levels and
    channels are read from its parameters. T, the kernels and the noise schedule are read from the buffers of the file
    where it has them, and the rest of the degradation is that of MODEL. Buffers that differ from coldbench's own, or
    from what --set says, are refused. Code in the file is never run. The weights and their entry go to
    $COLDBENCH_HOME/models.
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
    """Download data sets, feature weights and models.

    No other command downloads anything. NAME is a data set (mnist, cifar10), the weights of the paper's FID (inception)
    or of LPIPS (lpips), another feature space by its name (coldbench list features), or a model of the Hugging Face
    hub: hub:OWNER/NAME for a UNet of the diffusers library, or hub:OWNER/NAME:FILE for a file of weights. The commands
    evaluate and compare then take the model by that name.

    The licences of celeba and afhq must be agreed to by hand, so for these the command says how to get them. A download
    that was interrupted goes on when the same command is given again, and every file is checked.

    \b
    Examples:
      coldbench fetch mnist inception
      coldbench fetch dinov2-vit-s-14
      coldbench fetch hub:google/ddpm-cifar10-32
    """
    from coldbench.commands.fetch import fetch as supply

    for told in supply(names, Request(data_root=data_root, quiet=quiet)):
        print_text(told)
