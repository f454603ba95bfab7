"""The names of what the method is made of; importing this module loads none of it."""

from __future__ import annotations

from coldbench.core.registry import Registry
from coldbench.core.steps import split_steps, with_steps

DEGRADATIONS = Registry(
    "degradation",
    {
        "blend": "coldbench.diffusion.degradations.blend:Blend",
        "blur": "coldbench.diffusion.degradations.blur:blur",
        "heat": "coldbench.diffusion.degradations.heat:heat",
        "inpaint": "coldbench.diffusion.degradations.inpaint:Inpainting",
        "noise": "coldbench.diffusion.degradations.noise:GaussianNoise",
        "snow": "coldbench.diffusion.degradations.snow:Snow",
        "superres": "coldbench.diffusion.degradations.superres:super_resolution",
    },
)
NETWORKS = Registry(
    "network",
    {
        "convnext-unet": "coldbench.diffusion.networks.convnext_unet:ConvNextUnet",
        "ddpm-unet": "coldbench.diffusion.networks.ddpm_unet:DdpmUnet",
    },
)


class SamplerRegistry(Registry):
    """Samplers by name; ``NAME@n`` is one that takes n of the T steps, see ``coldbench.diffusion.samplers.strided``."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(split_steps(name)[0] if isinstance(name, str) else name)

    def key(self, name: str) -> str:
        method, steps = split_steps(name)
        return super().key(method) if steps is None else with_steps(super().key(method), steps)


#: What tables and commands call a method: see ``coldbench.diffusion.samplers``.
SAMPLERS = SamplerRegistry(
    "sampler",
    {
        "degraded": "coldbench.diffusion.samplers:DEGRADED",
        "sampled": "coldbench.diffusion.samplers:IMPROVED",
        "improved": "coldbench.diffusion.samplers:IMPROVED",
        "direct": "coldbench.diffusion.samplers:DIRECT",
        "naive": "coldbench.diffusion.samplers:NAIVE",
        "fixed-noise": "coldbench.diffusion.samplers:FIXED_NOISE",
        "estimated-noise": "coldbench.diffusion.samplers:ESTIMATED_NOISE",
        "ddpm": "coldbench.diffusion.samplers:DDPM",
        "indi": "coldbench.diffusion.samplers:INDI",
        "ihdm": "coldbench.diffusion.samplers:IHDM",
        "perfect-symmetry": "coldbench.diffusion.samplers:PERFECT_SYMMETRY",
        "broken-symmetry": "coldbench.diffusion.samplers:BROKEN_SYMMETRY",
    },
)
#: Restoration models from outside; coldbench's own are the checkpoints of ``registry.toml``.
RESTORERS = Registry("restorer", {})
