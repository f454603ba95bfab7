"""Training: min over theta of E || R_theta(D(x, t), t) - x ||_1, Equation 1 of the paper, or the squared error instead.

A run depends on its recipe alone: batches and severities are drawn from generators keyed by (seed, purpose, number),
so a run that was killed and resumed sees the same images as one that was not, and several processes see those that one
would see.
"""

from __future__ import annotations

import io
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from coldbench.core.errors import BadInput
from coldbench.core.interrupts import interrupts_deferred
from coldbench.core.paths import exists
from coldbench.core.processes import is_first, only_first, rank, share, size, total
from coldbench.core.randomness import image_rng, normal_images, training_seed
from coldbench.core.weights import fill, write_state
from coldbench.data.decoding import Pixels
from coldbench.data.transforms import to_model_range
from coldbench.diffusion.building import build_degradation, build_network
from coldbench.diffusion.catalog import Entry
from coldbench.diffusion.cuda_graphs import graphed_for_training
from coldbench.diffusion.degradations.base import Degradation, truncate_to_8_bit
from coldbench.diffusion.parallel import (
    Forward,
    anyone,
    as_called,
    check_parts,
    gradients_of,
    mean_of_all,
    own_part,
    own_purpose,
    own_weight,
)
from coldbench.diffusion.recipe import Recipe
from coldbench.diffusion.stages import Start

#: How often in a run its losses are noted down.
CURVE_POINTS = 25
#: Where the draws of held-out images begin: beyond those of any training step.
_HELD_OUT = 1 << 62


@dataclass
class Progress:
    """Where a run stands: handed to ``watch`` after every step.

    Attributes:
        step: steps done.
        loss: mean of the last hundred steps.
        seconds: wall time of the steps.
        cpu_seconds: what they took of all cores together.
        model: the averaged network.
        curve: (step, loss, held-out loss) now and then, where images were held out.
    """

    step: int
    loss: float
    seconds: float
    cpu_seconds: float
    model: nn.Module = field(repr=False)
    curve: list[tuple[int, float, float]] = field(repr=False)


def train(
    entry: Entry,
    images: Pixels,
    state_file: Path,
    *,
    device: torch.device,
    compile_network: bool,
    watch: Callable[[Progress], None],
    begin: Callable[[int], object] = lambda step: None,
    start: Start | None = None,
    held_out: int = 0,
    save_every: float = 180.0,
) -> Progress:
    """Train ``entry``'s network; go on from ``state_file`` if a run of the same recipe was stopped there.

    The processes of a group train together, and the first of them writes: a state that any number of processes can go
    on from.

    Args:
        entry: network, degradation and recipe.
        images: training images, with the recipe's augmentation.
        state_file: everything a resumed run needs, rewritten as it goes.
        device: where to train.
        compile_network: fuse the network with torch.compile; needs a C++ compiler on a CPU.
        watch: called after each step with the averaged network.
        begin: called before the first step, with the number of those that were done before.
        start: what the network begins from; random weights unless given.
        held_out: so many images, the last ones, are not trained on; the averaged network's loss on them is noted.
        save_every: seconds between two writes of the state; Ctrl-C and SIGTERM write it too, at the end of the step,
            and so does what ends the run, the death of another process for one.

    Returns:
        The end of the run, with the averaged network and the mean loss of its last hundred steps.

    Raises:
        BadInput: the state is of another recipe, or corrupt; the weights to start from do not fit; a batch has fewer
            images than there are processes.
    """
    run = Run(entry, images, device, start, held_out)
    run.load(state_file)
    begin(run.step)
    forward = run.forward(compile_network=compile_network)
    with interrupts_deferred("step") as interrupted, run.kept(state_file):
        saved = time.monotonic()
        for batch in run.remaining_batches():
            run.update(forward, batch)
            run.note_losses()
            watch(run.progress())
            stop = anyone(interrupted())
            if run.step == run.recipe.steps or stop or time.monotonic() - saved > save_every:
                run.save(state_file)
                saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt
    return run.progress()


def _content(path: Path) -> bytes | None:
    """Of a state; None where there is none."""
    try:
        return path.read_bytes() if exists(path) else None
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile pays, and has what it needs: on a CPU, with a C++ compiler.

    On a GPU, CUDA graphs take a small network's launches away within seconds (see ``Run.forward``).
    """
    return device.type == "cpu" and any(shutil.which(name) for name in ("g++", "c++", "clang++"))


class Run:
    """A training run, step by step: the network, its average, the optimiser and the count of steps done.

    Args:
        entry, images, device, start, held_out: see ``train``.

    Raises:
        BadInput: a recipe, degradation, network or weights that do not fit; fewer images a batch than processes.
    """

    def __init__(
        self, entry: Entry, images: Pixels, device: torch.device, start: Start | None = None, held_out: int = 0
    ) -> None:
        self.entry, self.recipe, self.device, self.data = entry, Recipe.of(entry), device, images.source.digest
        check_parts(self.recipe.batch_size)
        self.degradation: Degradation = build_degradation(entry.degradation, entry.name).to(device)
        self.start, self.held_out = start, held_out
        self.seed = training_seed(self.recipe.seed, stage=start.stage if start else 0)
        torch.manual_seed(self.seed)
        network = build_network(entry.network, entry.name)
        if start:
            fill(network, start.weights, start.path)
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(self.recipe.ema))
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=self.recipe.lr, fused=True)
        self.images = replace(images, count=max(0, images.count - held_out))
        self.step, self.seconds, self.cpu_seconds, self.losses = 0, 0.0, 0.0, [math.nan]
        self.curve: list[tuple[int, float, float]] = []
        self._unsaved = False  # whether a step is done, whole, that no state holds
        self._check_alike()

    def forward(self, *, compile_network: bool) -> Forward:
        """What a step calls: the network, fused, or on a GPU that trains alone in float32, as CUDA graphs.

        Not where gradients are accumulated: they would be added up in a graph's own memory, which the next call writes.

        Args:
            compile_network: fuse it with torch.compile.
        """
        alone = size() == 1 and self.recipe.accumulate == 1
        if self.device.type == "cpu" or compile_network or not alone or self.recipe.dtype != "float32":
            return as_called(self.network, compile_network=compile_network)
        shape = self.recipe.batch_size, self.images.channels, *[self.degradation.image_size] * 2
        x = torch.zeros(shape, device=self.device).contiguous(memory_format=torch.channels_last)
        return graphed_for_training(self.network, x, torch.zeros(shape[0], dtype=torch.int64, device=self.device))

    def remaining_batches(self) -> Iterator[np.ndarray]:
        """Image indices of every step still to do: each epoch a new permutation, its ragged end left out."""
        per_epoch = self.images.count // self.recipe.images
        if per_epoch == 0:
            raise BadInput(f"{self.images.count} images are fewer than a step's {self.recipe.images}")
        epoch, order = -1, np.arange(0)
        while self.step < self.recipe.steps:
            if self.step // per_epoch != epoch:
                epoch = self.step // per_epoch
                order = image_rng(self.seed, "epoch", epoch).permutation(self.images.count)
            start = self.step % per_epoch * self.recipe.images
            yield order[start : start + self.recipe.images]

    def update(self, forward: Forward, batch: np.ndarray) -> None:
        """One optimiser step on Eq. 1; t is uniform on 0..T-1, and the network sees D(x, t+1) with index t."""
        started, cpu_started = time.monotonic(), time.process_time()
        self._set_learning_rate()
        # Dropout draws from torch's own generator: a resumed run must find it as an undisturbed one does.
        torch.manual_seed(int(image_rng(self.seed, own_purpose("dropout"), self.step).integers(2**63)))
        loss = self._learn(forward, batch)
        self._unsaved = False
        self.optimizer.step()
        self._average()
        self.losses = [*self.losses[-99:], loss]
        self.step += 1
        self._unsaved = True
        self.seconds += time.monotonic() - started
        self.cpu_seconds += size() * (time.process_time() - cpu_started)  # all have as much to do

    def _learn(self, forward: Forward, batch: np.ndarray) -> float:
        """Gradients of a step, over all its images, and the loss."""
        rng = image_rng(self.seed, "severity", self.step)
        t = torch.from_numpy(rng.integers(0, self.degradation.timesteps, len(batch)))
        # A fresh draw each step: the step's images are keyed by their position in the whole run.
        positions, images = range(self.step * len(batch), (self.step + 1) * len(batch)), self.recipe.batch_size
        part, weight = own_part(images), own_weight(images)
        self.optimizer.zero_grad()
        losses = []
        for start in range(0, len(batch), images):
            own = slice(start + part.start, start + part.stop)
            with gradients_of(forward, self.network, complete=start + images == len(batch)):
                loss = weight * self._loss(forward, batch[own], t[own].to(self.device), positions[own])
                (loss / self.recipe.accumulate).backward()
            losses.append(loss.item())
        return mean_of_all(float(np.mean(losses)))

    def note_losses(self) -> None:
        """Add a point to the curve, if it is time for one."""
        due = self.step % max(1, self.recipe.steps // CURVE_POINTS) == 0 or self.step == self.recipe.steps
        if self.held_out and due:
            self.curve.append((self.step, float(np.nanmean(self.losses)), self.held_out_loss()))

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Eq. 1 of the averaged network on the held-out images: each at one severity, with the same draws each time."""
        network, step, loss = self.average.module.eval(), self.recipe.batch_size, 0.0
        own = own_part(self.held_out)
        for first in range(own.start, own.stop, step):
            batch = np.arange(first, min(first + step, own.stop))
            t = torch.from_numpy(batch % self.degradation.timesteps).to(self.device)
            positions = range(_HELD_OUT + first, _HELD_OUT + first + len(batch))
            loss += len(batch) * self._loss(network, self.images.count + batch, t, positions).item()
        return total([loss])[0] / self.held_out

    def _loss(self, forward: Forward, batch: np.ndarray, t: Tensor, positions: range) -> Tensor:
        """Eq. 1 on one batch."""
        x0 = to_model_range(self.images.batch(batch.tolist(), seed=self.seed, keys=positions).to(self.device))
        context = self.degradation.draw(positions, self.seed)
        context = context if context is None else context.to(self.device)
        x_t = self.degradation.observe(self.degradation(x0, t + 1, context))
        if self.recipe.eight_bit:
            x_t = truncate_to_8_bit(x_t)
        if self.recipe.noise:
            noise = normal_images(positions, self.seed, "input-noise", x_t.shape[1:])
            x_t = x_t + self.recipe.noise * noise.to(self.device)
        error = self._predict(forward, x_t, t) - x0
        return error.abs().mean() if self.recipe.loss == "l1" else error.square().mean()

    def _average(self) -> None:
        """Take the network into its average, as the recipe says (PROTOCOL 4)."""
        if self.step % self.recipe.ema_every:
            return
        if self.step < self.recipe.ema_start:
            self.average.n_averaged.zero_()  # the first update is a copy
        self.average.update_parameters(self.network)

    def progress(self) -> Progress:
        loss = float(np.nanmean(self.losses))
        return Progress(self.step, loss, self.seconds, self.cpu_seconds, self.average.module, self.curve)

    @contextmanager
    def kept(self, path: Path) -> Iterator[None]:
        """Let what ends the run, memory that is not enough or the death of another process, lose no step.

        The second process writes the same as the first, in case it is the first that has died.
        """
        try:
            yield
        except RuntimeError:
            if self._unsaved and rank() < 2:
                self._write(path)
            raise

    @only_first
    def save(self, path: Path) -> None:
        """Everything a resumed run needs, written atomically by the first process."""
        self._write(path)
        self._unsaved = False

    def _write(self, path: Path) -> None:
        state = {
            "identity": self._identity(),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "losses": self.losses,
            "curve": self.curve,
        }
        write_state(state, path)

    def load(self, path: Path) -> None:
        """Take up the state at ``path``, if the first process finds one there."""
        content = share(_content(path) if is_first() else None)
        if content is None:
            return
        try:
            state = torch.load(io.BytesIO(content), weights_only=True, map_location=self.device)
            identity = state["identity"]
        except Exception as error:  # a damaged pickle or archive fails in many ways
            raise BadInput(f"{path} is damaged; delete it to start afresh") from error
        if identity != self._identity():
            raise BadInput(
                f"{path} belongs to another recipe or data set of {self.entry.name}; delete it to start afresh"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.losses = state["step"], state["seconds"], state["losses"]
        # States of earlier versions have neither.
        self.cpu_seconds, self.curve = state.get("cpu_seconds", 0.0), state.get("curve", [])

    def _check_alike(self) -> None:
        """Whether all processes train the same network on the same images; they may be on several machines.

        Raises:
            BadInput: this one does not do as the first does.
        """
        if share(self._identity()) != self._identity():
            raise BadInput(f"process {rank()} has another recipe or data set of {self.entry.name} than the first")

    def _identity(self) -> dict[str, Any]:
        entry = self.entry
        recipe = {"network": entry.network, "degradation": entry.degradation, "training": entry.training}
        origin = {"start": self.start.sha256} if self.start else {}
        held_out = {"held_out": self.held_out} if self.held_out else {}
        return {**recipe, "data": self.data, **origin, **held_out}

    def _set_learning_rate(self) -> None:
        if self.recipe.schedule == "constant":
            return
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * 0.5 * (1 + math.cos(math.pi * self.step / self.recipe.steps))

    def _predict(self, forward: Forward, x_t: Tensor, t: Tensor) -> Tensor:
        reduced = self.recipe.dtype != "float32"
        with torch.autocast(self.device.type, getattr(torch, self.recipe.dtype), enabled=reduced):
            return forward(x_t.contiguous(memory_format=torch.channels_last), t).float()
