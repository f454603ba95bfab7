"""``coldbench train``: recipe in, weights and model card out."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from coldbench.commands.listing import listed
from coldbench.commands.plan import progress_bar
from coldbench.core.devices import choose_device, device_name
from coldbench.core.errors import BadInput
from coldbench.core.files import write_text
from coldbench.core.randomness import training_seed
from coldbench.data.cache import ImageStore
from coldbench.data.decoding import Pixels
from coldbench.data.sources import joined
from coldbench.data.transforms import to_model_range
from coldbench.diffusion.catalog import Entry, find_recipe, register_weights, user_registry
from coldbench.diffusion.checkpoints import Restorer, build_degradation, save_weights
from coldbench.diffusion.sampling import improved_step, sample
from coldbench.diffusion.starts import fit_channel_means
from coldbench.diffusion.training import Progress, Recipe, can_compile, train
from coldbench.evaluation.restoration import to_unit
from coldbench.metrics.classifier import train_classifier
from coldbench.records.formats import GALLERY, save_picture


@dataclass(frozen=True)
class TrainOptions:
    """A request to train; see ``coldbench train --help``."""

    name: str
    data_root: Path
    preset: str | None = None
    data: tuple[str, ...] = ()
    workers: int | None = None
    output: Path = Path("runs")
    device: str = "auto"
    compile_network: bool | None = None
    grid_every: int = 500
    quiet: bool = False


def train_checkpoint(options: TrainOptions) -> str:
    """Train, save, write the model card, register; returns what to tell the user.

    Raises:
        BadInput: unknown name or preset, bad recipe, a state file of another recipe, an unwritable folder.
        Missing: the training images are absent.
    """
    entry = find_recipe(options.name, options.preset)
    folder = options.output / "-".join(filter(None, [entry.name, options.preset]))
    write_text(folder / ".gitignore", "state.pt\n")
    if entry.degradation:
        entry, network, facts = _train_restorer(entry, options, folder)
    else:
        if options.data:
            raise BadInput(f"{entry.name} learns the digits of MNIST: it takes no --data")
        network, facts = _train_classifier(entry, options)
    weights = folder / f"{entry.name}.safetensors"
    sha256 = save_weights(network, weights)
    write_text(folder / "model-card.md", model_card(entry, facts, sha256))
    register_weights(entry, weights, sha256)
    return f"{weights}\nsha256 {sha256}\n{entry.name} now means these weights, by {user_registry()}"


def model_card(entry: Entry, facts: dict[str, str], sha256: str) -> str:
    """Markdown: what the checkpoint is and how it was made."""
    settings = {
        "Data": entry.dataset,
        "Network": listed(entry.network),
        "Degradation": listed(entry.degradation),
        "Start": listed(entry.start),
        "Recipe": listed(entry.training),
        **facts,
        "sha256": f"`{sha256}`",
    }
    lines = "".join(f"| {key} | {value} |\n" for key, value in settings.items() if value)
    return f"## {entry.name}\n\n| | |\n|---|---|\n{lines}"


def _train_restorer(entry: Entry, options: TrainOptions, folder: Path) -> tuple[Entry, torch.nn.Module, dict[str, str]]:
    """The entry with what was fitted, the trained network, and what the model card says of them."""
    device = choose_device(options.device)
    recipe = Recipe.of(entry)
    store = ImageStore(options.data_root, workers=options.workers, progress=partial(progress_bar, quiet=options.quiet))
    source = joined([store.source(spec, train=True) for spec in options.data or (entry.dataset,)])
    size = {"image_size": build_degradation(entry).image_size, "channels": entry.channels}
    images = store.pixels(source, transform=recipe.augmentation, **size)
    compiled = can_compile(device) if options.compile_network is None else options.compile_network
    with tqdm(total=recipe.steps, desc=entry.name, unit="step", disable=options.quiet) as bar:

        def watch(progress: Progress) -> None:
            # A resumed run starts the bar where it was; set, do not add.
            bar.update(progress.step - bar.n)
            bar.set_postfix_str(f"loss {progress.loss:.4f}", refresh=False)
            if progress.step % options.grid_every == 0:
                _draw_grid(entry, images, progress, folder / "samples" / f"step-{progress.step:06d}.png", device)

        end = train(entry, images, folder / "state.pt", device=device, compile_network=compiled, watch=watch)
    if entry.start.get("name") == "channel-means":
        start = {"name": "channel-means", **fit_channel_means(store.pixels(source, transform=entry.transform, **size))}
        entry = replace(entry, start=start)
    return (
        entry,
        end.model,
        {
            "Trained on": f"{source.name}, {source.count:,} images, digest {source.digest[:12]}",
            "Steps run": f"{end.step:,} of {recipe.images} images",
            "Training time": f"{end.seconds / 3600:.2f} hours",
            "Machine": _machine(device),
            "Final loss": f"{end.loss:.4f} ({recipe.loss}, mean of the last 100 steps)",
        },
    )


def _train_classifier(entry: Entry, options: TrainOptions) -> tuple[torch.nn.Module, dict[str, str]]:
    with tqdm(total=entry.training["steps"], desc=entry.name, unit="step", disable=options.quiet) as bar:

        def watch(step: int, loss: float) -> None:
            bar.update(step - bar.n)
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)

        run = train_classifier(entry, options.data_root, watch)
    return run.network, {
        "Training time": f"{run.seconds / 3600:.2f} hours",
        "Final loss": f"{run.loss:.4f} (cross-entropy, mean of the last 100 steps)",
        "Test accuracy": f"{run.test_accuracy:.2%} of 10,000 images",
        "Machine": _machine(torch.device("cpu")),
    }


@torch.inference_mode()
def _draw_grid(entry: Entry, images: Pixels, progress: Progress, path: Path, device: torch.device) -> None:
    """Original, degraded, direct and sampled, for the eye."""
    degradation = build_degradation(entry).to(device)
    shown = range(min(GALLERY, images.count))
    x0 = to_model_range(images.batch(shown)).to(device)
    context = degradation.draw(shown, training_seed(Recipe.of(entry).seed))
    context = context if context is None else context.to(device)
    x_T = degradation.observe(degradation(x0, degradation.timesteps, context))
    restored = sample(Restorer(progress.model, device), degradation, x_T, context, improved_step)
    rows = {"original": x0, "degraded": x_T, "direct": restored.direct, "sampled": restored.sampled}
    save_picture({label: to_unit(batch).cpu() for label, batch in rows.items()}, path)


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return device_name(device)
    return f"CPU ({platform.machine()}), {torch.get_num_threads()} threads"
