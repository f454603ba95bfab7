"""Where generation starts: x_T of images that do not exist yet (Section 5).

A start is drawn image by image: the batch it is drawn in, its order and its device change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.core.randomness import normal_images
from coldbench.data.decoding import Pixels
from coldbench.data.transforms import to_model_range

#: Added to the fitted covariance, as the released code's mixture model adds it (PROTOCOL 2.6).
REGULARIZATION = 1e-6
#: Images read at a time by the fit.
_BATCH = 1000


def start_images(
    start: Mapping[str, Any], symmetry_noise: float, indices: Sequence[int], seed: int, shape: Sequence[int]
) -> Tensor:
    """x_T of these images, by what the registry says that a model starts from.

    Args:
        start: its ``name``, ``noise`` or ``channel-means``, and what was fitted.
        symmetry_noise, indices, seed, shape: see ``constant_start``.

    Raises:
        BadInput: an unknown start, or one that was not fitted.
    """
    if start["name"] == "noise":
        return noise_start(indices, seed, shape)
    if start["name"] == "channel-means":
        return constant_start(start, symmetry_noise, indices, seed, shape)
    raise BadInput(f"unknown start '{start['name']}'; known: noise, channel-means")


def noise_start(indices: Sequence[int], seed: int, shape: Sequence[int]) -> Tensor:
    """Hot diffusion's x_T: standard normal, float32 (B, C, S, S)."""
    return normal_images(indices, seed, "noise", shape)


def constant_start(
    fit: Mapping[str, Any], symmetry_noise: float, indices: Sequence[int], seed: int, shape: Sequence[int]
) -> Tensor:
    """Cold diffusion's x_T: constant images with channel means from the fitted Gaussian, plus a little white noise.

    Args:
        fit: ``mean`` (C,) and ``covariance`` (C, C) of channel means in [-1, 1], as ``fit_channel_means`` gives them.
        symmetry_noise: std of the noise, in units of [-1, 1]; 0 keeps the symmetry perfect.
        indices: of the images to come.
        seed: of the run.
        shape: (C, S, S).

    Returns:
        float32 (B, C, S, S).

    Raises:
        BadInput: the fit is absent, or is no Gaussian of C dimensions.
    """
    mean, factor = _gaussian(fit, channels=shape[0])
    means = mean + normal_images(indices, seed, "channel-means", shape[:1]).double() @ factor.T
    constant = means.float()[:, :, None, None].expand(-1, *shape)
    return constant + symmetry_noise * normal_images(indices, seed, "symmetry", shape)


def _gaussian(fit: Mapping[str, Any], channels: int) -> tuple[Tensor, Tensor]:
    """Mean (C,) and a factor L (C, C) of the covariance L L^T, float64."""
    try:
        mean = torch.tensor(fit["mean"], dtype=torch.float64)
        factor = torch.linalg.cholesky(torch.tensor(fit["covariance"], dtype=torch.float64))
    except KeyError as error:
        raise BadInput(f"no start images were fitted: the entry's start lacks {error}") from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"the entry's start is no Gaussian: {str(error).splitlines()[0]}") from error
    if not (mean.isfinite().all() and factor.isfinite().all()):
        raise BadInput("the entry's start is no Gaussian: it is not finite")
    if mean.shape != (channels,) or factor.shape != (channels, channels):
        raise BadInput(f"the entry's start is not of {channels} channels")
    return mean, factor


def fit_channel_means(images: Pixels) -> dict[str, Any]:
    """The Gaussian that start images are drawn from: one mixture component (PROTOCOL 2.6).

    Args:
        images: the training images in the transform of the evaluation; every one is read.

    Returns:
        ``mean`` (C,) and ``covariance`` (C, C; biased, plus ``REGULARIZATION`` on its diagonal) of the channel means
        in [-1, 1], as lists, ready for the registry.
    """
    blocks = [range(i, min(i + _BATCH, images.count)) for i in range(0, images.count, _BATCH)]
    means = torch.cat([to_model_range(images.batch(block)).double().mean(dim=(2, 3)) for block in blocks])
    covariance = torch.cov(means.T, correction=0).reshape(images.channels, images.channels)
    covariance = covariance + REGULARIZATION * torch.eye(images.channels, dtype=torch.float64)
    return {"mean": means.mean(dim=0).tolist(), "covariance": covariance.tolist()}
