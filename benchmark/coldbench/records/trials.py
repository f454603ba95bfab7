"""What was found before a cheaper arithmetic was taken: its time, and how far it moved each metric."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """What ``--dtype auto`` found of one arithmetic, before the row was measured.

    Attributes:
        dtype: the arithmetic.
        images: how many of the row were measured in it.
        network_seconds: of that, inside the network's forward; None where it was not measured to the end.
        deviations: metric -> the largest difference of any method's number from that in float32, in the unit of the
            metric's tolerance.
        refused: why it could not be taken; empty where it could.
    """

    dtype: str
    images: int
    network_seconds: float | None
    deviations: dict[str, float]
    refused: str


def told(trial: Trial) -> str:
    """A trial in words, e.g. ``bfloat16 0.82 s, SSIM 2.1e-05, RMSE 4.0e-06``."""
    seconds = "" if trial.network_seconds is None else f" {trial.network_seconds:.3g} s"
    deviations = "".join(f", {metric} {deviation:.1e}" for metric, deviation in trial.deviations.items())
    return f"{trial.dtype}{seconds}{deviations}" + (f" (refused: {trial.refused})" if trial.refused else "")
