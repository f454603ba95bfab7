"""Training in stages: a run goes on from weights, keeps images out of its training, and files tell their history."""

from __future__ import annotations

import dataclasses
import math
import signal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from coldbench.core.errors import BadInput
from coldbench.core.weights import save_weights
from coldbench.data.decoding import Pixels, decode
from coldbench.data.sources import array_source
from coldbench.data.transforms import TRANSFORMS
from coldbench.diffusion.building import build_network
from coldbench.diffusion.catalog import Entry
from coldbench.diffusion.stages import Stage, as_metadata, curve_picture, read_start
from coldbench.diffusion.training import Progress, train

ENTRY = Entry(
    name="tiny",
    dataset="mnist",
    network={"name": "convnext-unet", "dim": 8, "dim_mults": [1], "channels": 1},
    degradation={"name": "inpaint", "image_size": 8, "timesteps": 3, "kernel_std": 1, "initial_mask": 1},
    training={"steps": 6, "batch_size": 4, "lr": 1e-3, "ema": 0.5},
    weights=Path("tiny.safetensors"),
)
FIRST = Stage({"steps": 6}, "MNIST", 6, 4, 0.5, 1.0, "CPU", 0.25, "", [(3, 0.5, 0.6), (6, 0.4, 0.5)])


def images(held_out: int = 255) -> Pixels:
    """Twenty images of noise, the last eight of them of this grey."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    pixels[12:] = held_out
    return decode(array_source("noise", pixels), transform=TRANSFORMS["native"], image_size=8, channels=1)


def run(state: Path, data: Pixels, stop_after: int | None = None, **how: Any) -> Progress:
    def watch(progress: Progress) -> None:
        if progress.step == stop_after:
            signal.raise_signal(signal.SIGINT)

    return train(ENTRY, data, state, device=torch.device("cpu"), compile_network=False, watch=watch, **how)


def assert_same(a: Progress, b: Progress) -> None:
    for name, tensor in a.model.state_dict().items():
        assert torch.equal(tensor, b.model.state_dict()[name]), name


def test_held_out_images_have_no_part_in_the_training(tmp_path: Path) -> None:
    white, grey = (run(tmp_path / f"{level}.pt", images(level), held_out=8) for level in (255, 128))
    assert_same(white, grey)
    assert [point[1] for point in white.curve] == [point[1] for point in grey.curve]
    assert [point[2] for point in white.curve] != [point[2] for point in grey.curve]
    assert run(tmp_path / "none.pt", images()).curve == []


def test_the_curve_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole.pt", images(), held_out=8)
    assert [step for step, _, _ in whole.curve] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped.pt", images(), stop_after=4, held_out=8)
    resumed = run(tmp_path / "stopped.pt", images(), held_out=8)
    assert [tuple(point) for point in resumed.curve] == [tuple(point) for point in whole.curve]
    assert_same(resumed, whole)


def test_too_many_held_out_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="3 images are fewer than a step's 4"):
        run(tmp_path / "s.pt", images(), held_out=17)


def test_a_run_goes_on_from_weights_and_draws_anew(tmp_path: Path) -> None:
    torch.manual_seed(1)
    path = tmp_path / "weights.safetensors"
    save_weights(build_network(ENTRY.network), path)
    once = read_start(path)
    twice = dataclasses.replace(once, stages=(FIRST, FIRST))
    assert (once.stage, twice.stage) == (1, 2)
    fresh = run(tmp_path / "fresh.pt", images())
    found = [run(tmp_path / f"{start.stage}.pt", images(), start=start) for start in (once, once, twice)]
    assert_same(found[0], found[1])
    losses = {fresh.loss, found[0].loss, found[2].loss}
    assert len(losses) == 3, "no stage draws what another drew"
    with pytest.raises(BadInput, match="belongs to another recipe or data set of tiny"):
        run(tmp_path / "fresh.pt", images(), start=once)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(build_network(ENTRY.network | {"dim": 16}), path)
    with pytest.raises(BadInput, match=r"weights\.safetensors does not fit its network"):
        run(tmp_path / "s.pt", images(), start=read_start(path))


def test_a_file_of_weights_tells_its_history(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    network = build_network(ENTRY.network)
    later = dataclasses.replace(FIRST, begun_from="0" * 64, curve=[])
    save_weights(network, path, metadata=as_metadata((FIRST, later)))
    start = read_start(path)
    told = [dataclasses.replace(stage, curve=[tuple(point) for point in stage.curve]) for stage in start.stages]
    assert told == [FIRST, later]
    assert start.weights.keys() == network.state_dict().keys()


def test_files_that_tell_no_history_or_a_wrong_one(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    network = build_network(ENTRY.network)
    save_weights(network, path)
    assert read_start(path).stages == ()
    for history in ('[{"steps": 3}]', "no json"):
        save_weights(network, path, metadata={"stages": history})
        with pytest.raises(BadInput, match="tells its training in a way that cannot be read"):
            read_start(path)
    path.write_bytes(b"damaged")
    with pytest.raises(BadInput, match=r"is no \.safetensors file of weights"):
        read_start(path)
    with pytest.raises(BadInput, match="cannot read"):
        read_start(tmp_path / "absent")


def test_the_picture_of_the_losses_is_svg_with_two_lines_a_stage() -> None:
    picture = ElementTree.fromstring(curve_picture((FIRST, FIRST)))
    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 4
    across = [float(point.split(",")[0]) for line in lines[::2] for point in line.attrib["points"].split()]
    assert across == sorted(across), "the second stage begins where the first ended"
    assert max(across) == 460


def test_equal_factors_of_the_loss_are_equally_far_apart_in_its_picture() -> None:
    """A logarithmic axis: from .4 to .04 is as far as from .04 to .004."""
    heights = [float(point.split(",")[1]) for point in held_out_points(picture_of(9.0, 9.0, 0.4, 0.04, 0.004))]
    assert heights[2:] == pytest.approx([20, 100, 180])


@pytest.mark.parametrize("loss", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 2])
def test_a_loss_that_has_no_logarithm_spoils_no_other(loss: float, place: int) -> None:
    losses = [0.4, 0.2, 0.1]
    losses[place] = loss
    picture = picture_of(*losses)
    assert "nan" not in picture
    assert "inf" not in picture
    assert "e-12" not in picture


def test_a_curve_of_one_point_is_drawn() -> None:
    assert len(held_out_points(picture_of(0.5))) == 1


def picture_of(*losses: float) -> str:
    """The picture of a stage that had these losses, in training and held out, at its steps 1, 2, ..."""
    return curve_picture(
        [dataclasses.replace(FIRST, curve=[(step, loss, loss) for step, loss in enumerate(losses, 1)])]
    )


def held_out_points(picture: str) -> list[str]:
    """The points of the held-out losses of the first stage, as ``x,y``."""
    line = ElementTree.fromstring(picture).findall("{http://www.w3.org/2000/svg}polyline")[1]
    return line.attrib["points"].split()
