"""The schema of accelerators that a host drives: command by command through a DMA engine, or kernel by kernel."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from accelsim.spec.fields import Fraction, Positive, Size, SpecModel

Cycles = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False, strict=True)]


class Cache(SpecModel):
    """A cache between the DMA engine and the DRAM, least recently used lines leaving first."""

    capacity_kib: Positive
    """All ways, KiB."""
    ways: Size
    """Lines of equal address bits that it holds."""
    line_bytes: Size = 64
    """What a miss fetches."""


class Dma(SpecModel):
    """Moves a tile row by row: requests of one contiguous row each, or of a part of a long one."""

    request_bytes: Size
    """The most of one request."""
    bus_bytes_per_cycle: Size
    """Width of its bus, a beat a core cycle."""
    outstanding: Size
    """Requests in flight at once."""
    latency_cycles: Cycles
    """Core cycles from a request to its answer out of the cache."""
    cache: Cache | None = None
    """Left out: every beat comes from the DRAM."""


class Host(SpecModel):
    """A core that issues a command a tile; the array and the DMA engine then work through it by themselves."""

    matmul_issue_cycles: Cycles
    """Core cycles to issue the command of a matmul's tile."""
    conv_issue_cycles: Cycles
    """Core cycles to issue the command of a conv's tile."""


Microseconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False, strict=True)]


class Launches(SpecModel):
    """Time from one kernel's end to the next one's begin, by what it computes."""

    matmul_us: Microseconds = 0.0
    """Of a matmul, microseconds."""
    softmax_us: Microseconds = 0.0
    """Of a softmax, microseconds."""
    normalize_us: Microseconds = 0.0
    """Of a normalisation, microseconds."""
    elementwise_us: Microseconds = 0.0
    """Of any other function, microseconds."""


class Kernels(SpecModel):
    """Ops run as kernels on many cores, one kernel after the other. The spec's array and units are one core's, its
    memories are shared by all."""

    cores: Size
    """Cores alike that share an op's output tiles, wave by wave."""
    tile_rows: Size
    """Rows of the output tile that a core works on; fewer where the output has fewer."""
    tile_cols: Size
    """Columns of it."""
    overlap_kib: Positive
    """Memory of all cores in which tiles are double buffered, so that loads overlap computing, KiB."""
    stores: Literal["overlapped", "serial"] = "overlapped"
    """Whether a matmul's results are written while further tiles are computed, or the cores wait for it."""
    peak_efficiency: Fraction = 1.0
    """Share of its peak that a busy array reaches."""
    launch: Launches = Launches()
    """Fixed cost of a kernel."""
