"""Which orthogonal rotation a vector goes through, as a product of Hadamard stages, and its integer scales."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from accelsim.schemes.hadamard_orders import construction, factorise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_WIDTH = 2**20
MAX_POINTS = 2**16
CHIP_POINTS = 64
"""Longest FWHT of the local rotation unit of the ReRAM-on-logic chip (ISSCC 2026, 31.1)."""


@dataclass(frozen=True)
class Window:
    """`order` blocks of `points` channels from channel `start` on, multiplied by H_order x H_points / sqrt(size)."""

    start: int
    points: int
    order: int

    @property
    def size(self) -> int:
        """Channels that the window mixes."""
        return self.points * self.order

    @property
    def adds(self) -> int:
        """points log2(points) butterflies' adds per block, and a dense +-1 product of the order."""
        return self.size * (self.points.bit_length() - 1 + (self.order if self.order > 1 else 0))


@dataclass(frozen=True)
class RotationScheme:
    """y = D x, then y[window] = (H_order x H_points) y[window] / sqrt(order points), stage by stage.

    Channel b * points + p of a window is point p of block b. `local` False: windows of `order` x
    `points` channels side by side cover the width, one stage; more than one are per-head rotations.
    `local` True: two stages of one window each on the first and the last `order` blocks (ISSCC 2026,
    31.1, its local rotation unit), which together cover the width. D has random signs drawn from
    `seed`, or is the identity for None. Raises ValueError for sizes that do not fit one another, and
    for an order without a Hadamard construction.
    """

    width: int
    points: int
    order: int = 1
    local: bool = False
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MAX_WIDTH:
            raise ValueError(f"rotation width {self.width} is outside 1..{MAX_WIDTH}")
        if not 1 <= self.points <= MAX_POINTS or self.points & (self.points - 1):
            raise ValueError(f"rotation points {self.points} is not a power of two in 1..{MAX_POINTS}")
        if construction(self.order) is None:
            raise ValueError(f"rotation order {self.order} has no Hadamard construction here")
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"rotation seed {self.seed} is negative")
        size = self.points * self.order
        if not self.local and self.width % size:
            raise ValueError(f"rotation width {self.width} is no multiple of points x order = {size}")
        if self.local and (self.width % self.points or not self.width <= 2 * size < 2 * self.width):
            raise ValueError(
                f"two windows of points x order = {size} channels, in blocks of {self.points}, "
                f"do not cover a width of {self.width}"
            )

    @classmethod
    def full(cls, width: int, seed: int | None = None) -> RotationScheme:
        """One window over the whole width, 2^k x m with the largest k; ValueError when there is none."""
        return cls(width, *factorise(width), seed=seed)

    @classmethod
    def two_stage(
        cls, width: int, *, max_points: int = CHIP_POINTS, overlap: float = 0.1, seed: int | None = None
    ) -> RotationScheme:
        """The local rotation with the fewest adds whose windows share at least `overlap` of the width.

        Searched over points <= max_points and every order that `hadamard` knows; ties go to the longer
        FWHT. 14336 gives 64 points and order 124. A width that one window within `max_points` can do
        with fewer adds still gets two. Raises ValueError when nothing covers the width.
        """
        found: list[tuple[int, int, int]] = []
        points = 1
        while points <= max_points and width % points == 0:
            blocks = width // points
            least = math.ceil(blocks * (1 + overlap) / 2)
            order = next((order for order in range(max(1, least), blocks) if construction(order)), None)
            if order is not None:
                found.append((2 * Window(0, points, order).adds, -points, order))
            points *= 2
        if not found:
            raise ValueError(f"no two windows of at most {max_points} points cover a width of {width}")
        _, negative_points, order = min(found)
        return cls(width, -negative_points, order, local=True, seed=seed)

    @property
    def stages(self) -> tuple[tuple[Window, ...], ...]:
        """The windows of each stage, in the order in which stages run."""
        size = self.points * self.order
        if self.local:
            return tuple((Window(start, self.points, self.order),) for start in (0, self.width - size))
        return (tuple(Window(start, self.points, self.order) for start in range(0, self.width, size)),)

    @property
    def adds(self) -> int:
        """Additions and subtractions per vector; sign flips are free."""
        return sum(window.adds for stage in self.stages for window in stage)

    @property
    def signs(self) -> NDArray[np.int8]:
        """The diagonal of D, entries +-1; the raw bits of PCG64, which no numpy release changes."""
        import numpy as np  # whoever only reads a trace does not wait for it

        if self.seed is None:
            return np.ones(self.width, np.int8)
        words = np.random.PCG64(self.seed).random_raw(self.width)
        return (1 - 2 * (words & np.uint64(1)).astype(np.int8)).astype(np.int8)

    def to_dict(self) -> dict[str, object]:
        """Plain numbers for JSON or YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> RotationScheme:
        """What `to_dict` made; ValueError for anything else."""
        if set(data) != {"width", "points", "order", "local", "seed"}:
            raise ValueError(f"a rotation is {{width, points, order, local, seed}}, not {sorted(data)}")
        width, points, order, seed = data["width"], data["points"], data["order"], data["seed"]
        if type(width) is not int or type(points) is not int or type(order) is not int:
            raise ValueError(f"rotation width, points and order are integers, not {width!r}, {points!r}, {order!r}")
        if not isinstance(data["local"], bool) or not (seed is None or type(seed) is int):
            raise ValueError(f"rotation local is a boolean and seed an integer, not {data['local']!r}, {seed!r}")
        return cls(width, points, order, data["local"], seed)
