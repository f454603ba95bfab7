"""Degradations D(x, s): one module a family, each one line in ``coldbench.diffusion.catalog``."""
