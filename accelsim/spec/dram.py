"""The schema of the memory outside the chip and how it is reached: interface, run-length codes, a strided DMA."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from accelsim.spec.fields import Cost, Fraction, Size, SpecModel

DramPreset = Literal[
    "lpddr3_1600", "lpddr3_1866", "lpddr4_3200", "lpddr4_4266", "lpddr5_6400", "ddr4_2400", "ddr4_3200", "hbm2_2000",
    "hbm2_2400", "hbm3_6400",
]  # fmt: skip


class RunLength(SpecModel):
    """A code for activations on their way to and from DRAM: runs of zeros, each with the value behind it."""

    run_bits: Annotated[int, Field(ge=1, le=16, strict=True)] = 5
    """Width of a run's length."""
    word_bits: Annotated[int, Field(ge=8, le=1024, strict=True)] = 64
    """Width of the words that whole pairs are packed into."""


class Dram(SpecModel):
    """Off-chip memory. Its energy never scales with the logic node."""

    kind: Literal["ddr3", "ddr4", "lpddr3", "lpddr4", "lpddr5", "lpddr5x", "gddr5", "gddr6", "hbm2", "hbm3"]
    """Memory type: picks energy per bit from the table of constants."""
    timing: DramPreset | None = None
    """Speed grade whose timing table gives what is left out below; the kind has to be its kind."""
    channels: Annotated[int, Field(ge=1, le=4096, strict=True)] | None = None
    """Channels of the `timing` preset (pseudo channels of an HBM); left out, one."""
    bandwidth_gb_per_s: Annotated[float, Field(ge=1e-9, le=1e12, allow_inf_nan=False, strict=True)] | None = None
    """Peak bandwidth, 10^9 bytes per second; left out, `channels` of the `timing` preset."""
    burst_bytes: Annotated[int, Field(ge=1, le=4096, strict=True)] | None = None
    """Smallest transfer, bytes; every tile is rounded up to it. Left out: the preset's, else 64."""
    bytes_between_turnarounds: Annotated[int, Field(ge=64, le=1 << 30, strict=True)] | None = None
    """Bytes that a channel of the `timing` preset reads (or writes) before it turns around; left out, 4096."""
    row_hit_efficiency: Fraction | None = None
    """Share of the peak bandwidth left after row misses, turnarounds and refresh. Left out: the preset's, else 0.9."""
    latency_ns: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False, strict=True)] | None = None
    """Time from a request to its first bit, ns. Left out: the preset's, else 100."""
    run_length: RunLength | None = None
    """How activations with zeros are compressed there; left out, not at all."""
    energy_pj_per_bit: Cost | None = None
    """Access energy per bit, pJ."""
    background_power_mw: Cost | None = None
    """Refresh and standby power, mW."""


class StridedDma(SpecModel):
    """Moves a conv's tile run by run out of tensors that lie in blocks of images and channels (nested convs only)."""

    run_ns: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False, strict=True)]
    """Time that every run of consecutive addresses adds to a transfer, ns: the next is asked for when one is there."""
    image_block: Size = 1
    """Images of a block."""
    channel_block: Size = 1
    """Input channels of a block."""
    filter_block: Size = 1
    """Output channels of a block."""
