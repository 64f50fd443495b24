"""What a search found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from accelsim.mapping.nest import Mapping

Objective = Literal["energy", "latency", "edp"]
StopReason = Literal["proved", "budget", "orders", "limits"]
"""Nothing is better; the budget was spent; every loop order to start from was tried, and there are others; tile
sizes or storage positions that the kernels have no room for were left out."""


@dataclass(frozen=True)
class SearchResult:
    """The best mapping found and what is known of the rest; energy and time by the closed form.

    `gap` bounds how much lower the objective of any mapping of the map space can be, relative to this
    one (of the orders tried): at most the tolerance when `proved`. `counted` mappings were priced.
    """

    mapping: Mapping
    objective: Objective
    energy_pj: float
    latency_fs: float
    proved: bool
    gap: float
    stop_reason: StopReason
    counted: int
