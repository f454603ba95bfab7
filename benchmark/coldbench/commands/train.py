"""``coldbench train``: recipe in, weights and model card out."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from coldbench.commands.listing import listed
from coldbench.commands.request import DEFAULTS
from coldbench.core.devices import choose_device, device_name
from coldbench.core.errors import BadInput
from coldbench.core.files import write_text
from coldbench.core.paths import data_folder, writable_home
from coldbench.core.processes import check_alone, is_first, only_first, size
from coldbench.core.progress import progress_bar, tell
from coldbench.core.randomness import training_seed
from coldbench.core.weights import save_weights
from coldbench.data.cache import ImageStore
from coldbench.data.decoding import Pixels
from coldbench.data.sources import joined
from coldbench.data.transforms import to_model_range
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.catalog import Entry, find_recipe, register, user_registry
from coldbench.diffusion.checkpoints import Restorer
from coldbench.diffusion.generators import fit_channel_means
from coldbench.diffusion.recipe import Recipe
from coldbench.diffusion.sampling import improved_step, sample
from coldbench.diffusion.stages import Stage, Start, as_metadata, curve_picture, read_start
from coldbench.diffusion.training import Progress, can_compile, train
from coldbench.evaluation.loop import to_unit
from coldbench.metrics import digits
from coldbench.metrics.classifier import RECIPE, train_classifier
from coldbench.records.pictures import GALLERY, save_picture


@dataclass(frozen=True)
class TrainRequest:
    """What to train, and how; see ``coldbench train --help``.

    Attributes:
        name: of the checkpoint.
        preset: another recipe of it.
        settings: values of the recipe in the place of the registry's.
        start: weights that training begins from.
        held_out: so many images, the last ones, are not trained on.
        half: whether the weights are stored in half precision.
        data: other training images; several are joined.
        data_root, workers, device, quiet: see ``coldbench.commands.request.Request``.
        output: the folder that receives the folder of this run.
        compile_network: whether to fuse the network; where there is a compiler unless given.
        grid_every: steps between two pictures.
    """

    name: str
    preset: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    start: Path | None = None
    held_out: int = 0
    half: bool = False
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
        return data_folder(self.data_root)


def train_checkpoint(request: TrainRequest) -> str:
    """Train, save, write the model card, register; returns what to tell the user, which the first process alone knows.

    Raises:
        BadInput: unknown name or preset, bad recipe, a state file of another recipe, an unwritable folder, weights that
            a run cannot go on from, more processes than there can be.
        Missing: the training images are absent.
    """
    if request.name == digits.NAME:
        return _train_classifier(request)
    writable_home()  # where the weights are registered at the end of what may take days
    entry = find_recipe(request.name, request.preset)
    entry = replace(entry, training=entry.training | dict(request.settings))
    start = read_start(request.start) if request.start else None
    stage = f"stage-{start.stage + 1}" if start else None
    folder = request.output / "-".join(filter(None, [entry.name, request.preset, stage]))
    if is_first():
        write_text(folder / ".gitignore", "state.pt\n")
    entry, network, stages = _train_restorer(entry, request, start, folder)
    return _published(entry, network, stages, folder, half=request.half) if is_first() else ""


def _published(entry: Entry, network: torch.nn.Module, stages: Sequence[Stage], folder: Path, *, half: bool) -> str:
    """What to tell the user of a checkpoint that has just been written and registered."""
    weights = folder / f"{entry.name}.safetensors"
    sha256 = save_weights(network, weights, half=half, metadata=as_metadata(stages))
    write_text(folder / "model-card.md", _card_of(entry, stages, sha256, half=half))
    if any(each.curve for each in stages):
        write_text(folder / "loss.svg", curve_picture(stages))
    register(entry, weights.read_bytes())
    return f"{weights}\nsha256 {sha256}\n{entry.name} now means these weights, by {user_registry()}"


def _card_of(entry: Entry, stages: Sequence[Stage], sha256: str, *, half: bool) -> str:
    """The model card of a restorer, with all the runs that made its weights."""
    facts = {
        "Data": entry.dataset,
        "Network": listed(entry.network),
        "Degradation": listed(entry.degradation),
        "Start": listed(entry.start),
        "Recipe": listed(stages[-1].training),
        **(_stage_facts(stages[-1]) if len(stages) == 1 else {}),
        "Weights": "in half precision" if half else "",
        "sha256": f"`{sha256}`",
    }
    curve = "\n![Loss against steps](loss.svg)\n" if any(stage.curve for stage in stages) else ""
    return f"{model_card(entry.name, facts)}{_stage_table(stages)}{curve}"


def model_card(name: str, facts: Mapping[str, str]) -> str:
    """Markdown: what a checkpoint is and how it was made; facts without a value are left out."""
    lines = "".join(f"| {key} | {value} |\n" for key, value in facts.items() if value)
    return f"## {name}\n\n| | |\n|---|---|\n{lines}"


def _stage_facts(stage: Stage) -> dict[str, str]:
    """A run in the words of a model card."""
    facts = {
        "Begun from": f"weights `{stage.begun_from}`" if stage.begun_from else "",
        "Trained on": stage.data,
        "Steps run": f"{stage.steps:,} of {stage.images} images",
        "Training time": f"{stage.hours:.2f} hours, {stage.cpu_hours:.2f} of processor time",
        "Machine": stage.machine,
        "Final loss": f"{stage.loss:.4f} ({stage.training.get('loss', 'l1')}, mean of the last 100 steps)",
    }
    if stage.curve:
        facts["Held-out loss"] = f"{stage.curve[-1][2]:.4f}"
    return facts


def _stage_table(stages: Sequence[Stage]) -> str:
    """All runs of a checkpoint that took several, one below the other."""
    if len(stages) < 2:
        return ""
    told = [_stage_facts(stage) | {"Recipe": listed(stage.training)} for stage in stages]
    keys = list(dict.fromkeys(key for facts in told for key in facts))
    head = f"| | {' | '.join(f'Stage {number}' for number in range(1, len(stages) + 1))} |\n"
    rows = "".join(f"| {key} | {' | '.join(facts.get(key, '') for facts in told)} |\n" for key in keys)
    return f"\n{head}|{'---|' * (len(stages) + 1)}\n{rows}"


def _train_restorer(
    entry: Entry, request: TrainRequest, start: Start | None, folder: Path
) -> tuple[Entry, torch.nn.Module, tuple[Stage, ...]]:
    """The entry with what was fitted, the trained network, and the runs that made it."""
    device = choose_device(request.device)
    recipe = Recipe.of(entry)
    store = ImageStore(request.root, workers=request.workers, progress=partial(progress_bar, quiet=request.quiet))
    source = joined([store.source(spec, train=True) for spec in request.data or (entry.dataset,)])
    size = {"image_size": build_degradation(entry.degradation, entry.name).image_size, "channels": entry.channels}
    images = store.pixels(source, transform=recipe.augmentation, **size)
    compiled = can_compile(device) if request.compile_network is None else request.compile_network
    with _StepBar(entry.name, recipe.steps, quiet=request.quiet) as bar:

        def watch(progress: Progress) -> None:
            bar.show(progress.step, progress.loss)
            if progress.step % request.grid_every == 0:
                _draw_grid(entry, images, progress, folder / "samples" / f"step-{progress.step:06d}.png", device)

        how: dict[str, Any] = {"device": device, "compile_network": compiled, "watch": watch, "begin": bar.begin}
        end = train(entry, images, folder / "state.pt", start=start, held_out=request.held_out, **how)
    if entry.start.get("name") == "channel-means" and is_first():
        means = {"name": "channel-means", **fit_channel_means(store.pixels(source, transform=entry.transform, **size))}
        entry = replace(entry, start=means)
    kept = f"{source.name}, {source.count - request.held_out:,} images, digest {source.digest[:12]}"
    stage = Stage(
        training=entry.training,
        data=f"{kept}; the last {request.held_out:,} held out" if request.held_out else kept,
        steps=end.step,
        images=recipe.images,
        hours=end.seconds / 3600,
        cpu_hours=end.cpu_seconds / 3600,
        machine=_machine(device),
        loss=end.loss,
        begun_from=start.sha256 if start else "",
        curve=end.curve,
    )
    return entry, end.model, (*(start.stages if start else ()), stage)


class _StepBar:
    """A progress bar of steps, which begins where the run does."""

    def __init__(self, name: str, steps: int, *, quiet: bool) -> None:
        self.name, self.steps, self.quiet = name, steps, quiet
        self.bar: tqdm[Any] | None = None

    def __enter__(self) -> _StepBar:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def begin(self, done: int) -> None:
        """Draw it, ``done`` steps full."""
        if done and not self.quiet:
            tell(f"{self.name} is resumed after step {done:,} of {self.steps:,}")
        self.bar = tqdm(initial=done, total=self.steps, desc=self.name, unit="step", disable=self.quiet)

    def show(self, step: int, loss: float) -> None:
        """Move it on to ``step``."""
        assert self.bar is not None
        self.bar.update(step - self.bar.n)
        self.bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)


def _train_classifier(request: TrainRequest) -> str:
    """Train the digit classifier; the feature space of its name stays that of the shipped weights."""
    check_alone(f"the training of {digits.NAME}")
    if request.data or request.preset or request.start or request.held_out or request.settings:
        raise BadInput(f"{digits.NAME} learns the digits of MNIST by one recipe, which nothing changes")
    with _StepBar(digits.NAME, RECIPE["steps"], quiet=request.quiet) as bar:
        bar.begin(0)
        run = train_classifier(request.root, bar.show)
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


@only_first
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
        machine = device_name(device)
    else:
        machine = f"CPU ({platform.machine()}), {torch.get_num_threads()} threads"
    return machine if size() == 1 else f"{size()} processes, each: {machine}"
