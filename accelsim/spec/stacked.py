"""The schema of what language-model accelerators add: memory dies on the logic die, further chips, units for
compressed models, and where weights live."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from accelsim.spec.fields import Bits, Cost, Fraction, Positive, Size, SpecModel

StackTechnology = Literal["reram", "dram", "sram"]
Nanoseconds = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False, strict=True)]


class OperatingPoint(SpecModel):
    """A clock, and the supply that it needs."""

    clock_mhz: Annotated[float, Field(ge=0.001, le=10_000, strict=True)]
    """Core clock, MHz."""
    voltage_v: Annotated[float, Field(ge=0.4, le=1.8, strict=True)]
    """Supply of the logic die at this clock, V."""


class ReramStack(SpecModel):
    """Memory dies bumped onto the logic die, each with a port of its own. They hold weights."""

    technology: StackTechnology = "reram"
    """What the dies are: picks the costs and times that are left out. Only SRAM scales with the logic's node."""
    dies: Size
    """Memory dies; words of a weight are interleaved over all of them."""
    tiers: Size = 1
    """Layers of dies above the logic; the dies of a layer lie side by side."""
    die_capacity_kib: Annotated[float, Field(ge=1, le=1 << 30, strict=True)]
    """Capacity of a die, KiB."""
    banks_per_die: Size = 1
    """Banks that a die's port takes turns with: each is busy for `bank_cycle_ns` with a word."""
    read_bits_per_cycle: Annotated[int, Field(ge=1, le=1 << 20, strict=True)]
    """Width of a die's port: one word, bits."""
    clock_mhz: Annotated[float, Field(ge=0.001, le=10_000, strict=True)]
    """Clock of the dies' ports, MHz: a word a cycle, as long as there are banks enough."""
    crossing_cycles: Annotated[int, Field(ge=0, le=64, strict=True)] = 2
    """Core cycles in which what arrives crosses from the dies' clock to the core's."""
    read_latency_ns: Nanoseconds | None = None
    """Time from a request to its first word, the crossing left out, ns."""
    bank_cycle_ns: Nanoseconds | None = None
    """Time that a bank is busy with one word of a stream, ns."""
    read_energy_pj_per_bit: Cost | None = None
    """Energy of reading a bit, pJ."""
    write_energy_pj_per_bit: Cost | None = None
    """Energy of writing a bit, pJ."""
    write_time_ns: Nanoseconds | None = None
    """Time to write one word of a die, ns."""
    endurance_writes: Positive | None = None
    """Writes that a cell survives; left out, the technology's, if it wears out at all."""
    bumps: Size
    """Bumps (or hybrid bonds) between the logic die and all memory dies."""
    bump_pitch_um: Annotated[float, Field(ge=0.1, le=1000, strict=True)]
    """Pitch of the bumps, um."""
    link_energy_pj_per_bit: Cost | None = None
    """Energy of a bit crossing the bumps, pJ, beyond what the read energy includes."""
    bump_area_um2: Cost | None = None
    """Area of a bump's driver, receiver and protection on the logic die, um2."""
    die_area_mm2: Positive | None = None
    """Area of one die, mm2."""
    leakage_mw: Cost | None = None
    """Static power of all dies together, mW."""


class PlacementRule(SpecModel):
    """Which weights of matmuls and convs live where."""

    weights: Annotated[str, Field(min_length=1, max_length=200)]
    """A pattern (`*` and `?`) of the weight's id or of the op's name, or `codebook`: any weight out of codebooks."""
    store: Literal["dram", "reram"]
    """The DRAM, or the `reram_stack`."""


class RotationUnit(SpecModel):
    """Butterflies and +-1 accumulators for online Hadamard rotations 2^k x m."""

    kind: Literal["global", "local"]
    """`local`: shorter transforms run side by side in the array of butterflies (it can be reconfigured);
    `global`: one at a time, whatever its length."""
    points: Annotated[int, Field(ge=2, le=1 << 16, strict=True)]
    """Longest transform (a power of two), and values in and out a cycle."""
    accumulators: Size = 4
    """Rows of H_m done at once: groups of `points` accumulators."""
    adder_bits: Annotated[int, Field(ge=8, le=64, strict=True)] = 32
    """Width of the adders, bits."""
    energy_pj_per_add: Cost | None = None
    """Energy of one addition with its register, pJ."""
    area_mm2: Positive | None = None
    """Area, mm2."""
    leakage_mw: Cost | None = None
    """Static power, mW."""


class CodebookDecoder(SpecModel):
    """Between the weight buffer and the array: takes indices, gives values of codebook entries."""

    values_per_cycle: Size
    """Values a cycle."""
    entries: Annotated[int, Field(ge=2, le=1 << 16, strict=True)] = 4
    """Most entries of a codebook."""
    value_bits: Bits = 4
    """Width of an entry's values, bits."""
    tile_fusion: Literal["none", "pairs"] = "none"
    """`pairs`: of two blocks alike that feed the same outputs, the inputs are added first, so that the entry is
    read, and multiplied by, once."""
    fused_share: Fraction | None = None
    """Share of the blocks that find a partner. Left out: what indices drawn evenly and independently give."""
    energy_pj_per_value: Cost | None = None
    """Energy of giving one value, pJ."""
    preadd_energy_pj: Cost | None = None
    """Energy of adding two inputs, pJ."""
    area_mm2: Positive | None = None
    """Area, pre-adders included, mm2."""
    leakage_mw: Cost | None = None
    """Static power, mW."""


class Link(SpecModel):
    """Between chips: what one chip can receive."""

    bandwidth_gb_per_s: Annotated[float, Field(ge=1e-9, le=1e12, allow_inf_nan=False, strict=True)]
    """10^9 bytes per second."""
    latency_ns: Nanoseconds
    """Time from sending to the first bit, ns."""
    energy_pj_per_bit: Cost
    """Energy of a bit received, sender included, pJ."""


class System(SpecModel):
    """Chips alike that split every matmul by its columns, and gather what the next op needs whole."""

    chips: Annotated[int, Field(ge=1, le=1024, strict=True)]
    """Chips, each as the rest of the spec says."""
    link: Link | None = None
    """Needed by more than one chip."""
