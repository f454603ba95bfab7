"""The auditor: the metrics of a few images once more, by other people's code.

Our metrics are fast, streaming and in closed form; scikit-image's and torch-fidelity's are the references that
everybody knows. Every measurement recomputes its first images with them, and records how far apart the two are.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from coldbench.core.errors import CheckFailed
from coldbench.metrics.metric import Metric

#: Images audited in each measurement.
AUDITED = 16


def audited(metric: Metric, images: Tensor, against: Any, method: str, features: str = "") -> float | None:
    """The deviation of a metric from its reference on a few images; None where it has no reference.

    Args:
        metric: which.
        images, against: what ``Metric.deviation`` takes.
        method, features: what was measured, for messages.

    Raises:
        CheckFailed: the deviation is above the metric's tolerance, or is not a number.
    """
    deviation = metric.deviation(images, against)
    if deviation is not None and not deviation <= metric.audit_tolerance:
        raise CheckFailed(
            f"audit failed: the {metric.label(features)} of {method} is {deviation:.1e} from the reference's, "
            f"more than {metric.audit_tolerance:.0e}"
        )
    return deviation
