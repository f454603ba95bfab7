"""The public API: what the commands do, with objects of one's own in the place of names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import coldbench as public
from coldbench.core.errors import BadInput, Missing
from coldbench.diffusion.sampling import improved_step
from tests.helpers import assert_one_clear_line, coldbench


def values(frame: pd.DataFrame) -> dict[tuple[str, str], float]:
    """The numbers that were measured, by method and metric as it is printed."""
    return {(row.method, row.label): row.value for row in frame[frame.status == "measured"].itertuples()}


def noise(channels: int = 3, images: int = 8) -> public.ImageSource:
    shape = (images, 32, 32, 3) if channels == 3 else (images, 32, 32)
    return public.array_source("noise", np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def cells(stdout: str) -> dict[tuple[str, str], float]:
    records = [record for record in json.loads(stdout) if record["value"] is not None]
    return {(each["where"]["method"], each["metric"]["label"]): each["value"] for each in records}


def test_a_checkpoint_is_measured_as_the_command_line_measures_it(tmp_path: Path) -> None:
    model = public.load_model("mnist-superres")
    frame = public.evaluate(model.restore, model.degradation, "mnist", count=40)
    done = coldbench(
        "run", "--table", "3", "--rows", "mnist", "--images", "40", "--output", tmp_path, "--format", "json"
    )
    assert values(frame) == pytest.approx(cells(done.stdout), rel=1e-6)
    measured = frame[frame.status == "measured"]
    assert (measured.low < measured.value).all()
    assert (measured.value < measured.high).all()
    (left_out,) = set(frame[frame.status == "missing"].reason)
    assert "coldbench fetch inception" in left_out


def test_any_callable_is_measured() -> None:
    """Of a perfect R nothing is left to restore; of none at all, what was degraded stays."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    x0 = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    degradation = public.build_degradation("cifar10-superres")
    for restore, expected in ((lambda x, s: x0, 0.0), (lambda x, s: x, None)):
        found = values(public.evaluate(restore, degradation, public.array_source("noise", pixels)))
        assert found["direct", "RMSE"] == pytest.approx(
            found["degraded", "RMSE"] if expected is None else expected, abs=1e-6
        )


def test_a_restorer_that_works_in_place_changes_nothing_else() -> None:
    images = noise()
    degradation = public.build_degradation("cifar10-superres")
    in_place, pure = (
        values(public.evaluate(restore, degradation, images))
        for restore in (lambda x, s: x.mul_(0.5), lambda x, s: x * 0.5)
    )
    assert in_place == pure


def test_a_module_is_put_into_eval_mode() -> None:
    images = noise()
    degradation = public.build_degradation("cifar10-superres")
    found = values(public.evaluate(Dropped(), degradation, images, methods=["degraded", "direct"]))
    assert found["direct", "RMSE"] == found["degraded", "RMSE"]


class Dropped(torch.nn.Module):
    """The identity, in eval mode alone."""

    def forward(self, x: Tensor, s: int) -> Tensor:
        return torch.nn.functional.dropout(x, 0.5, self.training)


def test_a_frame_tells_everything_that_its_numbers_depend_on() -> None:
    model = public.load_model("mnist-superres", dtype="bfloat16")
    frame = public.evaluate(
        model.restore, model.degradation, "mnist", count=4, features="none", metrics="SSIM", transform="zoom"
    )
    sampled = frame[frame.method == "sampled"].iloc[0]
    assert (sampled.protocol, sampled["transform"]) == ("paper", "zoom")
    assert sampled.degradation == "name superres, image_size 32, timesteps 3, mode area"
    assert (sampled.checkpoint_sha256, sampled["dtype"]) == (model.entry.sha256, "bfloat16")
    assert set(frame[frame.method == "degraded"].checkpoint_sha256) == {None}
    assert "torch=" in sampled.versions
    assert sampled.revision


def test_random_weights_are_named_with_their_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 32, 32, 3), np.uint8))
    images = ("--data", f"npz:{tmp_path / 'a.npz'}", "--features", "none", "--output", tmp_path)
    small = ("cifar10-snow", "--set", "timesteps=2", *images)
    done = coldbench("evaluate", *small, "--allow-random-weights", "--quiet")
    assert "cifar10-snow has random weights: its numbers mean nothing" in done.stdout
    assert coldbench("evaluate", *small, "--methods", "degraded", "--quiet").returncode == 0
    assert_one_clear_line(coldbench("evaluate", *small, "--quiet"), 3, "coldbench train cifar10-snow")


def test_what_is_no_restorer_is_named() -> None:
    images = public.array_source("grey", np.full((4, 32, 32, 3), 128, np.uint8))
    degradation = public.build_degradation("cifar10-superres")
    with pytest.raises(
        BadInput, match=r"must give images of the shape of x, \(4, 3, 32, 32\), not torch.float32 \(4, 1, 32, 32\)"
    ):
        public.evaluate(lambda x, s: x[:, :1], degradation, images)
    with pytest.raises(BadInput, match="not str"):
        public.evaluate(lambda x, s: "x", degradation, images)  # type: ignore[arg-type,return-value]
    with pytest.raises(BadInput, match="unknown sampler 'smapled'"):
        public.evaluate(lambda x, s: x, degradation, images, methods=["smapled"])


def test_degradations_by_family_checkpoint_and_module() -> None:
    family = public.build_degradation("superres", image_size=32, timesteps=3, mode="area")
    checkpoint = public.build_degradation("mnist-superres")
    x = torch.rand(1, 1, 32, 32)
    assert torch.equal(family(x, 3), checkpoint(x, 3))
    assert public.build_degradation("mnist-superres", timesteps=2).timesteps == 2
    assert public.build_degradation("tests.example_plugin:Fade", timesteps=4).timesteps == 4
    for name, message in (
        ("superrse", "did you mean superres"),
        ("mnist-cnn", "unknown degradation 'mnist-cnn'"),
        ("tests.example_plugin:sharpne", "cannot be loaded"),
        (
            "tests.example_plugin:checkers",
            "tests.example_plugin:checkers needs root",
        ),
        ("builtins:dict", "reading the signature of the degradation of builtins:dict failed"),
        ("builtins:object", "gave object instead of a Degradation"),
    ):
        with pytest.raises(BadInput, match=message):
            public.build_degradation(name)


def test_images_by_name(tmp_path: Path) -> None:
    assert public.open_images("mnist").count == 10_000
    assert public.open_images("tests.example_plugin:checkers").count == 40
    with pytest.raises(Missing, match="coldbench fetch cifar10"):
        public.open_images("cifar10", data_root=tmp_path)
    with pytest.raises(BadInput, match="gave FeatureSpace instead of an ImageSource"):
        public.open_images("tests.test_api:no_images")


def no_images(root: Path, *, train: bool = False) -> object:
    from tests.example_plugin import mean_colours

    return mean_colours(torch.device("cpu"))


def test_random_weights_are_scored_only_where_asked_for() -> None:
    with pytest.raises(Missing, match="coldbench train cifar10-superres"):
        public.load_model("cifar10-superres")
    first, second = (public.load_model("cifar10-superres", allow_random_weights=True) for _ in range(2))
    assert first.restore.sha256 == "random"
    for name, tensor in first.restore.network.state_dict().items():
        assert torch.equal(tensor, second.restore.network.state_dict()[name])
    assert public.load_model("mnist-superres", allow_random_weights=True).restore.sha256 != "random"


@pytest.mark.parametrize("name", ["blur_constant", "super_area"])
def test_imported_checkpoints_sample_as_the_released_code_does(name: str, shared: Path) -> None:
    like = {"blur_constant": "mnist-blur", "super_area": "cifar10-superres"}[name]
    released = shared / "fixtures" / "released"
    assert coldbench("import", released / f"{name}.model.pt", "--as", "mine", "--like", like).returncode == 0
    model = public.load_model("mine", device="cpu")
    expected = load_file(released / f"{name}.safetensors")
    with torch.inference_mode():
        x_T = model.degradation(expected["x0"], model.degradation.timesteps)
        restored = public.sample(model.restore, model.degradation, x_T, None, improved_step)
    torch.testing.assert_close(restored.sampled, expected["improved_final"], atol=1e-4, rtol=0)


def test_nothing_else_is_public() -> None:
    assert all(callable(getattr(public, name)) for name in public.__all__)
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        public.evalute  # noqa: B018
