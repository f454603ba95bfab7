"""The plain side: what the paper's description implies, without a thought for speed.

All images are in memory and go through every step together; D(x, s) is a chain of s convolutions, from scratch at every
step; the features of the originals are computed anew for each comparison; metrics are taken of all images at the end.
The network is called as our side calls it, so that the difference is in everything else.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from coldbench.commands.bench.clocks import SomeSteps
from coldbench.commands.bench.workloads import Job, clean
from coldbench.data.transforms import to_model_range
from coldbench.diffusion.degradations.blur import ROUTINES, gaussian_kernel
from coldbench.diffusion.generators import start_images
from coldbench.diffusion.samplers import find_sampler
from coldbench.evaluation.generation import Generation, as_file
from coldbench.evaluation.loop import to_unit
from coldbench.evaluation.restoration import Task
from coldbench.metrics.features import FeatureSpace
from coldbench.metrics.frechet import FeatureStatistics, frechet_distance
from coldbench.metrics.pixelwise import ssim_per_image

#: (method, metric) -> the number.
Numbers = dict[tuple[str, str], float]


class Chain:
    """Blur as the paper defines it: D(x, s) = G_s * ... * G_1 * x, one depthwise convolution after the other.

    Args:
        steps: the blur with which it is compared; tells the settings.
    """

    def __init__(self, steps: SomeSteps) -> None:
        self.steps, settings = steps, steps.whole.settings
        schedule, self.padding = ROUTINES[settings["routine"]]
        self.timesteps, self.discrete = steps.whole.timesteps, settings.get("discrete", False)
        size, std = settings.get("kernel_size", 11), settings.get("std") or 0.0
        kernels = [gaussian_kernel(size, schedule(i, std)).float() for i in range(self.timesteps)]
        device = steps.clock.device
        self.kernels = [torch.outer(kernel, kernel)[None, None].to(device) for kernel in kernels]

    def __call__(self, x: Tensor, s: int) -> Tensor:
        """D(x, s) of images (B, C, S, S), severity s of all T."""
        channels, reach = x.shape[1], self.kernels[0].shape[-1] // 2
        for kernel in self.kernels[:s]:
            padded = F.pad(x, (reach,) * 4, mode=self.padding)
            x = F.conv2d(padded, kernel.expand(channels, 1, -1, -1), groups=channels)
        if self.discrete and s == self.timesteps:
            x = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
        return x


@torch.inference_mode()
def measure_plainly(job: Job) -> Numbers:
    """Degrade, restore or generate, and score; of the job's clock, the same parts as our side's."""
    chain = Chain(job.steps)
    if isinstance(job.task, Generation):
        return _generated(job, job.task, chain)
    return _restored(job, job.task, chain)


def _sampled(job: Job, chain: Chain, x: Tensor) -> tuple[Tensor, Tensor]:
    """Algorithm 2 from x_T: the first prediction, and x_0."""
    direct = None
    for i in range(job.steps.timesteps, 0, -1):
        x0_hat, s = job.restore(x, i), job.steps.severity(i)
        direct = x0_hat if direct is None else direct
        with job.clock.part("degrading"):
            harsher, milder = chain(x0_hat, s), chain(x0_hat, s - 1)
        x = x - harsher + milder
    assert direct is not None
    return direct, x


def _restored(job: Job, task: Task, chain: Chain) -> Numbers:
    x0 = to_model_range(task.pixels.batch(range(task.images)).to(task.device))
    with job.clock.part("degrading"):
        x_T = chain(x0, job.steps.severity(job.steps.timesteps))
    direct, sampled = _sampled(job, chain, x_T)
    originals = to_unit(x0)
    numbers: Numbers = {}
    for method, images in {"degraded": x_T, "direct": direct, "sampled": sampled}.items():
        restored = to_unit(images)
        numbers[method, "FID"] = _distance(task.features[0], restored, originals)
        with job.clock.part("metrics"):
            numbers[method, "SSIM"] = float(ssim_per_image(restored, originals).mean())
            numbers[method, "RMSE"] = math.sqrt(float((restored.double() - originals.double()).square().mean()))
    return numbers


def _generated(job: Job, task: Generation, chain: Chain) -> Numbers:
    numbers: Numbers = {}
    for method in task.methods:
        noise = find_sampler(method).symmetry_noise
        x_T = start_images(task.start, noise, range(task.images), task.seed, task.shape)
        _, x = _sampled(job, chain, x_T.to(task.device))
        numbers[method, "FID"] = _distance(task.features[0], as_file(to_unit(x)), clean(job.originals, task.device))
    return numbers


def _distance(space: FeatureSpace, images: Tensor, originals: Tensor) -> float:
    """The Frechet distance of two sets of images, with nothing kept from another comparison."""
    ours, theirs = FeatureStatistics(), FeatureStatistics()
    ours.update(space.extract(images))
    theirs.update(space.extract(originals))
    return frechet_distance(ours, theirs)
