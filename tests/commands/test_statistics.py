"""Statistics out and in: ``coldbench statistics``, and ``--reference-statistics`` wherever images are generated."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch_fidelity.metric_fid import fid_statistics_to_metric

import coldbench as public
from coldbench.commands.plan import RESTORES, plan
from coldbench.commands.request import Request
from coldbench.core import array_cache
from coldbench.core.errors import BadInput
from coldbench.core.files import sha256_of
from coldbench.core.paths import shipped
from coldbench.metrics.digits import mnist_cnn
from coldbench.metrics.features import FID_FEATURES
from coldbench.records.record import Record, load
from coldbench.tables.tables import select_rows
from tests.helpers import assert_one_clear_line, coldbench

CPU = torch.device("cpu")
#: A generator that takes no time: two steps of a small network that nobody trained.
TOY = """
[toy]
dataset = "mnist"
network = { name = "convnext-unet", dim = 8, dim_mults = [1, 2], channels = 1 }
degradation = { name = "noise", image_size = 32, timesteps = 2, channels = 1 }
start = { name = "noise" }
training = { steps = 1, batch_size = 4 }
"""
GENERATE = ("evaluate", "toy", "--methods", "fixed-noise", "--images", "40", "--allow-random-weights", "--quiet")
IN_DIGITS = ("--features", "mnist-cnn")


@pytest.fixture
def toy(own_registry: Path) -> None:
    own_registry.write_text(TOY)


def side(device: torch.device) -> public.FeatureSpace:
    """A feature space that tells the side of the images, twice."""
    return public.FeatureSpace("side", "", lambda images: torch.full((len(images), 2), float(images.shape[-1])))


def digits(count: int, train: bool = False) -> np.ndarray:
    """MNIST test images as shipped; of another order, and so other features, as training images."""
    raw = gzip.decompress(shipped("benchmark", "coldbench", "data", "mnist", "t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)
    return images[5000 : 5000 + count] if train else images[:count]


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """A folder of data sets with 300 training images of MNIST."""
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images = digits(300, train=True)
    header = np.array([0x803, *images.shape], ">i4").tobytes()
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    return tmp_path / "data"


def features(images: np.ndarray) -> np.ndarray:
    """Of digits (N, 28, 28) or (N, 32, 32), uint8, resized as coldbench resizes, float64 (N, 128)."""
    resized = [np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR)) for image in images]
    with torch.inference_mode():
        found: Tensor = mnist_cnn(CPU).extract(torch.from_numpy(np.stack(resized))[:, None].float() / 255)
    return found.double().numpy()


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive}


def made(path: Path, *arguments: str | Path) -> dict[str, np.ndarray]:
    done = coldbench("statistics", *arguments, "--output", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{path}\n"
    return read(path)


def generated(output: Path, *arguments: str | Path, command: tuple[str, ...] = GENERATE) -> list[Record]:
    """The records of a measurement of generated images."""
    done = coldbench(*command, "--output", output, "--format", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return load(next(output.glob("*.json")))


def value(records: list[Record], features: str = "mnist-cnn") -> float:
    (found,) = [each.value for each in records if (each.metric.name, each.metric.features) == ("FID", features)]
    assert found is not None
    return found


class TestOut:
    def test_statistics_are_those_of_the_features(self, tmp_path: Path) -> None:
        found = made(tmp_path / "s.npz", "mnist", *IN_DIGITS, "--images", "200", "--quiet")
        expected = features(digits(200))
        assert sorted(found) == ["mu", "sigma"]
        np.testing.assert_allclose(found["mu"], expected.mean(axis=0), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found["sigma"], np.cov(expected, rowvar=False), rtol=1e-4, atol=1e-4)

    def test_what_was_measured_is_told_and_the_path_is_printed(self, tmp_path: Path) -> None:
        path = tmp_path / "s.npz"
        done = coldbench("statistics", "mnist", *IN_DIGITS, "--images", "200", "--output", path)
        assert (done.returncode, done.stdout) == (0, f"{path}\n")
        told = f"{path}: mean and covariance of MNIST, native, 32 pixels, N 200, in the 128 dimensions of mnist-cnn"
        assert done.stderr.splitlines()[-1] == told
        quiet = coldbench("statistics", "mnist", *IN_DIGITS, "--images", "200", "--quiet", "--output", path)
        assert quiet.stderr == ""

    @pytest.mark.parametrize(("images", "warned"), [(128, True), (129, False)])
    def test_too_few_images_come_with_a_warning(self, images: int, warned: bool, tmp_path: Path) -> None:
        path = tmp_path / "s.npz"
        done = coldbench("statistics", "mnist", *IN_DIGITS, "--images", str(images), "--quiet", "--output", path)
        assert ("warning: 128 images are too few for the 128 dimensions of mnist-cnn" in done.stderr) == warned

    def test_training_images_are_those_of_the_data_set(self, training: Path, tmp_path: Path) -> None:
        arguments = ("mnist", *IN_DIGITS, "--quiet", "--images", "300", "--data-root", training)
        found = made(tmp_path / "s.npz", *arguments, "--train")
        np.testing.assert_allclose(found["mu"], features(digits(300, train=True)).mean(axis=0), rtol=1e-5, atol=1e-5)
        assert not np.allclose(found["mu"], made(tmp_path / "t.npz", *arguments)["mu"])

    def test_any_images_will_do(self, tmp_path: Path) -> None:
        """A folder and a file of the same images; as colour; resized otherwise; in batches of another size."""
        images = digits(30)
        np.savez(tmp_path / "d.npz", images=images)
        (tmp_path / "d").mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / "d" / f"{number:02}.png")
        arguments = (*IN_DIGITS, "--quiet", "--workers", "0")
        plain = made(tmp_path / "0.npz", f"npz:{tmp_path / 'd.npz'}", *arguments)
        variants = {
            "folder": (f"folder:{tmp_path / 'd'}",),
            "colour": (f"folder:{tmp_path / 'd'}", "--channels", "3"),
            "batches": (f"npz:{tmp_path / 'd.npz'}", "--batch-size", "7"),
        }
        for variant in variants.values():
            found = made(tmp_path / "1.npz", *variant, *arguments)
            np.testing.assert_allclose(found["sigma"], plain["sigma"], rtol=1e-4, atol=1e-4)
        zoomed = made(tmp_path / "2.npz", f"npz:{tmp_path / 'd.npz'}", "--transform", "zoom", *arguments)
        assert abs(zoomed["mu"] - plain["mu"]).max() > 0.1

    @pytest.mark.parametrize(
        ("given", "side"), [((), 28), (("--image-size", "20"), 20)], ids=["that of the images", "that asked for"]
    )
    def test_the_side_of_images_of_no_data_set(
        self, given: tuple[str, ...], side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        np.savez(tmp_path / "d.npz", images=digits(4))
        monkeypatch.chdir(tmp_path)
        arguments = ("npz:d.npz", "--features", f"{__name__}:side", "--quiet", *given)
        assert made(Path("s.npz"), *arguments)["mu"].tolist() == [side, side]
        # Of a data set, as its models see it.
        assert made(Path("s.npz"), "mnist", *arguments[1:3], "--images", "3", "--quiet")["mu"].tolist() == [32, 32]

    def test_from_python(self, tmp_path: Path) -> None:
        source = public.array_source("mine", digits(50))
        space = mnist_cnn(CPU)
        by_objects = public.save_statistics(source, tmp_path / "a.npz", features=space, count=40)
        np.savez(tmp_path / "d.npz", images=digits(50))
        by_names = public.save_statistics(
            f"npz:{tmp_path / 'd.npz'}", str(tmp_path / "b.npz"), features="mnist-cnn", count=40, batch_size=64
        )
        assert by_objects == tmp_path / "a.npz"
        assert by_objects.read_bytes() == by_names.read_bytes()

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (("mnist", "--train", *IN_DIGITS), 3, "coldbench fetch mnist"),
            (("mnist", "--features", FID_FEATURES), 3, "coldbench fetch"),
            (("mnist", "--features", "inceptoin"), 2, "unknown feature 'inceptoin'; did you mean inception"),
            (("mnist", "--features", "none"), 2, "unknown feature 'none'"),
            (("mnist", "--features", f"mnist-cnn,{FID_FEATURES}"), 2, "the statistics of one feature space"),
            (("mnits", *IN_DIGITS), 2, "unknown dataset 'mnits'; did you mean mnist"),
            (("folder:nowhere", *IN_DIGITS), 2, "no folder at nowhere"),
            (("mnist", *IN_DIGITS, "--image-size", "28"), 2, "mnist-cnn takes images of 32 pixels, not 28"),
            (("mnist", *IN_DIGITS, "--images", "10001"), 2, "MNIST has 10000 images, not 10001: lower --images"),
            (("mnist", *IN_DIGITS, "--images", "3", "--output", "s.txt"), 2, "s.txt must end in .npz"),
            (("mnist", *IN_DIGITS, "--images", "3", "--output", "/dev/null/s.npz"), 2, "cannot write /dev/null/s.npz"),
        ],
    )
    def test_what_cannot_be_measured_is_told(
        self, arguments: tuple[str, ...], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        done = coldbench("statistics", "--output", "s.npz", "--quiet", *arguments)
        assert (done.returncode, done.stdout) == (code, "")
        assert message in done.stderr.splitlines()[-1]
        assert list(tmp_path.iterdir()) == []

    def test_a_file_of_images_has_no_training_images(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "d.npz", images=digits(4))
        images = ("statistics", f"npz:{tmp_path / 'd.npz'}", *IN_DIGITS, "--output", tmp_path / "s.npz")
        message = "--train takes the training images of a data set, and npz:d.npz is none"
        assert_one_clear_line(coldbench(*images, "--train"), 2, message)

    def test_one_image_has_no_covariance(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "d.npz", images=digits(1))
        done = coldbench("statistics", f"npz:{tmp_path / 'd.npz'}", *IN_DIGITS, "--output", tmp_path / "s.npz")
        assert_one_clear_line(done, 2, "a covariance needs at least 2 images, not 1")


@pytest.mark.usefixtures("toy")
class TestIn:
    def test_a_round_trip_gives_the_number_of_the_training_images(self, training: Path, tmp_path: Path) -> None:
        """What they give themselves, and torch-fidelity."""
        path = tmp_path / "s.npz"
        statistics = made(path, "mnist", "--train", *IN_DIGITS, "--data-root", training, "--quiet")
        own = generated(tmp_path / "own", "--data-root", training)
        given = generated(tmp_path / "given", "--reference-statistics", path)
        assert value(given) == value(own)
        model = public.load_model("toy", allow_random_weights=True)
        images = public.generate(model, "fixed-noise", 40)
        with torch.inference_mode():
            ours = mnist_cnn(CPU).extract(images).double().numpy()
        theirs = fid_statistics_to_metric(
            {"mu": ours.mean(axis=0), "sigma": np.cov(ours, rowvar=False)}, statistics, verbose=False
        )
        assert value(given) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)

    def test_the_training_images_features_serve_table_5(self, training: Path, tmp_path: Path) -> None:
        """One extraction for both: KID needs the features that the statistics were made of."""
        made(tmp_path / "s.npz", "mnist", "--train", *IN_DIGITS, "--data-root", training, "--quiet")
        (entry,) = array_cache.entries()
        generated(tmp_path / "own", "--data-root", training, "--metrics", "FID,KID")
        assert [each.path for each in array_cache.entries()] == [entry.path]
        assert array_cache.entries()[0].used > entry.used

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_what_other_programs_wrote_is_compared_with(self, save: Any, dtype: type, tmp_path: Path) -> None:
        theirs = features(digits(200))
        path = tmp_path / "theirs.npz"
        save(path, mu=theirs.mean(axis=0).astype(dtype), sigma=np.cov(theirs, rowvar=False).astype(dtype))
        made(tmp_path / "ours.npz", "mnist", *IN_DIGITS, "--images", "200", "--quiet")
        found = [
            value(generated(tmp_path / each, "--reference-statistics", tmp_path / f"{each}.npz"))
            for each in ("theirs", "ours")
        ]
        assert found[0] == pytest.approx(found[1], rel=1e-5)

    def test_the_record_says_what_it_was_compared_with(self, tmp_path: Path) -> None:
        path = tmp_path / "s.npz"
        made(path, "mnist", *IN_DIGITS, "--images", "200", "--quiet")
        (record,) = [each for each in generated(tmp_path / "o", "--reference-statistics", path) if each.measured]
        assert (record.identity.data, record.identity.data_sha256) == (
            "statistics of s.npz, N unknown", sha256_of(path),
        )  # fmt: skip
        assert record.request["reference_statistics"] == str(path)
        assert "40 images are too few" in record.warning
        assert "s.npz does not say of how many images its statistics are" in record.warning
        table = (tmp_path / "o" / "table-evaluate-toy.md").read_text()
        assert "40 generated images against the statistics of s.npz, N unknown, seed 0" in table
        assert "MNIST: 40 images are too few" in table
        assert "s.npz does not say of how many images" in table

    def test_other_statistics_are_another_row(self, tmp_path: Path) -> None:
        """The numbers that were there are set aside, and a stopped measurement is not taken up."""
        for images in (200, 300):
            made(tmp_path / f"{images}.npz", "mnist", *IN_DIGITS, "--images", str(images), "--quiet")
            generated(tmp_path / "o", "--reference-statistics", tmp_path / f"{images}.npz")
        (earlier,) = (tmp_path / "o" / "earlier").glob("*.json")
        assert load(earlier)[-1].identity.data == "statistics of 200.npz, N unknown"
        assert value(load(earlier)) != value(load(tmp_path / "o" / "table-evaluate-toy.json"))

    def test_what_needs_more_than_mean_and_covariance_is_absent_with_the_reason(self, tmp_path: Path) -> None:
        path = tmp_path / "s.npz"
        made(path, "mnist", *IN_DIGITS, "--images", "200", "--quiet")
        records = generated(tmp_path / "o", "--reference-statistics", path, "--metrics", "FID,KID", *IN_DIGITS)
        reasons = {(each.metric.name, each.metric.features): each.reason for each in records}
        assert reasons["FID", "mnist-cnn"] == ""
        assert reasons["KID", "mnist-cnn"] == (
            f"KID needs the features of every image, and {path} holds their mean and covariance alone"
        )
        alone = coldbench(*GENERATE, "--reference-statistics", path, "--metrics", "KID", "--output", tmp_path / "p")
        assert_one_clear_line(alone, 3, "KID needs the features of every image")

    def test_a_check_measures_the_same_again(self, tmp_path: Path) -> None:
        path, moved = tmp_path / "s.npz", tmp_path / "elsewhere" / "t.npz"
        made(path, "mnist", *IN_DIGITS, "--images", "200", "--quiet")
        generated(tmp_path / "o", "--reference-statistics", path)
        check = ("check", "--reference", tmp_path / "o", "--quiet")
        done = coldbench(*check, "--format", "json")
        assert done.returncode == 0, done.stderr
        assert [line["status"] for line in json.loads(done.stdout)] == ["same"]
        moved.parent.mkdir()
        shutil.move(path, moved)
        assert_one_clear_line(coldbench(*check), 2, f"no file of statistics at {path}")
        assert coldbench(*check, "--reference-statistics", moved).returncode == 0
        made(moved, "mnist", *IN_DIGITS, "--images", "201", "--quiet")
        done = coldbench(*check, "--reference-statistics", moved)
        assert done.returncode == 1
        assert "data_sha256 was" in done.stdout

    def test_a_check_does_not_take_statistics_that_nothing_was_compared_with(self, tmp_path: Path) -> None:
        made(tmp_path / "s.npz", "mnist", *IN_DIGITS, "--images", "200", "--quiet")
        restore = ("run", "--table", "3", "--rows", "mnist", "--methods", "degraded", "--images", "4", "--quiet")
        assert coldbench(*restore, "--features", "none", "--output", tmp_path / "o").returncode == 0
        done = coldbench("check", "--reference", tmp_path / "o", "--reference-statistics", tmp_path / "s.npz")
        assert_one_clear_line(done, 2, "was compared with --reference-statistics: leave it out")

    @pytest.mark.parametrize(
        ("command", "message"),
        [
            (("run", "--table", "1"), "compared with, and these rows restore"),
            (("run", "--table", "all"), "--reference-statistics are those of one data set: say which"),
            (("run", "--table", "5"), "--reference-statistics are those of one data set: say which"),
            (("evaluate", "mnist-blur"), "compared with, and mnist-blur restores"),
            (("compare", "naive", "improved"), "compared with, and mnist-blur restores"),
            (("compare", "mnist-blur", "mnist-snow"), "compared with, and mnist-blur restores"),
        ],
    )
    def test_what_restores_refuses_them(self, command: tuple[str, ...], message: str, tmp_path: Path) -> None:
        path = tmp_path / "s.npz"
        made(path, "mnist", *IN_DIGITS, "--images", "200", "--quiet")
        done = coldbench(*command, "--reference-statistics", path, "--output", tmp_path / "o")
        assert_one_clear_line(done, 2, message)

    def test_rows_that_restore_beside_rows_that_generate_say_why_they_are_missing(self, tmp_path: Path) -> None:
        made(tmp_path / "s.npz", "mnist", *IN_DIGITS, "--images", "200", "--quiet")
        request = Request(images=4, reference_statistics=tmp_path / "s.npz", quiet=True)
        store = request.store()
        (restoring,) = select_rows("1", ["mnist"], [])
        (generating,) = select_rows("5", ["mnist-noise"], [])
        assert set(plan(restoring, request, store, tabled=True).missing.values()) == {RESTORES}
        prepared = plan(generating, request, store, tabled=True)
        assert not prepared.missing
        assert prepared.data == "statistics of s.npz, N unknown"

    def test_they_are_those_of_one_feature_space(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        made(Path("s.npz"), "mnist", *IN_DIGITS, "--images", "200", "--quiet")
        given = (*GENERATE, "--reference-statistics", "s.npz", "--output", "o")
        done = coldbench(*given, "--features", f"mnist-cnn,{__name__}:side")
        assert_one_clear_line(done, 2, "are those of one feature space: choose one of mnist-cnn, side with --features")
        done = coldbench(*given, "--features", f"{__name__}:side")
        assert_one_clear_line(done, 2, "s.npz holds statistics of 128 dimensions, and side has 2")
        assert_one_clear_line(coldbench(*given, "--features", "none"), 3, "choose one with --features")
        assert_one_clear_line(coldbench(*given, "--features", FID_FEATURES), 3, "coldbench fetch")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "no file of statistics at s.npz"),
            (b"mu", "s.npz holds no statistics of features, mu (d,) and sigma (d, d): it is no .npz archive"),
        ],
    )
    def test_a_file_that_will_not_do_is_named(
        self, content: bytes | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All that can be wrong with it is in tests/metrics/test_statistics_file.py."""
        monkeypatch.chdir(tmp_path)
        if content is not None:
            Path("s.npz").write_bytes(content)
        assert_one_clear_line(coldbench(*GENERATE, "--reference-statistics", "s.npz"), 2, message)

    def test_from_python_a_name_will_do(self, tmp_path: Path) -> None:
        path = str(public.save_statistics("mnist", tmp_path / "s.npz", features="mnist-cnn", count=200))
        options = {"methods": "fixed-noise", "count": 40, "allow_random_weights": True, "reference_statistics": path}
        frame = public.evaluate("toy", **options)
        assert set(frame[frame.status == "measured"].data) == {"statistics of s.npz, N unknown"}
        with pytest.raises(BadInput, match="reference_statistics must be the path of a file, not 3"):
            public.evaluate("toy", reference_statistics=3)

    def test_a_comparison_says_what_cannot_be_had(self, tmp_path: Path) -> None:
        path = tmp_path / "s.npz"
        made(path, "mnist", *IN_DIGITS, "--images", "200", "--quiet")
        compare = ("compare", "fixed-noise", "estimated-noise", "--model", "toy", "--allow-random-weights")
        given = (*compare, "--images", "40", "--quiet", "--reference-statistics", path, "--output", tmp_path / "o")
        done = coldbench(*given)
        assert done.returncode == 0, done.stderr
        assert "against the statistics of s.npz, N unknown" in done.stdout
        assert "s.npz does not say of how many images" in done.stdout
        done = coldbench(*given, "--metrics", "FID,KID")
        assert_one_clear_line(done, 3, "KID needs the features of every image")


@pytest.mark.slow
def test_mnists_training_statistics_are_those_that_ship(shared: Path, tmp_path: Path) -> None:
    """All 60,000 images, written, read, and compared with: Table 5's own number."""
    path = tmp_path / "mnist.npz"
    made(path, "mnist", "--train", *IN_DIGITS, "--data-root", shared / "data", "--quiet")
    command = ("run", "--table", "5", "--rows", "mnist-noise", "--methods", "estimated-noise", "--quiet")
    given = generated(tmp_path / "given", "--reference-statistics", path, "--images", "20", command=command)
    own = generated(tmp_path / "own", "--images", "20", command=command)
    assert value(given) == pytest.approx(value(own), rel=1e-6)
