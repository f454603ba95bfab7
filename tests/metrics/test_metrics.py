"""Metrics against scikit-image, torch-fidelity and cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor
from torch_fidelity import feature_extractor_inceptionv3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.utils import create_feature_extractor

from coldbench.core.errors import BadInput, CheckFailed, Missing
from coldbench.core.files import sha256_of
from coldbench.metrics import audit, features
from coldbench.metrics.features import inception, inception_weights, mnist_cnn
from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.pixelwise import RMSE, SSIM, ssim_per_image


def statistics(features: Tensor, batch: int = 1000) -> FeatureStatistics:
    result = FeatureStatistics()
    for chunk in features.split(batch):
        result.update(chunk)
    return result


def torch_fidelity_distance(a: Tensor, b: Tensor) -> float:
    values = fid_statistics_to_metric(fid_features_to_statistics(a), fid_features_to_statistics(b), verbose=False)
    return float(values["frechet_inception_distance"])


def random_features(count: int, dim: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=generator, dtype=torch.float64) / math.sqrt(dim)
    return torch.randn(count, dim, generator=generator, dtype=torch.float64) @ mixing + seed


SSIM_CASES = {
    "noise": lambda g: (torch.rand(2, 3, 32, 32, generator=g), torch.rand(2, 3, 32, 32, generator=g)),
    "out of range": lambda g: (torch.rand(1, 1, 20, 27, generator=g) * 3 - 1, torch.rand(1, 1, 20, 27, generator=g)),
    "identical": lambda g: (torch.full((1, 1, 16, 16), 0.3), torch.full((1, 1, 16, 16), 0.3)),
    "constant": lambda g: (torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)),
    "smallest": lambda g: (torch.rand(1, 1, 11, 11, generator=g), torch.rand(1, 1, 11, 11, generator=g)),
}


@pytest.mark.parametrize("case", SSIM_CASES)
def test_ssim_equals_scikit_image(case: str) -> None:
    x, y = SSIM_CASES[case](torch.Generator().manual_seed(0))
    expected = [
        structural_similarity(
            a.double().numpy(),
            b.double().numpy(),
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
        )
        for a, b in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(ssim_per_image(x, y).numpy(), expected, atol=1e-12)


def test_rmse_is_one_root_over_everything() -> None:
    target = torch.zeros(4, 1, 2, 2)
    prediction = torch.tensor([0.0, 0.0, 0.0, 1.0])[:, None, None, None].expand(4, 1, 2, 2)
    meter = RMSE()
    meter.update(prediction[:1], target[:1])
    meter.update(prediction[1:], target[1:])
    # The mean of per-image roots would be .25.
    assert meter.result() == pytest.approx(0.5)


def test_worse_images_score_worse(images: Tensor) -> None:
    target = (images + 1) / 2
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    rmse, ssim = [], []
    for strength in (0.0, 0.05, 0.2, 0.5):
        meters = RMSE(), SSIM()
        for meter in meters:
            meter.update(target + strength * noise, target)
        rmse.append(meters[0].result())
        ssim.append(meters[1].result())
    assert rmse == sorted(rmse)
    assert ssim == sorted(ssim, reverse=True)
    assert (rmse[0], ssim[0]) == (0, pytest.approx(1))


@pytest.mark.parametrize("metric", [RMSE, SSIM])
def test_merging_equals_seeing_everything(metric: type[RMSE] | type[SSIM], images: Tensor) -> None:
    x, y = (images + 1) / 2, images.flip(0).abs()
    whole, first, second = metric(), metric(), metric()
    whole.update(x, y)
    first.update(x[:1], y[:1])
    second.update(x[1:], y[1:])
    first.merge(second)  # type: ignore[arg-type]
    assert first.result() == pytest.approx(whole.result(), rel=1e-14)


@pytest.mark.parametrize(("count", "dim"), [(500, 16), (2000, 128), (100, 64)])
def test_frechet_equals_torch_fidelity(count: int, dim: int) -> None:
    a, b = random_features(count, dim, 0), random_features(count, dim, 1)
    ours = frechet_distance(statistics(a, 37), statistics(b, 300))
    assert ours == pytest.approx(torch_fidelity_distance(a, b), rel=1e-6)


def test_frechet_with_fewer_images_than_features() -> None:
    a, b = random_features(40, 64, 0), random_features(30, 64, 1)
    ours = frechet_distance(statistics(a), statistics(b))
    assert ours == pytest.approx(torch_fidelity_distance(a, b), rel=1e-6)


def test_frechet_of_identical_sets_is_zero() -> None:
    for count in (500, 20):
        a = random_features(count, 64, 3)
        scale = float(statistics(a).covariance().trace())
        assert frechet_distance(statistics(a), statistics(a)) <= 1e-12 * scale


def test_frechet_of_constant_features_is_the_squared_distance_of_the_means() -> None:
    a, b = torch.full((50, 8), 3.0), torch.full((50, 8), 1.0)
    assert frechet_distance(statistics(a, 7), statistics(b, 7)) == pytest.approx(8 * 4, rel=1e-12)
    assert frechet_distance(statistics(a, 7), statistics(a, 9)) == 0


def test_frechet_of_gaussians_in_closed_form() -> None:
    """Samples whitened to have exactly the moments (0, I) and (m, 4 I): |m|^2 + d (2 - 1)^2."""
    x = torch.randn(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    centred = x - x.mean(dim=0)
    whitened = centred @ torch.linalg.inv(torch.linalg.cholesky(centred.T.cov()).T)
    shifted = 2 * whitened + torch.arange(5.0, dtype=torch.float64)
    assert frechet_distance(statistics(whitened), statistics(shifted)) == pytest.approx(30 + 5, rel=1e-9)


def test_feature_statistics_do_not_depend_on_batching() -> None:
    features = random_features(300, 32, 0)
    reference = statistics(features, 300)
    for batch in (1, 7, 256):
        result = statistics(features, batch)
        torch.testing.assert_close(result.mean, reference.mean, atol=1e-13, rtol=1e-13)
        torch.testing.assert_close(result.covariance(), reference.covariance(), atol=1e-12, rtol=1e-12)
    halves = statistics(features[:100])
    halves.merge(statistics(features[100:]))
    torch.testing.assert_close(halves.covariance(), reference.covariance(), atol=1e-12, rtol=1e-12)


def test_mnist_cnn_is_registered_with_torch_fidelity() -> None:
    pixels = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    theirs = create_feature_extractor("mnist-cnn", ["128"], cuda=False)(pixels)[0]
    torch.testing.assert_close(theirs, mnist_cnn(torch.device("cpu")).extract(pixels / 255))
    assert theirs.shape == (3, 128)


def test_inception_reads_clamped_8_bit_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extractor, with random weights in the place of those that cannot ship."""
    with pytest.raises(Missing, match="coldbench fetch inception"):
        inception(torch.device("cpu"))
    path = inception_weights()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    with pytest.raises(BadInput, match="is damaged"):
        inception(torch.device("cpu"))
    with monkeypatch.context() as patch:
        patch.setattr(feature_extractor_inceptionv3, "load_state_dict_from_url", lambda *a, **k: {})
        patch.setattr(torch.nn.Module, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        random = feature_extractor_inceptionv3.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.save(random.state_dict(), path)
    monkeypatch.setattr(features, "INCEPTION_SHA256", "")
    monkeypatch.setattr(features, "inception_weights", lambda: path)
    space = inception(torch.device("cpu"))
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.1
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).repeat(1, 3, 1, 1)
    torch.testing.assert_close(space.extract(images), random(pixels)[0])
    assert (space.metric, space.sha256) == ("FID", sha256_of(path))


def test_one_image_has_no_covariance() -> None:
    with pytest.raises(BadInput, match="at least 2 images"):
        frechet_distance(statistics(torch.ones(1, 4)), statistics(torch.ones(5, 4)))


@pytest.mark.parametrize("metric", audit.TOLERANCES)
def test_a_deviation_above_its_tolerance_fails(metric: str) -> None:
    limit = audit.TOLERANCES[metric]
    audit.check_deviation(metric, 0.9 * limit, "sampled")
    for deviation in (1.1 * limit, math.nan):
        with pytest.raises(CheckFailed, match=f"audit failed: the {metric} of sampled"):
            audit.check_deviation(metric, deviation, "sampled")


def test_the_audit_finds_a_wrong_metric(monkeypatch: pytest.MonkeyPatch, images: Tensor) -> None:
    prediction, features = images * 0.9, torch.rand(16, 5)
    assert audit.audit_ssim(prediction, images) < 1e-12
    assert audit.audit_rmse(prediction, images) < 1e-12
    assert audit.audit_frechet(features, 2 * features) < 1e-6
    monkeypatch.setattr(SSIM, "result", lambda self: 0.5)
    monkeypatch.setattr(RMSE, "result", lambda self: 0.5)
    monkeypatch.setattr(audit, "frechet_distance", lambda a, b: 7.0)
    assert audit.audit_ssim(prediction, images) > 0.1
    assert audit.audit_rmse(prediction, images) > 0.1
    assert audit.audit_frechet(features, 2 * features) > 0.1


def test_the_audit_sees_small_features(monkeypatch: pytest.MonkeyPatch) -> None:
    features = 3e-4 * torch.randn(16, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert audit.audit_frechet(features, 2 * features) < audit.TOLERANCES["FD"]
    monkeypatch.setattr(audit, "frechet_distance", lambda a, b: 0.0)
    assert audit.audit_frechet(features, 2 * features) > audit.TOLERANCES["FD"]


def test_the_audit_takes_a_single_feature_and_equal_ones() -> None:
    features = torch.rand(16, 1, generator=torch.Generator().manual_seed(0))
    assert audit.audit_frechet(features, 2 * features) < 1e-6
    assert audit.audit_frechet(torch.zeros(16, 3), torch.zeros(16, 3)) < 1e-6


@pytest.mark.parametrize("difference", [0.0, 1e-3, 1.0])
def test_the_audit_bears_with_the_reference_in_many_dimensions(difference: float) -> None:
    """16 images, 2,048 features: torch-fidelity's square root is one of a matrix of rank 15."""
    generator = torch.Generator().manual_seed(0)
    features = 2 * torch.randn(16, 2048, generator=generator).relu()
    others = features + difference * torch.randn(16, 2048, generator=generator)
    assert audit.audit_frechet(features, others) < audit.TOLERANCES["FID"]
