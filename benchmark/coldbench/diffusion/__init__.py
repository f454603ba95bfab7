"""The method: degradations, networks, samplers and generators, checkpoints and their training."""
