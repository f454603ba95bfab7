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
    assert frame[frame.method == "degraded"].checkpoint_sha256.isna().all()
    assert "torch=" in sampled.versions
    assert sampled.revision


#: The registry entry of a network that nobody has trained.
UNTRAINED = """[untrained]
dataset = "cifar10"
network = { name = "convnext-unet", dim = 16, dim_mults = [1, 2], channels = 3 }
degradation = { name = "snow", image_size = 32, timesteps = 2, level = 3 }
training = { steps = 1 }
"""


def test_random_weights_are_named_with_their_numbers(tmp_path: Path, own_registry: Path) -> None:
    own_registry.write_text(UNTRAINED)
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 32, 32, 3), np.uint8))
    images = ("--data", f"npz:{tmp_path / 'a.npz'}", "--features", "none", "--output", tmp_path)
    untrained = ("untrained", *images)
    done = coldbench("evaluate", *untrained, "--allow-random-weights", "--quiet")
    assert "untrained has random weights: its numbers mean nothing" in done.stdout
    assert coldbench("evaluate", *untrained, "--methods", "degraded", "--quiet").returncode == 0
    assert_one_clear_line(coldbench("evaluate", *untrained, "--quiet"), 3, "coldbench train untrained")


def test_plain_strings_serve_for_lists_names_and_protocols() -> None:
    """A string is one name, never its letters."""
    plain = public.evaluate("mnist-superres", count=4, features="mnist-cnn", metrics="PSNR", methods="direct")
    listed = public.evaluate("mnist-superres", count=4, features=["mnist-cnn"], metrics=["PSNR"], methods=["direct"])
    assert values(plain) == values(listed)
    assert set(plain.metric) == {"PSNR"}
    by_name = public.evaluate(
        lambda x, s: x,
        "superres",
        "mnist",
        count=4,
        metrics="RMSE",
        settings={"image_size": 32, "timesteps": 3},
    )
    assert values(by_name)["direct", "RMSE"] == pytest.approx(values(by_name)["degraded", "RMSE"])
    assert set(by_name.degradation) == {"name superres, image_size 32, timesteps 3, mode area"}


def test_the_released_protocol_is_that_of_the_command_line(tmp_path: Path) -> None:
    """A given degradation is held to it, too: it moves the holes of Table 2."""
    model = public.load_model("mnist-inpaint")
    options = {"count": 4, "metrics": "RMSE", "methods": "degraded", "protocol": "released"}
    command = ("run", "--table", "2", "--rows", "mnist", "--images", "4", "--metrics", "RMSE", "--methods", "degraded")
    done = coldbench(*command, "--protocol", "released", "--output", tmp_path, "--format", "json")
    for frame in (
        public.evaluate("mnist-inpaint", **options),
        public.evaluate(model.restore, model.degradation, "mnist", **options),
    ):
        assert values(frame) == pytest.approx(cells(done.stdout), rel=1e-9)
        assert set(frame.protocol) == {"released"}
        assert "centre_outside True" in frame.degradation[0]
    paper = public.evaluate("mnist-inpaint", **{**options, "protocol": "paper"})
    assert values(paper) != pytest.approx(cells(done.stdout), rel=1e-3)


def test_channels_are_those_of_the_images() -> None:
    degradation = public.build_degradation("cifar10-superres")
    seen: set[int] = set()

    def restore(x: Tensor, s: int) -> Tensor:
        seen.add(x.shape[1])
        return x

    for channels in (1, 3):
        public.evaluate(restore, degradation, noise(channels), metrics="SSIM")
        assert seen == {channels}
        seen.clear()
    public.evaluate(restore, degradation, noise(1), metrics="SSIM", channels=3)
    assert seen == {3}


def test_auto_means_the_same_for_a_data_set_by_name_and_opened() -> None:
    model = public.load_model("mnist-superres")
    frames = [
        public.evaluate(model.restore, model.degradation, images, count=4, metrics="FID", methods="degraded")
        for images in ("mnist", public.open_images("mnist"))
    ]
    frames.append(public.evaluate("mnist-superres", count=4, metrics="FID", methods="degraded"))
    for frame in frames:
        assert values(frame) == values(frames[0])
        assert set(values(frame)) == {("degraded", "FD[mnist-cnn]")}
        assert set(frame[frame.status == "missing"].label) == {"FID"}
    larger = public.evaluate(
        lambda x, s: x,
        "superres",
        "mnist",
        count=2,
        metrics=["FID", "SSIM"],
        methods="degraded",
        settings={"image_size": 40, "timesteps": 2},
    )
    reasons = dict(zip(larger.label, larger.reason, strict=True))
    assert reasons["FD[mnist-cnn]"] == "mnist-cnn takes images of 32 pixels, not 40", "what auto left out is said"


def test_tables_comparisons_and_images_are_those_of_the_commands(tmp_path: Path) -> None:
    records = public.run_table(3, rows="mnist", images=4, metrics="SSIM", methods="direct", output=tmp_path)
    assert [(each.where.table, each.where.method, each.metric.name) for each in records] == [("3", "direct", "SSIM")]
    assert public.load_records(tmp_path / "table-3.json") == records
    compared = public.compare(
        ("degraded", "direct"), models="mnist-superres", images=4, metrics="SSIM", output=tmp_path
    )
    assert compared[1].value == pytest.approx(records[0].value, rel=1e-9)
    assert [each.against for each in compared[1].differences] == ["degraded"]
    images = public.generate("mnist-noise", "fixed-noise", 3, seed=1)
    assert (images.shape, images.dtype) == ((3, 1, 32, 32), torch.float32)
    assert torch.equal(images[:2], public.generate("mnist-noise", "fixed-noise", 2, seed=1, batch_size=1))
    with pytest.raises(BadInput, match="mnist-blur restores images: it generates none"):
        public.generate("mnist-blur", "direct", 1)


def test_objects_of_ones_own_and_names_go_together() -> None:
    space = public.FeatureSpace("mean", "0" * 64, lambda images: images.mean((2, 3)))
    mae = public.mean_over_images("MAE", lambda x, y: (x - y).abs().mean((1, 2, 3)), better="lower")
    frame = public.evaluate(lambda x, s: x, "cifar10-superres", noise(), features=space, methods="direct")
    assert set(values(frame)) == {("direct", label) for label in ("FD[mean]", "SSIM", "RMSE")}
    frame = public.evaluate(lambda x, s: x, "cifar10-superres", noise(), metrics=[mae, "PSNR"], methods="direct")
    assert set(values(frame)) == {("direct", "MAE"), ("direct", "PSNR")}
    with pytest.raises(BadInput, match="either names of feature spaces or feature spaces, not both"):
        public.evaluate(lambda x, s: x, "cifar10-superres", noise(), features=[space, "mnist-cnn"])
    generated = public.evaluate("mnist-noise", count=4, methods="fixed-noise")
    assert set(generated.metric) == {"FID"}


def test_degraded_images_need_no_restorer() -> None:
    frame = public.evaluate(None, "cifar10-superres", noise(), metrics="SSIM")
    assert set(values(frame)) == {("degraded", "SSIM")}


def test_what_was_measured_by_name_can_be_checked(tmp_path: Path) -> None:
    public.evaluate("mnist-superres", count=4, metrics="SSIM", methods="direct", output=tmp_path / "named")
    assert coldbench("check", "--reference", tmp_path / "named", "--quiet").returncode == 0
    public.evaluate(lambda x, s: x, "mnist-superres", noise(1), metrics="SSIM", output=tmp_path / "object")
    assert len(public.load_records(tmp_path / "object" / "table-python.json")) == 3
    done = coldbench("check", "--reference", tmp_path / "object", "--quiet")
    assert_one_clear_line(done, 2, "was measured from Python: no command measures it again")


def test_settings_belong_to_a_degradation_by_name() -> None:
    class Own(public.Degradation):
        def forward(self, x0: Tensor, s: int | Tensor, context: Tensor | None = None) -> Tensor:
            return x0

    own = Own(timesteps=2, image_size=32)
    assert values(public.evaluate(lambda x, s: x, own, noise(), metrics="RMSE"))["direct", "RMSE"] == 0
    with pytest.raises(BadInput, match="settings change a degradation that is known by name; Own was given as it is"):
        public.evaluate(lambda x, s: x, own, noise(), settings={"timesteps": 3})
    with pytest.raises(BadInput, match="the released code has no evaluation of 'Own'"):
        public.evaluate(lambda x, s: x, own, noise(), protocol="released")


def test_the_arithmetic_of_ones_own_is_ones_own() -> None:
    with pytest.raises(BadInput, match="--dtype is that of a registered model's network"):
        public.evaluate(lambda x, s: x, "cifar10-superres", noise(), dtype="bfloat16")


def test_what_is_no_restorer_is_named() -> None:
    with pytest.raises(BadInput, match=r"restorer '.*Dropped' is a class: name an instance of it"):
        public.evaluate(Dropped, "cifar10-superres", noise())  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="a restorer of your own needs a degradation and images"):
        public.evaluate(lambda x, s: x)
    with pytest.raises(BadInput, match="unknown option 'chanels'; did you mean channels"):
        public.evaluate("mnist-superres", chanels=1)
    with pytest.raises(BadInput, match="data is empty"):
        public.evaluate("mnist-superres", data="")
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
        public.open_images("cifar10", data_root=str(tmp_path))
    with pytest.raises(BadInput, match="gave FeatureSpace instead of an ImageSource"):
        public.open_images("tests.test_api:no_images")


def no_images(root: Path, *, train: bool = False) -> object:
    from tests.example_plugin import mean_colours

    return mean_colours(torch.device("cpu"))


def test_random_weights_are_scored_only_where_asked_for(own_registry: Path) -> None:
    own_registry.write_text(UNTRAINED)
    with pytest.raises(Missing, match="coldbench train untrained"):
        public.load_model("untrained")
    first, second = (public.load_model("untrained", allow_random_weights=True) for _ in range(2))
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


def test_a_report_is_what_the_command_writes(tmp_path: Path) -> None:
    public.run_table("3", rows="mnist", images=8, methods=("degraded",), metrics=("RMSE",), output=tmp_path / "a")
    assert public.report(str(tmp_path / "a")) == tmp_path / "a" / "report.html"
    page = public.report([tmp_path / "a", tmp_path / "a"], output=tmp_path / "b.html").read_text(encoding="utf-8")
    assert page == (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    coldbench("report", tmp_path / "a", "--output", tmp_path / "c.html")
    assert page == (tmp_path / "c.html").read_text(encoding="utf-8")
    with pytest.raises(BadInput, match="at least one folder"):
        public.report([])


def test_nothing_else_is_public() -> None:
    assert all(callable(getattr(public, name)) for name in public.__all__)
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        public.evalute  # noqa: B018
