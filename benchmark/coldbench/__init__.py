"""coldbench: evaluation and benchmarking of Cold Diffusion.

The public functions are those of ``coldbench.api`` and ``sampling.sample``; they are imported when first used, since torch
takes seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from coldbench.api import build_degradation, evaluate, load_model, open_images
    from coldbench.diffusion.sampling import sample

__all__ = ["build_degradation", "evaluate", "load_model", "open_images", "sample"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'coldbench' has no attribute '{name}'")
    import importlib

    return getattr(
        importlib.import_module("coldbench.diffusion.sampling" if name == "sample" else "coldbench.api"), name
    )
