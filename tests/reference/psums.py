"""Partial sums requantised step by step, for one output, straight from the formulas of APSQ.

Plain Python integers and fractions; nothing of `accelsim` is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction


def quantised(x: int, shift: int, bits: int) -> int:
    """Q(x; 2^shift, bits): round half up, then clamp to +-(2^(bits-1) - 1)."""
    rounded = math.floor(Fraction(x, 2**shift) + Fraction(1, 2))
    limit = 2 ** (bits - 1) - 1
    return max(-limit, min(limit, rounded))


def apsq(products: Sequence[int], shifts: Sequence[int], bits: int, group_size: int) -> int:
    """The output of tile products Tp_0..Tp_{T-1}, in the closed form of the recursion.

    n = 0                        t = Tp_0
    n = m gs, m >= 1             t = Tp_n + sum of alpha_j q_j over j = n - gs .. n - 1
    n = T - 1, r = n mod gs > 0  t = Tp_n + sum of alpha_j q_j over j = n - r .. n - 1
    otherwise                    t = Tp_n
    """
    last = len(products) - 1
    if last == 0:  # never leaves the accumulator
        return products[0]
    stored: list[int] = []
    for n, product in enumerate(products):
        if n == 0:
            added: Sequence[int] = ()
        elif n % group_size == 0:
            added = range(n - group_size, n)
        elif n == last:
            added = range(n - n % group_size, n)
        else:
            added = ()
        t = product + sum(2 ** shifts[j] * stored[j] for j in added)
        stored.append(quantised(t, shifts[n], bits))
    return 2 ** shifts[last] * stored[last]
