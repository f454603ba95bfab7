"""The loop, on the shipped checkpoints: no number may depend on how it was computed."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from coldbench.core.errors import BadInput
from coldbench.data.decoding import decode
from coldbench.data.transforms import TRANSFORMS, to_model_range
from coldbench.diffusion.catalog import find_entry
from coldbench.diffusion.checkpoints import Restorer, load_network
from coldbench.diffusion.degradations.superres import super_resolution
from coldbench.diffusion.sampling import improved_step, sample
from coldbench.evaluation.loop import batches
from coldbench.evaluation.protocols import find_protocol
from coldbench.evaluation.restoration import measure
from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.pixelwise import SquaredError
from tests.helpers import restoration_task as task

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "images", "settings"),
    [("mnist-blur", 18, {}), ("mnist-inpaint", 18, {"timesteps": 16}), ("mnist-superres", 35, {})],
    ids=["mnist-blur", "mnist-inpaint", "mnist-superres"],
)
def test_batch_size_changes_no_result(name: str, images: int, settings: dict[str, int]) -> None:
    """Deblurring above all, whose steps turn a last bit into 1e-5; batches are multiples of the network's 16 images."""
    reference = measure(task(name, images, 256, **settings)).values
    for batch_size in (1, 17):
        values = measure(task(name, images, batch_size, **settings)).values
        for key, value in reference.items():
            assert values[key] == pytest.approx(value, rel=1e-6, abs=0), key


def test_a_repeated_run_gives_the_same_bits() -> None:
    assert measure(task("mnist-superres", 12)).values == measure(task("mnist-superres", 12)).values


def test_the_seed_matters_where_something_is_drawn() -> None:
    first = task("mnist-inpaint", 20, methods=("degraded",))
    second = dataclasses.replace(first, seed=1)
    assert measure(first).values != measure(second).values


@pytest.mark.parametrize("name", ["mnist-blur", "mnist-inpaint", "mnist-superres"])
def test_restored_images_beat_degraded_ones_on_every_metric(name: str) -> None:
    values = measure(task(name, 16)).values
    for method in ("sampled", "direct"):
        assert values[method, "SSIM", ""] > values["degraded", "SSIM", ""] + 0.1
        assert values[method, "RMSE", ""] < values["degraded", "RMSE", ""]
        assert values[method, "FID", "mnist-cnn"] < values["degraded", "FID", "mnist-cnn"] / 2


def test_direct_alone_equals_direct_with_the_rest() -> None:
    everything, alone = task("mnist-superres", 16), task("mnist-superres", 16, methods=("direct",))
    values = measure(everything).values
    assert measure(alone).values == {key: value for key, value in values.items() if key[0] == "direct"}


def test_gallery_holds_the_first_images_whatever_the_batch_size() -> None:
    first, second = (measure(task("mnist-superres", 12, batch_size)).gallery for batch_size in (5, 64))
    assert list(first) == ["original", "degraded", "sampled", "direct"]
    for kind, pictures in first.items():
        assert pictures.shape == (12, 1, 32, 32)
        torch.testing.assert_close(pictures, second[kind], atol=1e-5, rtol=0)


def test_no_image_is_dropped() -> None:
    seen: list[int] = []
    measure(task("mnist-superres", 35, 16, methods=("degraded",)), seen.append)
    assert seen == [16, 16, 3]
    assert [list(b) for b in batches(3, 2)] == [[0, 1], [2]]


def test_a_faster_dtype_is_taken_and_differs() -> None:
    exact = task("mnist-superres", 16, methods=("direct",))
    entry = find_entry("mnist-superres")
    fast = dataclasses.replace(exact, restore=Restorer(load_network(entry), CPU, "bfloat16"))
    values = [measure(t).values["direct", "RMSE", ""] for t in (exact, fast)]
    assert values[0] != values[1]
    assert values[1] == pytest.approx(values[0], rel=0.1)


def test_sizes_must_agree() -> None:
    smaller = task("mnist-superres", 4)
    large = super_resolution(image_size=64, timesteps=2, mode="area")
    with pytest.raises(BadInput, match="degradation takes images of 64 pixels, not 32"):
        measure(dataclasses.replace(smaller, degradation=large))
    pixels = decode(smaller.pixels.source, transform=TRANSFORMS["native"], image_size=64, channels=1, count=4)
    with pytest.raises(BadInput, match="mnist-cnn takes images of 32 pixels, not 64"):
        measure(dataclasses.replace(smaller, degradation=large, pixels=pixels))


def test_too_few_images_are_an_error() -> None:
    with pytest.raises(BadInput, match="MNIST has 10000 images, not 10001"):
        measure(task("mnist-superres", 10_001))


def test_released_protocol_drops_the_first_image_and_scores_earlier_states() -> None:
    """Against a literal run of the released evaluation on the same images."""
    T = 5  # what is scored at which step does not depend on how many there are
    released = task("mnist-inpaint", 12, protocol=find_protocol("released", "inpaint", "mnist"), timesteps=T)
    released = dataclasses.replace(released, features=[])
    degradation, restore = released.degradation, released.restore
    assert restore is not None
    indices = range(1, 13)
    x0 = to_model_range(released.pixels.batch(indices))
    context = degradation.draw(indices, 0)
    with torch.inference_mode():
        x_T = degradation.observe(degradation(x0, T, context))
        direct = restore(x_T, T)
        late = x_T - degradation(direct, T, context) + degradation(direct, T - 1, context)
        last = sample(restore, degradation, x_T, context, improved_step).last_prediction
    values = measure(released).values
    for method, images in (("degraded", late), ("direct", direct), ("sampled", last)):
        meter = SquaredError()
        meter.update((images + 1) / 2, (x0 + 1) / 2)
        assert values[method, "RMSE", ""] == pytest.approx(meter.result(), rel=1e-5)


@torch.inference_mode()
def test_released_protocol_counts_left_over_images_as_zero_features() -> None:
    entry = dataclasses.replace(
        task("mnist-superres", 53, methods=("degraded",)), protocol=find_protocol("released", "blur", "mnist")
    )
    pictures = to_model_range(entry.pixels.batch(range(1, 54)))
    sets = []
    for images in (pictures, entry.degradation(pictures, 3)):
        features = entry.features[0].extract((images + 1) / 2)
        features[50:] = 0
        statistics = FeatureStatistics()
        statistics.update(features)
        sets.append(statistics)
    for batch_size in (20, 64):
        values = measure(dataclasses.replace(entry, batch_size=batch_size)).values
        assert values["degraded", "FID", "mnist-cnn"] == pytest.approx(frechet_distance(*sets), rel=1e-6)


def test_released_protocol_scores_no_set_of_zero_features() -> None:
    with pytest.raises(BadInput, match="features in batches of 50"):
        measure(
            task(
                "mnist-superres",
                49,
                methods=("degraded",),
                protocol=find_protocol("released", "superres", "mnist"),
            )
        )
