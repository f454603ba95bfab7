"""Whether two methods differ on the same images, by tests that assume nothing of how a metric is distributed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, wilcoxon
from torch import Tensor


class PairedTests(NamedTuple):
    """Two-sided p-values.

    Attributes:
        sign: of the sign test: that either method is the better one on as many images.
        wilcoxon: of Wilcoxon's signed-rank test: that the differences lie symmetrically about zero.
    """

    sign: float
    wilcoxon: float


def paired_tests(a: Tensor, b: Tensor) -> PairedTests:
    """Both tests of one metric of two methods, image by image; images on which they are equal tell nothing.

    Args:
        a, b: (N,), of the same images in the same order.
    """
    differences = (b - a).double().numpy()
    differences = differences[differences != 0]
    if not len(differences):
        return PairedTests(1.0, 1.0)
    sign = binomtest(int(np.sum(differences > 0)), len(differences)).pvalue
    return PairedTests(float(sign), float(wilcoxon(differences).pvalue))
