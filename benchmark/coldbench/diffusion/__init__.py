"""The method: degradations, networks, samplers and generators, checkpoints and their training."""

#: The arithmetics of a network by name; see ``coldbench.diffusion.arithmetic``.
ARITHMETICS = ("float32", "tf32", "float32-then-tf32", "bfloat16", "float16")
