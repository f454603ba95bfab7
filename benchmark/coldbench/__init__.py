"""coldbench: evaluation and benchmarking of Cold Diffusion."""

__version__ = "0.1.0"
