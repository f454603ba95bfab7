"""The Frechet distance against torch-fidelity's, and where the answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from coldbench.core.errors import BadInput
from coldbench.metrics import fid
from coldbench.metrics.fid import FID, audit_frechet
from coldbench.metrics.frechet import FeatureStatistics, frechet_distance


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


def test_one_image_has_no_covariance() -> None:
    with pytest.raises(BadInput, match="at least 2 images"):
        frechet_distance(statistics(torch.ones(1, 4)), statistics(torch.ones(5, 4)))


def test_few_images_for_many_dimensions_come_with_a_warning() -> None:
    assert FID.warning(129, "mnist-cnn", 128) == ""
    assert FID.warning(128, "mnist-cnn", 128).startswith("128 images are too few for the 128 dimensions of mnist-cnn")


def test_the_audit_sees_small_features(monkeypatch: pytest.MonkeyPatch) -> None:
    features = 3e-4 * torch.randn(16, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert audit_frechet(features, 2 * features) < FID.audit_tolerance
    monkeypatch.setattr(fid, "frechet_distance", lambda a, b: 0.0)
    assert audit_frechet(features, 2 * features) > FID.audit_tolerance


def test_the_audit_takes_a_single_feature_and_equal_ones() -> None:
    features = torch.rand(16, 1, generator=torch.Generator().manual_seed(0))
    assert audit_frechet(features, 2 * features) < 1e-6
    assert audit_frechet(torch.zeros(16, 3), torch.zeros(16, 3)) < 1e-6


@pytest.mark.parametrize("difference", [0.0, 1e-3, 1.0])
def test_the_audit_bears_with_the_reference_in_many_dimensions(difference: float) -> None:
    """16 images, 2,048 features: torch-fidelity's square root is one of a matrix of rank 15."""
    generator = torch.Generator().manual_seed(0)
    features = 2 * torch.randn(16, 2048, generator=generator).relu()
    others = features + difference * torch.randn(16, 2048, generator=generator)
    assert audit_frechet(features, others) < FID.audit_tolerance


@pytest.mark.parametrize("many", [False, True])
def test_the_audit_in_few_dimensions_is_that_in_all(many: bool) -> None:
    """torch-fidelity's number of all 40 dimensions, computed at length."""
    a, b = (torch.rand(n, 40, generator=torch.Generator().manual_seed(n), dtype=torch.float64) for n in (12, 300))
    b = b if many else b[:14]
    seen = FeatureStatistics()
    seen.update(b)
    few = {"mu": a.mean(0).numpy(), "sigma": a.T.cov().numpy()}
    whole = fid_statistics_to_metric(few, {"mu": seen.mean.numpy(), "sigma": seen.covariance().numpy()}, verbose=False)
    found, traces = fid._by_torch_fidelity(a, seen if many else b)
    assert found == pytest.approx(whole["frechet_inception_distance"], rel=1e-6)
    assert traces == pytest.approx(float(a.T.cov().trace() + b.T.cov().trace()))
