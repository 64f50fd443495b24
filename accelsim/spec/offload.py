"""The schema of an accelerator that a host core drives command by command, through a DMA engine of its own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from accelsim.spec.fields import Positive, Size, SpecModel

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
