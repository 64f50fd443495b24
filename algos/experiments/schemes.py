"""The cells of the result tables: each a name and the config that makes it, none for the model as it is."""

from __future__ import annotations

from collections.abc import Sequence

from algos.apsq import ApsqConfig
from algos.quant import QuantConfig
from algos.scheme_config import SchemeConfig

K_TILE = 8
"""Reduction elements between two stores of a psum: the input channels the paper's array adds at once."""

PLAIN: dict[str, SchemeConfig | None] = {"fp32": None, "w8a8_psum_int32": QuantConfig()}
APSQ: dict[str, SchemeConfig | None] = {
    f"w8a8_apsq_int{bits}_gs{group}": ApsqConfig(bits=bits, group_size=group, k_tile=K_TILE)
    for bits, groups in ((8, (1, 2, 3, 4)), (6, (1, 4)), (4, (1, 4)))
    for group in groups
}


def name_of(steps: Sequence[SchemeConfig]) -> str:
    """What the tables call these steps; "" if they have no such row."""
    cells = ((name, () if config is None else (config,)) for name, config in (PLAIN | APSQ).items())
    return next((name for name, cell in cells if cell == tuple(steps)), "")
