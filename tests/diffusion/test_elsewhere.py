"""Networks from elsewhere: what they predict, and when they are asked for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from coldbench.commands.restorers import parameters_sha256
from coldbench.core.errors import BadInput
from coldbench.diffusion.building import build_degradation
from coldbench.diffusion.checkpoints import Restorer
from coldbench.diffusion.degradations.noise import GaussianNoise
from coldbench.diffusion.diffusers_unet import FolderUnet, Training, read_unet
from coldbench.diffusion.elsewhere import Predictor, load_elsewhere
from tests.tiny_unet import save_tiny_unet

T = 20
CPU = torch.device("cpu")


class Known(nn.Module):
    """A network that gives what it was told, and remembers when it was asked."""

    def __init__(self, gives: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.gives, self.asked = gives, torch.tensor([])

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        self.asked = time
        return self.gives(x)


def noise() -> GaussianNoise:
    degradation = build_degradation({"name": "noise", "image_size": 32, "timesteps": T, "channels": 3})
    assert isinstance(degradation, GaussianNoise)
    return degradation


def blur() -> Any:
    return build_degradation({"name": "blur", "image_size": 32, "timesteps": T, "routine": "constant", "std": 1.0})


def found(network: nn.Module, training: Training | None = None) -> FolderUnet:
    return FolderUnet(network, 3, training, {})


@pytest.mark.parametrize("s", [1, 7, T])
@pytest.mark.parametrize("prediction", ["x0", "eps", "v"])
def test_a_network_that_predicts_what_is_true_restores_exactly(s: int, prediction: str, images: Tensor) -> None:
    D = noise()
    eps = D.draw(range(2), 0)
    a, b = D.scales(s, images)
    # v as Salimans & Ho define it, from the images themselves and not from any code of ours.
    truth = {"x0": images, "eps": eps, "v": a * eps - b * images}[prediction]
    restore = Restorer(Predictor(found(Known(lambda x: truth[: len(x)])), D, prediction, "known"), CPU)
    restore.chunk = len(images)
    restored = restore(D(images, s, eps), s)
    torch.testing.assert_close(restored, images, atol=1e-3 if s == T else 1e-5, rtol=0)


def test_a_prediction_of_x0_is_the_network_s_own_at_s_minus_1(images: Tensor, tmp_path: Path) -> None:
    unet = save_tiny_unet(tmp_path / "unet", channels=3)
    restore = Restorer(load_elsewhere(f"diffusers:{tmp_path}/unet", blur()), CPU)
    with torch.inference_mode():
        for s in (1, T):
            by_hand = unet(images, torch.full((2,), s - 1)).sample
            torch.testing.assert_close(restore(images, s), by_hand, atol=1e-5, rtol=0)


def test_noise_is_told_by_the_nearest_time_of_the_network_s_schedule(images: Tensor) -> None:
    """Twice our steps: every second of the times is exactly ours."""
    D, known = noise(), Known(lambda x: x)
    ours = D.alphas_cumprod.double()
    between = torch.cat([(ours[:-1] + ours[1:]) / 2, ours[-1:] / 2])
    theirs = torch.stack([ours, between], dim=1).flatten()
    predictor = Predictor(found(known, Training("x0", theirs, None)), D, None, "known")
    for s in (1, 5, T):
        predictor(images, torch.full((2,), s - 1))
        assert known.asked.tolist() == [2 * (s - 1)] * 2


def test_other_degradations_know_no_times_but_their_own(images: Tensor) -> None:
    known = Known(lambda x: x)
    schedule = Training("x0", torch.linspace(1, 0, 1000, dtype=torch.float64), None)
    Predictor(found(known, schedule), blur(), None, "known")(images, torch.full((2,), 6))
    assert known.asked.tolist() == [6, 6]


def test_what_the_scheduler_s_file_says_is_believed(tmp_path: Path) -> None:
    save_tiny_unet(tmp_path, scheduler={"num_train_timesteps": 50, "prediction_type": "v_prediction"})
    training = read_unet(tmp_path).training
    assert training is not None
    # The linear schedule in closed form: abar_t = prod_{i <= t} (1 - beta_i).
    expected = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 50, dtype=torch.float64), dim=0)
    torch.testing.assert_close(training.alphas_cumprod, expected, atol=1e-6, rtol=0)
    assert (training.predicts, training.bound) == ("v", 1.0)
    channels = {"name": "noise", "image_size": 32, "timesteps": T, "channels": 1}
    said = str(load_elsewhere(f"diffusers:{tmp_path}", build_degradation(channels)))
    assert re.fullmatch(r"diffusers:.* predicts v, at its times \d+ to 49, and its x0 is clipped to 1", said)


def test_an_old_file_that_does_not_say_means_eps_and_none_means_x0(tmp_path: Path) -> None:
    save_tiny_unet(tmp_path, scheduler={})
    path = tmp_path / "scheduler_config.json"
    config = json.loads(path.read_text())
    for key in ("prediction_type", "clip_sample"):
        del config[key]
    path.write_text(json.dumps(config))
    assert load_elsewhere(f"diffusers:{tmp_path}", noise()).prediction == "eps"
    assert load_elsewhere(f"diffusers:{tmp_path}", noise()).bound is None
    path.unlink()
    assert load_elsewhere(f"diffusers:{tmp_path}", noise()).prediction == "x0"


def test_clipping_is_the_scheduler_s(images: Tensor) -> None:
    D = noise()
    far = found(Known(lambda x: torch.full_like(x, -9.0)), Training("eps", D.alphas_cumprod.double(), 1.0))
    restored = Predictor(far, D, None, "far")(images, torch.full((2,), T - 1))
    assert restored.max() == 1.0


def test_a_pipeline_s_folder_serves_as_well(tmp_path: Path) -> None:
    save_tiny_unet(tmp_path / "unet", scheduler={"prediction_type": "epsilon"})
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "unet" / "scheduler_config.json").rename(tmp_path / "scheduler" / "scheduler_config.json")
    assert load_elsewhere(f"diffusers:{tmp_path}", noise()).prediction == "eps"


def test_the_hash_tells_weights_predictions_and_schedules_apart(tmp_path: Path) -> None:
    save_tiny_unet(tmp_path / "a")
    save_tiny_unet(tmp_path / "same")
    save_tiny_unet(tmp_path / "scheduled", scheduler={"prediction_type": "sample"})
    unet = save_tiny_unet(tmp_path / "trained")
    with torch.no_grad():
        unet.conv_out.bias += 0.5
    unet.save_pretrained(tmp_path / "trained")

    def sha256(name: str, prediction: str | None = None) -> str | None:
        network = load_elsewhere(f"diffusers:{tmp_path}/{name}", noise(), prediction)
        return parameters_sha256(network, json.dumps(network.facts, sort_keys=True))

    assert sha256("a") == sha256("same") == sha256("a", "x0")
    assert len({sha256("a"), sha256("a", "eps"), sha256("scheduled"), sha256("trained")}) == 4


def replaced(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def without(folder: Path, name: str) -> None:
    path = folder / "diffusion_pytorch_model.safetensors"
    save_file({key: value for key, value in load_file(path).items() if key != name}, path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def spoil(folder: Path) -> None:
    path = folder / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["conv_out.bias"] = torch.full_like(weights["conv_out.bias"], float("nan"))
    save_file(weights, path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), r"cannot read .*config\.json: No such file"),
        (lambda folder: (folder / "config.json").write_text("{"), r"cannot read .*config\.json: Expecting"),
        (lambda folder: (folder / "config.json").write_text("[1]"), r"config\.json is no configuration: it holds list"),
        (lambda folder: replaced(folder / "config.json", _class_name="UNet2DConditionModel"), "reads UNet2DModel"),
        (lambda folder: replaced(folder / "config.json", block_out_channels=7), "reading the UNet in .* failed"),
        (lambda folder: replaced(folder / "config.json", block_out_channels=[8, 32]), "UNet in .* failed|do not fit"),
        (lambda folder: (folder / "diffusion_pytorch_model.safetensors").unlink(), "reads no pickles"),
        (lambda folder: truncate(folder / "diffusion_pytorch_model.safetensors"), "reading the UNet in .* failed"),
        (lambda folder: without(folder, "conv_out.bias"), r"do not fit its config\.json: conv_out\.bias \(missing"),
        (spoil, "conv_out.bias is not finite"),
        (
            lambda folder: replaced(folder / "scheduler_config.json", beta_schedule="steep"),
            "the scheduler in .* failed",
        ),
        (lambda folder: replaced(folder / "scheduler_config.json", prediction_type="flow"), "predicts 'flow'"),
        (
            lambda folder: (folder / "scheduler_config.json").write_text('{"_class_name": "FlowMatch"}'),
            "'FlowMatch' in .* has no betas",
        ),
    ],
)
def test_damaged_folders_are_told_in_one_line(damage: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    save_tiny_unet(tmp_path / "unet", scheduler={})
    damage(tmp_path / "unet")
    with pytest.raises(BadInput, match=message) as told:
        load_elsewhere(f"diffusers:{tmp_path}/unet", noise())
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_class_embeds": 10}, "needs the class of each image"),
        ({"out_channels": 6}, "makes 6 channels of 3"),
    ],
)
def test_networks_that_need_more_or_give_more_are_refused(
    changes: dict[str, int], message: str, tmp_path: Path
) -> None:
    save_tiny_unet(tmp_path / "unet", channels=3, **changes)
    with pytest.raises(BadInput, match=message):
        load_elsewhere(f"diffusers:{tmp_path}/unet", noise())


@pytest.mark.parametrize("prediction", ["eps", "v"])
def test_what_means_nothing_without_noise_is_refused(prediction: str) -> None:
    with pytest.raises(
        BadInput, match=f"known predicts {prediction}, which tells x0 of Gaussian noise alone, not of blur"
    ):
        Predictor(found(Known(lambda x: x)), blur(), prediction, "known")


def test_channels_that_do_not_fit_name_the_option() -> None:
    predictor = Predictor(found(Known(lambda x: x)), blur(), None, "known")
    with pytest.raises(BadInput, match="known takes images of 3 channels: --channels 3"):
        predictor(torch.zeros(1, 1, 32, 32), torch.zeros(1, dtype=torch.int64))
