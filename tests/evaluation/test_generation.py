"""Generation: where it starts, what it is scored against, and that nothing drawn depends on the run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from coldbench.commands.plan import plan
from coldbench.commands.request import Request
from coldbench.core.errors import BadInput, Missing
from coldbench.data.cache import ImageStore
from coldbench.data.datasets import open_mnist
from coldbench.data.decoding import decode
from coldbench.data.sources import ImageSource, array_source
from coldbench.data.transforms import TRANSFORMS, to_model_range
from coldbench.diffusion.degradations.blur import blur
from coldbench.diffusion.degradations.noise import GaussianNoise
from coldbench.diffusion.generators import REGULARIZATION, constant_start, fit_channel_means, noise_start
from coldbench.diffusion.registries import SAMPLERS
from coldbench.diffusion.samplers import ANY, DEGRADED_IMAGE, find_sampler
from coldbench.evaluation.generation import Generation, as_file, generate
from coldbench.evaluation.reference_statistics import TrainingFeatures, TrainingSet
from coldbench.evaluation.set_features import View
from coldbench.metrics import inception
from coldbench.metrics.digits import mnist_cnn
from coldbench.metrics.features import FID_FEATURES, FeatureSpace, load_feature_space
from coldbench.metrics.fid import FID
from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.kernel import KID, Features, kernel_distance
from coldbench.metrics.metric import Metric
from coldbench.tables.tables import select_rows

CPU = torch.device("cpu")
SIZE, TIMESTEPS = 8, 5
FIT = {"mean": [-0.7, 0.1, 0.3], "covariance": [[0.04, 0.01, 0.0], [0.01, 0.09, 0.02], [0.0, 0.02, 0.01]]}
#: Features whose Frechet distance can be computed by hand: the mean of each channel, and one pixel.
PIXELS = FeatureSpace("pixels", "0" * 64, lambda images: torch.cat((images.mean(dim=(2, 3)), images[:, :, 0, 0]), 1))


def reference(images: Tensor) -> FeatureStatistics:
    statistics = FeatureStatistics()
    statistics.update(PIXELS.extract(images))
    return statistics


TRAINING_IMAGES = torch.rand(200, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
TRAINING, TRAINING_FEATURES = reference(TRAINING_IMAGES), Features()
TRAINING_FEATURES.update(PIXELS.extract(TRAINING_IMAGES))


def task(start: str, methods: tuple[str, ...], images: int = 12, batch_size: int = 64) -> Generation:
    if start == "noise":
        degradation = GaussianNoise(image_size=SIZE, timesteps=TIMESTEPS, channels=3)
    else:
        degradation = blur(
            image_size=SIZE, timesteps=TIMESTEPS, routine="exponential", kernel_size=5, std=0.1, discrete=True
        )
    return Generation(
        degradation=degradation,
        start={"name": start, **(FIT if start == "channel-means" else {})},
        restore=lambda x, s: x * 0.9 / s,
        metrics=[FID],
        features=[PIXELS],
        references={("pixels", "FID"): TRAINING},
        methods=methods,
        images=images,
        channels=3,
        seed=0,
        batch_size=batch_size,
        device=CPU,
    )


HOT, COLD = ("fixed-noise", "estimated-noise", "ddpm"), ("perfect-symmetry", "broken-symmetry")


def test_every_generator_is_tested_here() -> None:
    """Those that start from anything have tests of their own, with the degradations that they are made for."""
    assert {name for name in SAMPLERS if find_sampler(name).start not in (DEGRADED_IMAGE, ANY)} == {*HOT, *COLD}


@pytest.mark.parametrize(("start", "method", "served"), [("noise", COLD[0], "channel-means"), ("noise", "sampled", "")])
def test_a_method_of_another_start_is_refused(start: str, method: str, served: str) -> None:
    with pytest.raises(BadInput, match=f"{method} generates from {served or 'degraded'}, and this model from {start}"):
        generate(task(start, (method,)))


def test_several_metrics_are_taken_of_the_same_images() -> None:
    """KID beside FID: neither moves for the other's company, and both are those of the images."""
    both = dataclasses.replace(
        task("noise", HOT[:1]),
        metrics=[FID, KID],
        references={("pixels", "FID"): TRAINING, ("pixels", "KID"): TRAINING_FEATURES},
    )
    found = generate(both)
    assert (
        found.values["fixed-noise", "FID", "pixels"]
        == generate(task("noise", HOT[:1])).values["fixed-noise", "FID", "pixels"]
    )
    seen = Features()
    seen.update(PIXELS.extract(found.gallery["fixed-noise"]))
    assert found.values["fixed-noise", "KID", "pixels"] == pytest.approx(
        kernel_distance(seen, TRAINING_FEATURES), rel=1e-6
    )
    assert found.deviations["fixed-noise", "KID", "pixels"] is not None


@pytest.mark.parametrize(("start", "methods"), [("noise", HOT), ("channel-means", COLD)])
def test_batch_size_and_company_change_no_image(start: str, methods: tuple[str, ...]) -> None:
    whole = generate(task(start, methods, batch_size=64))
    for batch_size in (1, 5):
        parts = generate(task(start, methods, batch_size=batch_size))
        for method in methods:
            assert torch.equal(parts.gallery[method], whole.gallery[method]), method
        assert parts.values == pytest.approx(whole.values, rel=1e-9)
    alone = generate(task(start, methods[-1:]))
    assert torch.equal(alone.gallery[methods[-1]], whole.gallery[methods[-1]])


def test_another_seed_gives_other_images() -> None:
    for start, methods in (("noise", HOT), ("channel-means", COLD)):
        first = task(start, methods)
        one, other = generate(first).gallery, generate(dataclasses.replace(first, seed=1)).gallery
        assert all(not torch.equal(one[method], other[method]) for method in methods)


def test_hot_methods_end_where_the_network_points() -> None:
    """With R(x) = c whatever x, every sampler ends at c; fixed noise but for the signal left in x_T."""
    constant = torch.linspace(-1, 1, 3 * SIZE * SIZE).reshape(1, 3, SIZE, SIZE)
    hot = dataclasses.replace(task("noise", HOT, images=2), restore=lambda x, s: constant.expand_as(x))
    gallery = generate(hot).gallery
    expected = as_file((constant[0] + 1) / 2)
    for method in ("estimated-noise", "ddpm"):
        torch.testing.assert_close(gallery[method][0], expected, atol=1.1 / 255, rtol=0)
    signal = hot.degradation.scales(TIMESTEPS, constant)[0].item()  # type: ignore[operator]
    torch.testing.assert_close(gallery["fixed-noise"][0], expected, atol=signal + 1.1 / 255, rtol=0)


def test_values_are_the_distance_of_8_bit_images_to_the_reference() -> None:
    cold = task("channel-means", COLD, images=40)
    found = generate(cold)
    x_T = constant_start(cold.start, 0.002, range(40), 0, (3, SIZE, SIZE))
    x = x_T
    for s in range(TIMESTEPS, 0, -1):
        x0_hat = x * 0.9 / s
        x = x - cold.degradation(x0_hat, s) + cold.degradation(x0_hat, s - 1)
    pixels = ((x + 1) / 2 * 255).clamp(0, 255).round().byte().float() / 255
    expected = frechet_distance(TRAINING, reference(pixels))
    assert found.values["broken-symmetry", "FID", "pixels"] == pytest.approx(expected, rel=1e-3)
    torch.testing.assert_close(found.gallery["broken-symmetry"], pixels[:16], atol=1.1 / 255, rtol=0)


def test_images_are_those_of_an_8_bit_file() -> None:
    wild = 5 * torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    for start, methods in (("noise", HOT), ("channel-means", COLD)):
        found = generate(dataclasses.replace(task(start, methods, images=4), restore=lambda x, s: wild.expand_as(x)))
        for method in methods:
            pixels = found.gallery[method] * 255
            torch.testing.assert_close(pixels, pixels.round(), atol=1e-4, rtol=0)
            assert (pixels.min(), pixels.max()) == (0, 255), "beyond the range, and clamped"


def test_start_images_follow_the_fit() -> None:
    x_T = constant_start(FIT, 0.0, range(20_000), 0, (3, 2, 2))
    assert torch.equal(x_T, x_T[:, :, :1, :1].expand_as(x_T))
    means = x_T[:, :, 0, 0].double()
    # Five standard errors: 5 * .3 / sqrt(20,000) for the means, 5 * .09 * sqrt(2 / 20,000) for the covariances.
    assert means.mean(dim=0).tolist() == pytest.approx(FIT["mean"], abs=0.011)
    np.testing.assert_allclose(torch.cov(means.T).numpy(), FIT["covariance"], atol=0.0045)


def test_broken_symmetry_is_perfect_symmetry_plus_white_noise() -> None:
    shape = (3, 16, 16)
    noise = constant_start(FIT, 0.002, range(100), 0, shape) - constant_start(FIT, 0.0, range(100), 0, shape)
    assert noise.std().item() == pytest.approx(0.002, rel=0.02)
    assert abs(noise.mean().item()) < 5 * 0.002 / 76_800**0.5
    assert torch.equal(constant_start(FIT, 0.002, [7], 0, shape)[0], constant_start(FIT, 0.002, range(9), 0, shape)[7])
    assert torch.equal(noise_start([7], 0, shape)[0], noise_start(range(9), 0, shape)[7])


def test_the_fit_is_the_one_component_mixture_of_the_channel_means() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, SIZE, SIZE, 3), dtype=np.uint8)
    fit = fit_channel_means(
        decode(array_source("x", pixels), transform=TRANSFORMS["native"], image_size=SIZE, channels=3)
    )
    means = (pixels / 255 * 2 - 1).mean(axis=(1, 2))
    np.testing.assert_allclose(fit["mean"], means.mean(axis=0), atol=1e-6)
    expected = np.cov(means.T, ddof=0) + REGULARIZATION * np.eye(3)
    np.testing.assert_allclose(fit["covariance"], expected, atol=1e-8)


def test_one_channel_is_fitted_too() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, SIZE, SIZE), dtype=np.uint8)
    fit = fit_channel_means(
        decode(array_source("x", pixels), transform=TRANSFORMS["native"], image_size=SIZE, channels=1)
    )
    assert np.shape(fit["covariance"]) == (1, 1)
    assert constant_start(fit, 0.0, range(3), 0, (1, SIZE, SIZE)).shape == (3, 1, SIZE, SIZE)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        ({}, "no start images were fitted"),
        ({"mean": [0.0]}, "no start images were fitted"),
        ({"mean": [0.0], "covariance": [[1.0]]}, "not of 3 channels"),
        ({"mean": [0.0] * 3, "covariance": [[-1.0, 0, 0], [0, 1, 0], [0, 0, 1]]}, "no Gaussian"),
        ({"mean": [float("nan")] * 3, "covariance": np.eye(3).tolist()}, "not finite"),
        ({"mean": "zero", "covariance": [[1.0]]}, "no Gaussian"),
    ],
)
def test_a_bad_fit_is_found_before_generating(fit: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        generate(dataclasses.replace(task("channel-means", COLD), start={"name": "channel-means", **fit}))


class TestReference:
    """The statistics of training images are taken once, kept, and never mistaken for others."""

    @pytest.fixture
    def training(self, tmp_path: Path) -> np.ndarray:
        """A data set that somebody brings, there as long as its file is."""
        pixels = np.random.default_rng(0).integers(0, 256, (250, SIZE, SIZE, 3), dtype=np.uint8)
        np.save(tmp_path / "toy.npy", pixels)
        return pixels

    def take(self, root: Path, space: FeatureSpace = PIXELS) -> FeatureStatistics:
        statistics = self.taken(root, space).seen
        assert isinstance(statistics, FeatureStatistics)
        return statistics

    def taken(self, root: Path, space: FeatureSpace = PIXELS, metric: Metric = FID) -> TrainingFeatures:
        view = View(transform="native", image_size=SIZE, channels=3, device=CPU)
        return TrainingSet(f"{__name__}:toy", space, ImageStore(root), view).seen_by(metric)

    def test_what_another_metric_accumulates_is_no_statistics(
        self, training: np.ndarray, tmp_path: Path, own_home: Path
    ) -> None:
        taken = self.taken(tmp_path, metric=KID).seen
        assert isinstance(taken, Features)
        assert taken.count == 250
        assert not (own_home / "statistics").exists()

    def test_it_is_taken_from_all_images(self, training: np.ndarray, tmp_path: Path) -> None:
        pixels = to_model_range(torch.from_numpy(training).permute(0, 3, 1, 2))
        expected = reference((pixels + 1) / 2)
        taken = self.take(tmp_path)
        assert taken.count == 250
        assert frechet_distance(taken, expected) == pytest.approx(0, abs=1e-9)

    def test_it_serves_when_the_images_are_gone(self, training: np.ndarray, tmp_path: Path) -> None:
        taken = self.take(tmp_path)
        (tmp_path / "toy.npy").unlink()
        kept = self.take(tmp_path)
        assert torch.equal(taken.mean, kept.mean)
        assert torch.equal(taken.scatter, kept.scatter)

    def test_other_images_are_another_reference(self, training: np.ndarray, tmp_path: Path) -> None:
        self.take(tmp_path)
        np.save(tmp_path / "toy.npy", training[:100])
        assert self.take(tmp_path).count == 100

    def test_another_extractor_is_another_reference(self, training: np.ndarray, tmp_path: Path) -> None:
        self.take(tmp_path)
        (tmp_path / "toy.npy").unlink()
        with pytest.raises(Missing, match="no toy images"):
            self.take(tmp_path, dataclasses.replace(PIXELS, sha256="1" * 64))

    def test_a_damaged_file_is_named(self, training: np.ndarray, tmp_path: Path, own_home: Path) -> None:
        self.take(tmp_path)
        file = next((own_home / "statistics").iterdir())
        file.write_bytes(file.read_bytes()[:100])
        with pytest.raises(BadInput, match="holds no feature statistics"):
            self.take(tmp_path)

    def test_statistics_of_another_shape_are_refused(
        self, training: np.ndarray, tmp_path: Path, own_home: Path
    ) -> None:
        self.take(tmp_path)
        file = next((own_home / "statistics").iterdir())
        with safe_open(file, framework="pt") as whole:
            facts, scatter = whole.metadata(), whole.get_tensor("scatter")
        save_file({"mean": torch.zeros(5), "scatter": scatter}, file, metadata=facts)
        with pytest.raises(BadInput, match="holds no feature statistics"):
            self.take(tmp_path)


def test_a_feature_space_without_reference_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of Inception are at hand, the training images are not: the shipped statistics still serve."""
    other = dataclasses.replace(PIXELS, name=FID_FEATURES)
    monkeypatch.setattr(inception, "inception", lambda device: other)
    load_feature_space.cache_clear()
    request = Request(images=4, data_root=tmp_path, quiet=True)
    (row,) = select_rows("5", ["mnist-noise"], ["fixed-noise"])
    prepared = plan(row, request, request.store(), tabled=True)
    load_feature_space.cache_clear()
    assert [space.name for space in prepared.features] == ["mnist-cnn"]
    assert "coldbench fetch mnist" in prepared.absent["FID", FID_FEATURES]
    assert not prepared.missing


def test_shipped_statistics_are_those_of_the_training_images(shared: Path) -> None:
    space = mnist_cnn(CPU)
    view = View(transform="native", image_size=32, channels=1, device=CPU)
    kept = TrainingSet("mnist", space, ImageStore(Path("nowhere")), view).seen_by(FID)
    assert kept.digest == open_mnist(shared / "data", train=True).digest
    assert kept.seen.count == 60_000


def toy(root: Path, *, train: bool) -> ImageSource:
    assert train
    if not (root / "toy.npy").exists():
        raise Missing("no toy images")
    pixels = np.load(root / "toy.npy")
    return array_source("toy", pixels, str(len(pixels)))
