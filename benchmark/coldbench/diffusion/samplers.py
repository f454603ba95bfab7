"""The methods that tables and commands name: each is a sampling function, and what it starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.core.steps import split_steps
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.degradations.blend import Blend
from coldbench.diffusion.degradations.noise import GaussianNoise
from coldbench.diffusion.degradations.strided import Strided
from coldbench.diffusion.registries import SAMPLERS
from coldbench.diffusion.sampling import (
    Restore,
    ddpm_step,
    estimated_noise_step,
    ihdm_step,
    improved_step,
    indi_step,
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
        degradation: the only kind of D that it samples from; None where any will do.
        stepwise: whether it goes from x_T to x_0 step by step, and could take fewer steps.
    """

    sample: Sample
    start: str = DEGRADED_IMAGE
    symmetry_noise: float = 0.0
    uses_network: bool = True
    degradation: type[Degradation] | None = None
    stepwise: bool = True

    def serves(self, start: str) -> bool:
        """Whether it can begin with what a model begins with (``degraded`` for one that restores)."""
        return self.start in (ANY, start)

    def is_made_for(self, start: str, degradation: Degradation) -> bool:
        """Whether it serves a model of this start and D, and not just as it would serve any other."""
        if self.degradation is None:
            return self.start == start
        return self.serves(start) and isinstance(degradation, self.degradation)


def find_sampler(name: str) -> Sampler:
    """The method of this name; a plain function of ``Sample``'s arguments serves as one, from any start.

    Args:
        name: in ``SAMPLERS``, or ``module:attribute``; with ``@n`` behind it for n of the T steps, see ``strided``.

    Raises:
        BadInput: there is none, it is no sampler, or it takes no such number of steps.
    """
    name, steps = split_steps(name)
    found: Any = SAMPLERS[name]
    if not isinstance(found, Sampler):
        if not callable(found):
            raise BadInput(f"sampler '{name}' is {type(found).__name__}, not a function (R, D, x_T, context, noise)")
        found = Sampler(found, start=ANY)
    if steps is None:
        return found
    if not found.stepwise:
        raise BadInput(f"{name} takes no steps, so it cannot take {steps} of them: name another method")
    return strided(found, steps)


def strided(sampler: Sampler, steps: int) -> Sampler:
    """The method with n of the T steps: those between the severities of ``degradations.strided.severities``.

    With n = T it is the method itself. A single step is R(x_T, T), whatever the method: Direct. (Algorithm 2 as it is
    printed would then give R(x_T, T) + x_T - D(R(x_T, T), T); of the other methods, one step is Direct anyway.)

    Args:
        sampler: the method.
        steps: n, from 1; more than T is found out when it is called.
    """

    def sampled(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, n: Noise) -> Tensor:
        some = Strided(degradation, steps)
        return sampler.sample(
            lambda x, s: restore(x, some.severities[s]), some, x_T, context, lambda s: n(some.severities[s])
        )

    return replace(sampler, sample=_direct if steps == 1 else sampled)


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


def _indi(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, noise: Noise) -> Tensor:
    """InDI, Algorithm 2 on a blend with the other image estimated instead of fixed."""
    return sample(restore, degradation, x_T, context, indi_step).sampled


def _ihdm(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, noise: Noise) -> Tensor:
    """IHDM, Algorithm 1 with a little fresh noise at every step but the last."""
    return sample(restore, degradation, x_T, context, ihdm_step(noise)).sampled


DEGRADED = Sampler(_degraded, uses_network=False, stepwise=False)
DIRECT = Sampler(_direct, stepwise=False)
NAIVE = Sampler(_naive)
IMPROVED = Sampler(_improved)
FIXED_NOISE = Sampler(_improved, start="noise")
ESTIMATED_NOISE = Sampler(_estimated, start="noise", degradation=GaussianNoise)
DDPM = Sampler(_ddpm, start="noise", degradation=GaussianNoise)
INDI = Sampler(_indi, start=ANY, degradation=Blend)
IHDM = Sampler(_ihdm, start=ANY)
PERFECT_SYMMETRY = Sampler(_improved, start="channel-means")
BROKEN_SYMMETRY = Sampler(_improved, start="channel-means", symmetry_noise=0.002)
