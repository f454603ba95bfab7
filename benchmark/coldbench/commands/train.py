"""``coldbench train``: recipe in, weights and model card out."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from coldbench.commands.listing import listed
from coldbench.commands.request import DEFAULTS
from coldbench.core.devices import choose_device, device_name
from coldbench.core.errors import BadInput
from coldbench.core.files import write_text
from coldbench.core.paths import home
from coldbench.core.progress import progress_bar
from coldbench.core.randomness import training_seed
from coldbench.core.weights import save_weights
from coldbench.data.cache import ImageStore
from coldbench.data.decoding import Pixels
from coldbench.data.sources import joined
from coldbench.data.transforms import to_model_range
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.catalog import Entry, find_recipe, register_weights, user_registry
from coldbench.diffusion.checkpoints import Restorer
from coldbench.diffusion.generators import fit_channel_means
from coldbench.diffusion.sampling import improved_step, sample
from coldbench.diffusion.training import Progress, Recipe, can_compile, train
from coldbench.evaluation.loop import to_unit
from coldbench.metrics import digits
from coldbench.metrics.classifier import RECIPE, train_classifier
from coldbench.records.pictures import GALLERY, save_picture


@dataclass(frozen=True)
class TrainRequest:
    """What to train, and how; see ``coldbench train --help``."""

    name: str
    preset: str | None = None
    data: tuple[str, ...] = ()
    data_root: Path | None = DEFAULTS.data_root
    workers: int | None = DEFAULTS.workers
    output: Path = Path("runs")
    device: str = DEFAULTS.device
    compile_network: bool | None = None
    grid_every: int = 500
    quiet: bool = DEFAULTS.quiet

    @property
    def root(self) -> Path:
        """The folder of the data sets that do not ship."""
        return self.data_root or home() / "data"


def train_checkpoint(request: TrainRequest) -> str:
    """Train, save, write the model card, register; returns what to tell the user.

    Raises:
        BadInput: unknown name or preset, bad recipe, a state file of another recipe, an unwritable folder.
        Missing: the training images are absent.
    """
    if request.name == digits.NAME:
        return _train_classifier(request)
    entry = find_recipe(request.name, request.preset)
    folder = request.output / "-".join(filter(None, [entry.name, request.preset]))
    write_text(folder / ".gitignore", "state.pt\n")
    entry, network, facts = _train_restorer(entry, request, folder)
    weights = folder / f"{entry.name}.safetensors"
    sha256 = save_weights(network, weights)
    card = {
        "Data": entry.dataset,
        "Network": listed(entry.network),
        "Degradation": listed(entry.degradation),
        "Start": listed(entry.start),
        "Recipe": listed(entry.training),
        **facts,
        "sha256": f"`{sha256}`",
    }
    write_text(folder / "model-card.md", model_card(entry.name, card))
    register_weights(entry, weights, sha256)
    return f"{weights}\nsha256 {sha256}\n{entry.name} now means these weights, by {user_registry()}"


def model_card(name: str, facts: dict[str, str]) -> str:
    """Markdown: what a checkpoint is and how it was made; facts without a value are left out."""
    lines = "".join(f"| {key} | {value} |\n" for key, value in facts.items() if value)
    return f"## {name}\n\n| | |\n|---|---|\n{lines}"


def _train_restorer(entry: Entry, request: TrainRequest, folder: Path) -> tuple[Entry, torch.nn.Module, dict[str, str]]:
    """The entry with what was fitted, the trained network, and what the model card says of them."""
    device = choose_device(request.device)
    recipe = Recipe.of(entry)
    store = ImageStore(request.root, workers=request.workers, progress=partial(progress_bar, quiet=request.quiet))
    source = joined([store.source(spec, train=True) for spec in request.data or (entry.dataset,)])
    size = {"image_size": build_degradation(entry.degradation, entry.name).image_size, "channels": entry.channels}
    images = store.pixels(source, transform=recipe.augmentation, **size)
    compiled = can_compile(device) if request.compile_network is None else request.compile_network
    with tqdm(total=recipe.steps, desc=entry.name, unit="step", disable=request.quiet) as bar:

        def watch(progress: Progress) -> None:
            # A resumed run starts the bar where it was; set, do not add.
            bar.update(progress.step - bar.n)
            bar.set_postfix_str(f"loss {progress.loss:.4f}", refresh=False)
            if progress.step % request.grid_every == 0:
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


def _train_classifier(request: TrainRequest) -> str:
    """Train the digit classifier; the feature space of its name stays that of the shipped weights."""
    if request.data or request.preset:
        raise BadInput(f"{digits.NAME} learns the digits of MNIST by one recipe: it takes no --data and no --preset")
    with tqdm(total=RECIPE["steps"], desc=digits.NAME, unit="step", disable=request.quiet) as bar:

        def watch(step: int, loss: float) -> None:
            bar.update(step - bar.n)
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)

        run = train_classifier(request.root, watch)
    folder = request.output / digits.NAME
    weights = folder / f"{digits.NAME}.safetensors"
    sha256 = save_weights(run.network, weights)
    card = {
        "Data": "mnist",
        "Recipe": listed(RECIPE),
        "Training time": f"{run.seconds / 3600:.2f} hours",
        "Final loss": f"{run.loss:.4f} (cross-entropy, mean of the last 100 steps)",
        "Test accuracy": f"{run.test_accuracy:.2%} of 10,000 images",
        "Machine": _machine(torch.device("cpu")),
        "sha256": f"`{sha256}`",
    }
    write_text(folder / "model-card.md", model_card(digits.NAME, card))
    return f"{weights}\nsha256 {sha256}\nFD[{digits.NAME}] stays that of the weights that ship, {digits.SHA256[:12]}"


@torch.inference_mode()
def _draw_grid(entry: Entry, images: Pixels, progress: Progress, path: Path, device: torch.device) -> None:
    """Original, degraded, direct and sampled, for the eye."""
    degradation = build_degradation(entry.degradation, entry.name).to(device)
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
