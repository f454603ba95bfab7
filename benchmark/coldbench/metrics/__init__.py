"""Metrics: streaming accumulators in float64, mergeable, with intervals, and audited by other people's code."""
