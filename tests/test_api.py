"""The public API, and what plugs in from outside."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import coldbench as public
from coldbench.cli import main
from coldbench.core.errors import BadInput, ColdbenchError, Missing
from coldbench.data.sources import array_source
from coldbench.diffusion.sampling import improved_step
from tests.helpers import assert_one_clear_line, coldbench

TESTS = Path(__file__).parent
EXAMPLE = (
    "evaluate", "example_plugin:sharpen", "--degradation", "example_plugin:Fade", "--set", "timesteps=5",
    "--data", "example_plugin:checkers", "--features", "example_plugin:mean_colours",
)  # fmt: skip


def values(frame: pd.DataFrame) -> dict[tuple[str, str], float]:
    return {(row.method, row.metric): row.value for row in frame.itertuples()}


def test_a_checkpoint_is_measured_as_the_command_line_measures_it(tmp_path: Path) -> None:
    model = public.load_model("mnist-superres")
    frame = public.evaluate(model.restore, model.degradation, "mnist", count=40, channels=1, features=["mnist-cnn"])
    done = coldbench(
        "run", "--table", "3", "--rows", "mnist", "--images", "40", "--output", tmp_path, "--format", "json"
    )
    cells = {(c["method"], c["metric"]): c["value"] for c in json.loads(done.stdout) if c["value"] is not None}
    assert values(frame) == pytest.approx(cells, rel=1e-6)
    assert (frame.low < frame.value).all()
    assert (frame.value < frame.high).all()


def test_any_callable_is_measured() -> None:
    """Of a perfect R nothing is left to restore; of none at all, what was degraded stays."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    x0 = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    degradation = public.build_degradation("cifar10-superres")
    for restore, expected in ((lambda x, s: x0, 0.0), (lambda x, s: x, None)):
        found = values(public.evaluate(restore, degradation, array_source("noise", pixels)))
        assert found["direct", "RMSE"] == pytest.approx(
            found["degraded", "RMSE"] if expected is None else expected, abs=1e-6
        )


def test_a_restorer_that_works_in_place_changes_nothing_else() -> None:
    images = array_source("noise", np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8))
    degradation = public.build_degradation("cifar10-superres")
    in_place, pure = (
        values(public.evaluate(restore, degradation, images))
        for restore in (lambda x, s: x.mul_(0.5), lambda x, s: x * 0.5)
    )
    assert in_place == pure


def test_a_module_is_put_into_eval_mode() -> None:
    images = array_source("noise", np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8))
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
        model.restore, model.degradation, "mnist", count=4, channels=1, features=["none"], transform="zoom"
    )
    sampled = frame[frame.method == "sampled"].iloc[0]
    assert sampled.protocol == "paper+transform=zoom"
    assert sampled.degradation == "name superres, image_size 32, timesteps 3, mode area"
    assert (sampled.checkpoint_sha256, sampled["dtype"]) == (model.entry.sha256, "bfloat16")
    assert set(frame[frame.method == "degraded"].checkpoint_sha256) == {""}
    assert "torch=" in sampled.versions
    assert sampled.revision


def test_random_weights_are_named_with_their_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 32, 32, 3), np.uint8))
    small = ("cifar10-snow", "--set", "timesteps=2", "--data", f"npz:{tmp_path / 'a.npz'}", "--features", "none")
    done = coldbench("evaluate", *small, "--allow-random-weights", "--quiet")
    assert "cifar10-snow has random weights: its numbers mean nothing" in done.stdout
    assert coldbench("evaluate", *small, "--methods", "degraded", "--quiet").returncode == 0
    assert_one_clear_line(coldbench("evaluate", *small, "--quiet"), 3, "coldbench train cifar10-snow")


def test_what_is_no_restorer_is_named() -> None:
    images = array_source("grey", np.full((4, 32, 32, 3), 128, np.uint8))
    degradation = public.build_degradation("cifar10-superres")
    with pytest.raises(
        BadInput, match=r"must give images of the shape of x, \(4, 3, 32, 32\), not 'torch.float32 \(4, 1, 32, 32\)'"
    ):
        public.evaluate(lambda x, s: x[:, :1], degradation, images)
    with pytest.raises(BadInput, match="not 'x'"):
        public.evaluate(lambda x, s: "x", degradation, images)  # type: ignore[arg-type,return-value]
    with pytest.raises(BadInput, match="unknown method 'smapled'"):
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
        ("mnist-cnn", "restores nothing"),
        ("tests.example_plugin:sharpne", "cannot be loaded"),
        (
            "tests.example_plugin:checkers",
            "building the degradation of tests.example_plugin:checkers failed: TypeError",
        ),
        ("builtins:dict", "gave dict instead of a Degradation"),
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


def test_the_example_plugs_in_by_module_and_attribute() -> None:
    done = coldbench(*EXAMPLE, "--format", "csv", "--quiet", cwd=TESTS)
    assert done.returncode == 0, done.stderr
    frame = pd.read_csv(io.StringIO(done.stdout))
    found = values(frame)
    assert found["degraded", "RMSE"] > 0.1
    assert found["sampled", "RMSE"] == pytest.approx(0, abs=1e-6)
    assert found["direct", "FD"] == pytest.approx(0, abs=1e-6)
    assert set(frame.protocol) == {"paper+timesteps=5"}
    table = coldbench(*EXAMPLE, cwd=TESTS).stdout
    assert "- example_plugin:sharpen, float32 on cpu" in table
    assert "| Sampled  | RMSE" in table
    assert "FD[mean-colours]" in table


def test_the_example_plugs_in_by_entry_points(tmp_path: Path) -> None:
    """As an installed package registers them."""
    metadata = tmp_path / "example-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: example\nVersion: 1.0\n")
    names = {"restorers": "sharpen", "degradations": "Fade", "datasets": "checkers", "features": "mean_colours"}
    lines = [f"[coldbench.{kind}]\n{name.lower()} = example_plugin:{name}\n" for kind, name in names.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{TESTS}"}
    arguments = [word.removeprefix("example_plugin:").lower() for word in EXAMPLE]
    command = [sys.executable, "-m", "coldbench", *arguments, "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert {line["data"] for line in json.loads(done.stdout)} == {"checkers"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nobody",), 2, "nobody is no registered model: say --degradation and --data"),
        (("nobody", *EXAMPLE[2:]), 2, "unknown restorer 'nobody'"),
        (("example_plugin:absent", *EXAMPLE[2:]), 2, "has no attribute 'absent'"),
        (("example_plugin:__name__", *EXAMPLE[2:]), 2, "is str, not a callable R(x, s)"),
        (("operator:concat", *EXAMPLE[2:]), 2, "R(x, 5) failed: TypeError"),
        ((*EXAMPLE[1:], "--protocol", "released"), 2, "protocol released is that of the paper's rows"),
        ((*EXAMPLE[1:], "--set", "steps=3"), 2, "building the degradation of example_plugin:Fade failed"),
        (("celeba-blur", "--data", "example_plugin:checkers"), 3, "no weights for celeba-blur"),
        ((*EXAMPLE[1:6], "--data", "os:fspath"), 2, "dataset 'os:fspath' failed: TypeError"),
        ((*EXAMPLE[1:8], "--features", "os:fspath"), 2, "feature 'os:fspath' failed: TypeError"),
        ((*EXAMPLE[1:], "--dtype", "bfloat16"), 2, "--dtype is that of a registered model's network"),
        (
            ("mnist-superres", "--degradation", "mnist-blur", "--protocol", "released"),
            2,
            "needs a model's own degradation",
        ),
        (("mnist-superres", "--set", "name=blur"), 2, "is not a setting"),
        (("mnist-superres", "--set", "timesteps=nan"), 2, "is not finite"),
    ],
)
def test_what_does_not_plug_in_is_named(
    arguments: tuple[str, ...], code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(TESTS)
    with pytest.raises(ColdbenchError, match=re.escape(message)) as caught:
        main(["evaluate", *arguments, "--quiet"], standalone_mode=False)
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)
