"""The names of what the method is made of; importing this module loads none of it."""

from __future__ import annotations

from coldbench.core.registry import Registry

DEGRADATIONS = Registry(
    "degradation",
    {
        "blur": "coldbench.diffusion.degradations.blur:blur",
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
#: What tables and commands call a method: see ``coldbench.diffusion.samplers``.
SAMPLERS = Registry(
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
        "perfect-symmetry": "coldbench.diffusion.samplers:PERFECT_SYMMETRY",
        "broken-symmetry": "coldbench.diffusion.samplers:BROKEN_SYMMETRY",
    },
)
#: Restoration models from outside; coldbench's own are the checkpoints of ``registry.toml``.
RESTORERS = Registry("restorer", {})
