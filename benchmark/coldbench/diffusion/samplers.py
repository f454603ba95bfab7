"""The methods that tables and commands name: each is a sampling function, and what it starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.registries import SAMPLERS
from coldbench.diffusion.sampling import (
    Restore,
    ddpm_step,
    estimated_noise_step,
    improved_step,
    naive_step,
    sample,
)

#: What x_T is: a degraded image, or one of the starts of ``coldbench.diffusion.generators``, or whatever the model has.
DEGRADED_IMAGE, ANY = "degraded", "any"
#: s -> fresh standard normal numbers shaped as the images, keyed by image: batches do not matter.
Noise = Callable[[int], Tensor]
#: (R, D, x_T, context, noise) -> images (B, C, S, S) in [-1, 1], unclamped; the context is what D drew for them.
Sample = Callable[[Restore, Degradation, Tensor, Tensor | None, Noise], Tensor]


@dataclass(frozen=True)
class Sampler:
    """A method.

    Attributes:
        sample: from (R, D, x_T, context, noise) to images. It calls R first at s = T with x_T itself, if at all.
        start: what x_T is: ``degraded`` (Tables 1-4), ``noise`` or ``channel-means`` (Table 5), or ``any``.
        symmetry_noise: std of the white noise added to a start of channel means, in units of [-1, 1].
        uses_network: whether R has a part in what it gives.
    """

    sample: Sample
    start: str = DEGRADED_IMAGE
    symmetry_noise: float = 0.0
    uses_network: bool = True

    def serves(self, start: str) -> bool:
        """Whether it can begin with what a model begins with (``degraded`` for one that restores)."""
        return self.start in (ANY, start)


def find_sampler(name: str) -> Sampler:
    """The method of this name; a plain function of ``Sample``'s arguments serves as one, from any start.

    Raises:
        BadInput: there is none, or it is no sampler.
    """
    found: Any = SAMPLERS[name]
    if isinstance(found, Sampler):
        return found
    if not callable(found):
        raise BadInput(f"sampler '{name}' is {type(found).__name__}, not a function (R, D, x_T, context, noise)")
    return Sampler(found, start=ANY)


def _degraded(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, noise: Noise) -> Tensor:
    """x_T itself."""
    return x_T


def _direct(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, noise: Noise) -> Tensor:
    """R(x_T, T)."""
    return restore(x_T, degradation.timesteps)


def _naive(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, noise: Noise) -> Tensor:
    """Algorithm 1."""
    return sample(restore, degradation, x_T, context, naive_step).sampled


def _improved(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, noise: Noise) -> Tensor:
    """Algorithm 2; from noise or channel means it is the generation of Section 5 with its start as context."""
    return sample(restore, degradation, x_T, context, improved_step).sampled


def _estimated(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, noise: Noise) -> Tensor:
    """Section 5.1 with estimated noise."""
    return sample(restore, degradation, x_T, context, estimated_noise_step).sampled


def _ddpm(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, noise: Noise) -> Tensor:
    """Ancestral sampling of DDPM."""
    return sample(restore, degradation, x_T, context, ddpm_step(noise)).sampled


DEGRADED = Sampler(_degraded, uses_network=False)
DIRECT = Sampler(_direct)
NAIVE = Sampler(_naive)
IMPROVED = Sampler(_improved)
FIXED_NOISE = Sampler(_improved, start="noise")
ESTIMATED_NOISE = Sampler(_estimated, start="noise")
DDPM = Sampler(_ddpm, start="noise")
PERFECT_SYMMETRY = Sampler(_improved, start="channel-means")
BROKEN_SYMMETRY = Sampler(_improved, start="channel-means", symmetry_noise=0.002)
