"""Metrics as streaming accumulators: float64 sums, mergeable, memory independent of the number of images."""
