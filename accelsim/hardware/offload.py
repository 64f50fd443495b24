"""A DMA engine that moves rows of tiles through a cache, and the host core that issues a command a tile."""

from __future__ import annotations

import math
from dataclasses import dataclass

from accelsim.spec import offload


@dataclass(frozen=True)
class Rows:
    """Rows of a tile in memory, `row_bytes` contiguous bytes each, the next one `stride_bytes` further on."""

    rows: int
    row_bytes: int
    stride_bytes: int


@dataclass(frozen=True)
class Cache:
    """Lines of `line_bytes` in `sets` sets of `ways`."""

    sets: int
    ways: int
    line_bytes: int

    @property
    def capacity_bytes(self) -> int:
        return self.sets * self.ways * self.line_bytes

    def lines(self, tile: Rows) -> int:
        """Lines that a tile touches, each row from the start of one."""
        if tile.row_bytes >= tile.stride_bytes:
            return -(-tile.rows * tile.row_bytes // self.line_bytes)
        return tile.rows * -(-tile.row_bytes // self.line_bytes)

    def footprint_bytes(self, tile: Rows) -> float:
        """Room that the tile takes: its lines, over the share of the sets that rows at its stride reach.

        Rows a multiple of `line_bytes` apart begin in one set in gcd(stride, sets x line) / line, and cover as many
        sets as they have lines.
        """
        apart = math.gcd(tile.stride_bytes, self.sets * self.line_bytes)
        covered = -(-tile.row_bytes // self.line_bytes) * self.line_bytes
        return self.lines(tile) * self.line_bytes / min(1.0, covered / max(apart, self.line_bytes))


@dataclass(frozen=True)
class Dma:
    """Times in core cycles; `cache` None: every beat comes from the DRAM."""

    request_bytes: int
    bus_bytes_per_cycle: int
    outstanding: int
    latency_cycles: float
    cache: Cache | None

    def requested_bits(self, tile: Rows) -> int:
        """Bits that a tile's requests bring, whole requests."""
        return tile.rows * -(-tile.row_bytes // self.request_bytes) * self.request_bytes * 8

    def cycles(self, tile: Rows) -> float:
        """Of a tile whose lines are all in the cache: the beats of its requests, and latency / outstanding for each.

        That is the pessimistic bound of a closed system (Lazowska et al., Quantitative System Performance, 5.2):
        whenever the window of requests turns over, the bus waits. The optimistic one is the larger of the two.
        """
        whole, rest = divmod(tile.row_bytes, self.request_bytes)
        beats = whole * -(-self.request_bytes // self.bus_bytes_per_cycle) + -(-rest // self.bus_bytes_per_cycle)
        return tile.rows * (beats + (whole + (rest > 0)) * self.latency_cycles / self.outstanding)


@dataclass(frozen=True)
class Host:
    """Core cycles to issue one command."""

    matmul_issue_cycles: float
    conv_issue_cycles: float


def build_dma(spec: offload.Dma | None) -> Dma | None:
    """The DMA engine of a spec."""
    if spec is None:
        return None
    cache = None
    if spec.cache is not None:
        lines = round(spec.cache.capacity_kib * 1024) // spec.cache.line_bytes
        cache = Cache(lines // spec.cache.ways, spec.cache.ways, spec.cache.line_bytes)
    return Dma(spec.request_bytes, spec.bus_bytes_per_cycle, spec.outstanding, spec.latency_cycles, cache)


def build_host(spec: offload.Host | None) -> Host | None:
    """The host of a spec."""
    return None if spec is None else Host(spec.matmul_issue_cycles, spec.conv_issue_cycles)
