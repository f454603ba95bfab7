"""Restoration networks: the U-Nets of the paper, with the released checkpoints' parameter names."""
