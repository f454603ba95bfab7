"""Restoring a degraded image: Algorithms 1 and 2 of the paper, and the single step it calls direct.

All of them call R at s = T, T-1, ..., 1 and differ only in how they step from x_s to x_{s-1}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from coldbench.core.errors import BadInput
from coldbench.diffusion.degradations.base import Degradation
from coldbench.diffusion.degradations.blend import Blend
from coldbench.diffusion.degradations.noise import GaussianNoise

#: Std of the noise of IHDM's sampler, in units of [-1, 1]: 1.25 times .01 for images in [0, 1] (Rissanen et al. 2022).
IHDM_DELTA = 0.025
#: R(x_s, s) -> x0 estimate; s = 1..T counts the degradations the image has undergone.
Restore = Callable[[Tensor, int], Tensor]
#: (degradation, x_s, x0 estimate, s, context) -> x_{s-1}
Step = Callable[[Degradation, Tensor, Tensor, int, Tensor | None], Tensor]


class Restored(NamedTuple):
    """Images (B, C, S, S) out of one pass, unclamped.

    Attributes:
        direct: the first prediction R(x_T, T).
        first_update: x_{T-1}, which the released code scores as Degraded in Tables 2 and 4.
        last_prediction: R(x_1, 1), which the released code scores in Tables 2-4.
        sampled: x_0 after the last update.
    """

    direct: Tensor
    first_update: Tensor
    last_prediction: Tensor
    sampled: Tensor


def sample(restore: Restore, degradation: Degradation, x_T: Tensor, context: Tensor | None, step: Step) -> Restored:
    """Run a sampling algorithm from x_T down to x_0.

    Args:
        restore: the restoration operator R.
        degradation: D, with its T.
        x_T: fully degraded images (B, C, S, S).
        context: what ``degradation.draw`` gave for these images.
        step: ``naive_step`` (Algorithm 1) or ``improved_step`` (Algorithm 2).
    """
    T = degradation.timesteps
    context = degradation.expand(context)
    direct = x0_hat = restore(x_T, T)
    first_update = x = step(degradation, x_T, x0_hat, T, context)
    for s in range(T - 1, 0, -1):
        x0_hat = restore(x, s)
        x = step(degradation, x, x0_hat, s, context)
    return Restored(direct, first_update, x0_hat, x)


def naive_step(degradation: Degradation, x: Tensor, x0_hat: Tensor, s: int, context: Tensor | None) -> Tensor:
    """Algorithm 1: x_{s-1} = D(x0_hat, s-1)."""
    return degradation(x0_hat, s - 1, context)


def improved_step(degradation: Degradation, x: Tensor, x0_hat: Tensor, s: int, context: Tensor | None) -> Tensor:
    """Algorithm 2: x_{s-1} = x_s - D(x0_hat, s) + D(x0_hat, s-1)."""
    harsher, milder = degradation.pair(x0_hat, s, context)
    return x - harsher + milder


def shifted_step(degradation: Degradation, x: Tensor, x0_hat: Tensor, s: int, context: Tensor | None) -> Tensor:
    """Algorithm 2 as the released snow code runs it: one severity too mild, and no last update (PROTOCOL 3)."""
    return x if s == 1 else improved_step(degradation, x, x0_hat, s - 1, context)


def shifted_naive_step(degradation: Degradation, x: Tensor, x0_hat: Tensor, s: int, context: Tensor | None) -> Tensor:
    """Algorithm 1 as the released snow code runs it, one severity too mild."""
    return degradation(x0_hat, max(s - 2, 0), context)


def estimated_noise_step(degradation: Degradation, x: Tensor, x0_hat: Tensor, s: int, context: Tensor | None) -> Tensor:
    """Section 5.1, *estimated noise*: D(x0_hat, s-1) with the noise that x_s implies instead of the one it began with.

    *Fixed noise* is ``improved_step`` with the starting noise as context.
    """
    return degradation(x0_hat, s - 1, _noise(degradation).noise_in(x, x0_hat, degradation.severity(s)))


def _noise(degradation: Degradation) -> GaussianNoise:
    """The degradation, if the hot samplers can use it.

    Raises:
        BadInput: it is not Gaussian noise.
    """
    if not isinstance(degradation.whole, GaussianNoise):
        raise BadInput("estimated noise and DDPM sample from Gaussian noise only; from blends, indi does")
    return degradation.whole


def ddpm_step(draw: Callable[[int], Tensor]) -> Step:
    """DDPM ancestral sampling (Ho et al. 2020, Algorithm 2), with eps derived from the x0 estimate.

    x_{s-1} = 1/sqrt(a) (x_s - (1 - a)/sqrt(1 - abar_s) eps) + sigma z, with a = abar_s / abar_{s-1} and
    sigma^2 = 1 - a, the choice that is exact for unit-variance data. No noise is added at s = 1.

    Args:
        draw: s -> z, standard normal, shaped as the images; keyed by image, so that batches do not matter.
    """

    def step(degradation: Degradation, x: Tensor, x0_hat: Tensor, s: int, context: Tensor | None) -> Tensor:
        gaussian, harsher, milder = _noise(degradation), degradation.severity(s), degradation.severity(s - 1)
        signal, noise = gaussian.scales(harsher, x)
        alpha = (signal / gaussian.scales(milder, x)[0]) ** 2
        mean = (x - (1 - alpha) / noise * gaussian.noise_in(x, x0_hat, harsher)) / alpha.sqrt()
        return mean if s == 1 else mean + (1 - alpha).sqrt() * draw(s).to(x.device)

    return step


def indi_step(degradation: Degradation, x: Tensor, x0_hat: Tensor, s: int, context: Tensor | None) -> Tensor:
    """InDI (Delbracio & Milanfar 2023): D(x0_hat, s-1) with the y that x_s implies instead of the one it began with.

    Where D(x, s) = x + (s/T) (y - x), that y is x0_hat + (T/s) (x_s - x0_hat), which gives x_s + (x0_hat - x_s) / s,
    or (s - t)/s of the way to x0_hat in a step from s to t.
    ``improved_step`` takes the y that x_T was instead: on a blend, the two are what estimated noise and fixed noise are
    on Gaussian noise.

    Raises:
        BadInput: the degradation is no blend.
    """
    if not isinstance(degradation.whole, Blend):
        raise BadInput("indi samples from blends only, such as --model mnist-blend")
    harsher, milder = degradation.severity(s), degradation.severity(s - 1)
    return x + (x0_hat - x) * (harsher - milder) / harsher


def ihdm_step(draw: Callable[[int], Tensor], delta: float = IHDM_DELTA) -> Step:
    """IHDM (Rissanen et al. 2022): x_{s-1} = D(x0_hat, s-1) + delta z, and no noise at s = 1.

    Its network predicts the image that is one step less blurred; of one that predicts x_0, that is D(x0_hat, s-1).

    Args:
        draw: see ``ddpm_step``.
        delta: std of the noise, in units of [-1, 1].
    """

    def step(degradation: Degradation, x: Tensor, x0_hat: Tensor, s: int, context: Tensor | None) -> Tensor:
        mean = naive_step(degradation, x, x0_hat, s, context)
        return mean if s == 1 else mean + delta * draw(s).to(x.device)

    return step
