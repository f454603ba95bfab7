"""Training: Equation 1 is minimised, and a killed run ends as an undisturbed one."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from coldbench.core.devices import choose_device
from coldbench.core.errors import BadInput
from coldbench.core.randomness import training_seed
from coldbench.data.datasets import open_mnist
from coldbench.data.decoding import Pixels, decode
from coldbench.data.sources import array_source
from coldbench.data.transforms import TRANSFORMS
from coldbench.diffusion.catalog import Entry
from coldbench.diffusion.degradations.inpaint import Inpainting
from coldbench.diffusion.recipe import Recipe
from coldbench.diffusion.training import Progress, Run, train

CPU = torch.device("cpu")
ENTRY = Entry(
    name="tiny",
    dataset="mnist",
    network={"name": "convnext-unet", "dim": 8, "dim_mults": [1, 2], "channels": 1},
    degradation={"name": "inpaint", "image_size": 16, "timesteps": 4, "kernel_std": 1, "initial_mask": 1},
    training={"steps": 12, "batch_size": 4, "lr": 1e-3, "ema": 0.5, "seed": 0},
    weights=Path("tiny.safetensors"),
)


@pytest.fixture(scope="module")
def digits() -> Pixels:
    source = open_mnist(Path("nowhere"))
    return decode(source, transform=TRANSFORMS["native"], image_size=16, channels=1, count=40)


def run(
    digits: Pixels,
    state: Path,
    entry: Entry = ENTRY,
    stop_after: int | None = None,
    stop_by: signal.Signals = signal.SIGINT,
    **how: Any,
) -> Progress:
    def watch(progress: Progress) -> None:
        if progress.step == stop_after:
            signal.raise_signal(stop_by)

    return train(entry, digits, state, device=CPU, compile_network=False, watch=watch, **how)


@pytest.mark.parametrize("stop_by", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_goes_on_to_the_same_weights(
    stop_by: signal.Signals, digits: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped by Ctrl-C, or as batch systems stop it; a resumed run says where it begins."""
    whole = run(digits, tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        run(digits, tmp_path / "stopped.pt", stop_after=5, stop_by=stop_by)
    assert "stopping after this step" in capsys.readouterr().err
    begun: list[int] = []
    resumed = run(digits, tmp_path / "stopped.pt", begin=begun.append)
    assert begun == [5]
    assert (resumed.step, resumed.loss) == (whole.step, whole.loss)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_training_draws_nothing_that_an_evaluation_draws(digits: Pixels, tmp_path: Path, own_home: Path) -> None:
    drawn: list[int] = []

    class Recording(Inpainting):
        def draw(self, indices: Sequence[int], seed: int) -> torch.Tensor | None:
            drawn.append(seed)
            return super().draw(indices, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coldbench.diffusion.degradations.inpaint.Inpainting", Recording)
        run(digits, tmp_path / "state.pt")
    assert set(drawn) == {training_seed(0)}


def test_dropout_goes_on_where_it_was(tmp_path: Path) -> None:
    network = {"name": "ddpm-unet", "image_size": 16, "dim": 32, "dim_mults": [1, 1], "channels": 1, "dropout": 0.3}
    entry = dataclasses.replace(ENTRY, network=network, training={"steps": 4, "batch_size": 4})
    digits = decode(open_mnist(Path("nowhere")), transform=TRANSFORMS["native"], image_size=16, channels=1, count=8)
    whole = run(digits, tmp_path / "whole.pt", entry)
    with pytest.raises(KeyboardInterrupt):
        run(digits, tmp_path / "stopped.pt", entry, stop_after=2)
    resumed = run(digits, tmp_path / "stopped.pt", entry)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_ctrl_c_at_any_moment_saves_whole_steps_only(digits: Pixels, tmp_path: Path) -> None:
    """Not from ``watch``, between steps, but from another thread, wherever the step happens to be."""
    state = tmp_path / "s.pt"
    interruptions = 0
    resumed = None
    while resumed is None:
        timer = threading.Timer(0.004, os.kill, (os.getpid(), signal.SIGINT))

        def start_timer(progress: Progress, timer: threading.Timer = timer) -> None:
            if timer.ident is None:
                timer.start()

        try:
            resumed = train(ENTRY, digits, state, device=CPU, compile_network=False, watch=start_timer)
            if timer.ident is not None:
                timer.join()
        except KeyboardInterrupt:
            interruptions += 1
            assert state.exists()
    assert interruptions > 1
    whole = run(digits, tmp_path / "whole.pt")
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_a_run_that_could_not_start_leaves_nothing(digits: Pixels, tmp_path: Path) -> None:
    greedy = dataclasses.replace(ENTRY, training=ENTRY.training | {"batch_size": 41})
    with pytest.raises(BadInput, match="40 images are fewer than a step's 41"):
        run(digits, tmp_path / "s.pt", greedy)
    assert list(tmp_path.iterdir()) == []


def test_loss_falls(digits: Pixels, tmp_path: Path) -> None:
    losses: list[float] = []
    longer = dataclasses.replace(ENTRY, training=ENTRY.training | {"steps": 60, "lr": 3e-3})
    train(longer, digits, tmp_path / "s.pt", device=CPU, compile_network=False, watch=lambda p: losses.append(p.loss))
    assert losses[-1] < 0.7 * losses[0]


def test_l1_learns_the_median_and_l2_the_mean(tmp_path: Path) -> None:
    """Of images that are black three times in four and white once, all that is left to learn from nothing."""
    pixels = np.zeros((40, 8, 8), np.uint8)
    pixels[::4] = 255
    source = decode(array_source("b", pixels), transform=TRANSFORMS["native"], image_size=8, channels=1)
    nothing = {"name": "blur", "image_size": 8, "timesteps": 1, "routine": "constant", "kernel_size": 3, "std": 1.0}
    means = {}
    for loss in ("l1", "l2"):
        recipe = {"steps": 150, "batch_size": 20, "lr": 1e-2, "ema": 0.9, "loss": loss, "noise": 1e3}
        entry = dataclasses.replace(ENTRY, degradation=nothing, training=recipe)
        model = run(source, tmp_path / f"{loss}.pt", entry).model.eval()
        with torch.inference_mode():
            x = 1e3 * torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
            means[loss] = model(x, torch.zeros(40, dtype=torch.int64)).mean().item()
    assert means["l1"] == pytest.approx(-1, abs=0.15)
    assert means["l2"] == pytest.approx(-0.5, abs=0.15)


def test_accumulated_batches_step_as_one_batch_does(digits: Pixels, tmp_path: Path) -> None:
    """To rounding: the mean of two halves' gradients is the gradient of the whole."""
    whole = run(digits, tmp_path / "a.pt")
    halves = dataclasses.replace(ENTRY, training=ENTRY.training | {"batch_size": 2, "accumulate": 2})
    for name, tensor in run(digits, tmp_path / "b.pt", halves).model.state_dict().items():
        torch.testing.assert_close(tensor, whole.model.state_dict()[name], atol=1e-3, rtol=0)


def test_the_average_is_a_copy_first_and_then_moves_every_so_often(digits: Pixels) -> None:
    """PROTOCOL 4, with the numbers 10 and 2,000 as 3 and 4."""
    training = {"steps": 9, "batch_size": 4, "ema": 0.75, "ema_every": 3, "ema_start": 4, "schedule": "constant"}
    run_ = Run(dataclasses.replace(ENTRY, training=training), digits, CPU)
    networks, averages = [], []
    for batch in run_.remaining_batches():
        run_.update(run_.network, batch)
        networks.append(run_.network.final_conv[1].bias.detach().clone())
        averages.append(run_.average.module.final_conv[1].bias.detach().clone())
    assert torch.equal(averages[0], networks[0])
    assert torch.equal(averages[2], networks[0])
    assert torch.equal(averages[3], networks[3])
    assert torch.equal(averages[5], networks[3])
    torch.testing.assert_close(averages[6], 0.75 * networks[3] + 0.25 * networks[6])
    assert torch.equal(averages[8], averages[6])
    assert run_.optimizer.param_groups[0]["lr"] == 1e-3


def test_augmented_images_differ_from_epoch_to_epoch_and_not_from_run_to_run() -> None:
    digits = decode(
        open_mnist(Path("nowhere")), transform=TRANSFORMS["zoom-random"], image_size=16, channels=1, count=8
    )
    entry = dataclasses.replace(ENTRY, training={"steps": 2, "batch_size": 8, "augmentation": "zoom-random"})
    seen: list[torch.Tensor] = []
    for _ in range(2):
        run_ = Run(entry, digits, CPU)
        loss = run_._loss
        run_._loss = lambda forward, batch, t, keys, loss=loss: (
            seen.append(digits.batch(sorted(batch.tolist()), keys=keys)),
            loss(forward, batch, t, keys),
        )[1]
        for batch in run_.remaining_batches():
            run_.update(run_.network, batch)
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])


def test_another_seed_gives_other_weights(digits: Pixels, tmp_path: Path) -> None:
    other = dataclasses.replace(ENTRY, training=ENTRY.training | {"seed": 1})
    assert run(digits, tmp_path / "a.pt").loss != run(digits, tmp_path / "b.pt", other).loss


@pytest.mark.parametrize("inputs", [{"noise": 0.5}, {"eight_bit": True}])
def test_what_the_network_sees_is_the_recipe_s(inputs: dict[str, object], digits: Pixels, tmp_path: Path) -> None:
    """Training sees noisy or truncated images where asked to, and the same ones each time."""
    seen: list[torch.Tensor] = []
    entry = dataclasses.replace(ENTRY, training={"steps": 1, "batch_size": 4, **inputs})
    plain = dataclasses.replace(ENTRY, training={"steps": 1, "batch_size": 4})
    for each in (plain, entry, entry):
        training = Run(each, digits, CPU)
        training.update(lambda x, t, net=training.network: (seen.append(x), net(x, t))[1], np.arange(4))
    difference = seen[1] - seen[0]
    assert torch.equal(seen[1], seen[2])
    if "noise" in inputs:
        assert difference.std().item() == pytest.approx(0.5, rel=0.1)
    else:
        levels = (seen[1] + 1) / 2 * 255
        torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
        assert 0 < difference.abs().max() < 2 / 255


def test_a_state_of_another_recipe_is_refused(digits: Pixels, tmp_path: Path) -> None:
    run(digits, tmp_path / "s.pt")
    other = dataclasses.replace(ENTRY, training=ENTRY.training | {"lr": 1e-4})
    with pytest.raises(BadInput, match="belongs to another recipe or data set of tiny"):
        run(digits, tmp_path / "s.pt", other)
    other_images = dataclasses.replace(digits.source, digest="other images")
    with pytest.raises(BadInput, match="belongs to another recipe or data set of tiny"):
        run(dataclasses.replace(digits, source=other_images), tmp_path / "s.pt")


def test_a_damaged_state_is_refused(digits: Pixels, tmp_path: Path) -> None:
    state = tmp_path / "s.pt"
    state.write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(BadInput, match="is damaged; delete it"):
        run(digits, state)
    torch.save({"step": 1}, state)
    with pytest.raises(BadInput, match="is damaged; delete it"):
        run(digits, state)


def test_recipes_refuse_unknown_keys() -> None:
    with pytest.raises(BadInput, match="unknown keys: learning_rate"):
        Recipe.of(dataclasses.replace(ENTRY, training={"steps": 1, "learning_rate": 1}))


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"steps": "3"},
        {"steps": 0},
        {"steps": 1, "lr": -1.0},
        {"steps": 1, "dtype": "int8"},
        {"steps": 1, "loss": "l3"},
        {"steps": 1, "accumulate": 0},
        {"steps": 1, "batch_size": 2.5},
        {"steps": 1, "ema_every": 0},
        {"steps": 1, "schedule": "linear"},
        {"steps": 1, "augmentation": "cutmix"},
    ],
)
def test_recipes_refuse_what_cannot_be_trained(training: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        Recipe.of(dataclasses.replace(ENTRY, training=training))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_graphs_give_the_gradients_of_the_network(accumulate: int, digits: Pixels) -> None:
    """Of every step: what a graph holds on to from one step must not leak into the next."""
    device = choose_device("cuda")  # which makes float32 mean float32
    entry = dataclasses.replace(ENTRY, training={**ENTRY.training, "accumulate": accumulate, "lr": 1e-12})
    graphed, plain = (Run(entry, digits, device) for _ in range(2))
    forward = graphed.forward(compile_network=False)
    for batch in graphed.remaining_batches():
        graphed.update(forward, batch)
        plain.update(plain.network, batch)
        assert graphed.losses[-1] == pytest.approx(plain.losses[-1], rel=1e-5)
        for (name, ours), theirs in zip(graphed.network.named_parameters(), plain.network.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=name)
