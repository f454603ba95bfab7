"""Sign test and Wilcoxon's signed-rank test, against closed forms."""

from __future__ import annotations

import pytest
import torch

from coldbench.metrics.paired_tests import paired_tests


def test_all_differences_of_one_sign() -> None:
    """Both tests then count one of 2^n orders of signs, at each end."""
    a, differences = torch.rand(8, dtype=torch.float64), torch.arange(1, 9, dtype=torch.float64)
    for b in (a + differences, a - differences):
        assert paired_tests(a, b) == pytest.approx((2 / 2**8, 2 / 2**8))


def test_the_sign_test_counts_and_wilcoxon_weighs() -> None:
    """Seven small gains and one great loss: 9 of 2^8 orders have so few losses, 25 a rank sum of so little."""
    differences = torch.tensor([1.0, 2, 3, 4, 5, 6, 7, -8])
    found = paired_tests(torch.zeros(8), differences)
    assert found.sign == pytest.approx(2 * (1 + 8) / 2**8)
    subsets = sum(sum(r for r in range(1, 9) if bits >> (r - 1) & 1) <= 8 for bits in range(2**8))
    assert found.wilcoxon == pytest.approx(2 * subsets / 2**8)


def test_equal_images_tell_nothing() -> None:
    a = torch.rand(5)
    assert paired_tests(a, a) == (1.0, 1.0)
    more = torch.cat((a, torch.zeros(20)))
    b = torch.cat((a + torch.arange(1, 6), torch.zeros(20)))
    assert paired_tests(more, b).sign == pytest.approx(2 / 2**5)
