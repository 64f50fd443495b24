"""The schema of an accelerator spec: one pydantic model per block, a docstring under each field.

Every key carries its unit. A cost key left out (`null`) is computed from the technology tables; one
that is given replaces the table and is reported with confidence "user".
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from accelsim.spec.dram import Dram, StridedDma
from accelsim.spec.fields import Bits, Cost, Positive, Size, SpecModel, whole
from accelsim.spec.offload import Dma, Host, Kernels
from accelsim.spec.stacked import CodebookDecoder, OperatingPoint, PlacementRule, ReramStack, RotationUnit, System

SPEC_VERSION = 1


LaneBits = Annotated[Literal[8, 16, 32], BeforeValidator(whole)]
Dataflow = Literal["weight_stationary", "input_stationary", "output_stationary"]
GridDataflow = Literal[Dataflow, "row_stationary"]
TreeDataflow = Literal[Dataflow, "search"]
SpatialReduction = Literal["flatten_crs", "channels_only", "nested"]


class Technology(SpecModel):
    node_nm: Annotated[float, Field(ge=7, le=180, strict=True)]
    """Process node of the logic die, nm. Constants measured elsewhere are scaled to it."""
    voltage_v: Annotated[float, Field(ge=0.4, le=1.8, strict=True)] | None = None
    """Supply of the logic die, V; left out, the clock's by the `operating_points`."""
    clock_mhz: Annotated[float, Field(ge=0.001, le=10_000, strict=True)]
    """Core clock, MHz. Report cycles are cycles of this clock."""
    operating_points: tuple[OperatingPoint, ...] = ()
    """Supply that each clock needs, in ascending order; between two points on a line. `voltage_v` replaces them."""

    @property
    def supply_v(self) -> float:
        """Supply at the chosen clock, V. ValueError for a clock outside the operating points."""
        if self.voltage_v is not None:
            return self.voltage_v
        for low, high in zip(self.operating_points, self.operating_points[1:], strict=False):
            if low.clock_mhz <= self.clock_mhz <= high.clock_mhz:
                share = (self.clock_mhz - low.clock_mhz) / (high.clock_mhz - low.clock_mhz)
                return low.voltage_v + share * (high.voltage_v - low.voltage_v)
        raise ValueError(f"no operating point for {self.clock_mhz:g} MHz")


class AdderTreeArray(SpecModel):
    """Po x Pci x Pco multipliers; adder trees sum the Pci products of an output every cycle."""

    kind: Literal["adder_tree"]
    dataflow: TreeDataflow
    """Which operand stays in the array: fixes the loop order. `search`: the best order for each op."""
    po: Size
    """Spatial rows (matmul m, conv output pixels)."""
    pci: Size
    """Spatial reduction (matmul k, conv input channels x kernel)."""
    pco: Size
    """Spatial columns (matmul n, conv filters)."""
    operand_bits: Bits = 8
    """Widest operand a multiplier takes in one cycle."""
    accumulator_bits: Bits = 32
    """Width of an accumulator, and of a partial sum that has no scheme of its own."""
    pipeline_stages: Annotated[int, Field(ge=0, le=64, strict=True)] = 4
    """Cycles from operands in to sum out; paid once per array instruction."""
    sequencer_loops: Annotated[int, Field(ge=0, le=8, strict=True)] = 0
    """Outermost loops inside an array instruction, of more than one trip, in each trip of which the pipeline
    fills anew; 0: an instruction fills it once."""
    output_cycles: Annotated[int, Field(ge=0, le=1024, strict=True)] = 0
    """Cycles that the array is taken for every Po x Pco block of finished outputs: starting values and requantising."""
    wide_operands: Literal["refuse", "passes"] = "refuse"
    """What becomes of operands wider than `operand_bits`: no op has them, or a product of a and b bits takes
    ceil(a / operand_bits) x ceil(b / operand_bits) passes through the multipliers."""
    spatial_reduction: SpatialReduction = "flatten_crs"
    """What Pci unrolls in a conv: the flattened (r, s, c) reduction, or channels of one tap (`channels_only`
    walks flattened pixels and taps, `nested` every loop n, p, q, r, s, c, and Po unrolls q)."""
    mac_energy_pj: Cost | None = None
    """Energy of one multiply-accumulate, pJ."""
    area_mm2: Positive | None = None
    """Area of the whole array, mm2."""
    leakage_mw: Cost | None = None
    """Static power of the whole array, mW."""


class SystolicArray(SpecModel):
    """rows x cols processing elements with skewed operands."""

    kind: Literal["systolic"]
    dataflow: Dataflow
    """Which operand stays in the array: fixes the loop order and what rows and columns unroll."""
    rows: Size
    """Rows: m (output stationary) or k (weight and input stationary)."""
    cols: Size
    """Columns: n (output and weight stationary) or m (input stationary)."""
    operand_bits: Bits = 8
    """Widest operand a multiplier takes in one cycle."""
    accumulator_bits: Bits = 32
    """Width of an accumulator, and of a partial sum that has no scheme of its own."""
    weight_load: Literal["serial", "overlapped"] = "serial"
    """Whether filling the stationary operand adds to each fold or hides behind the previous one."""
    ragged_fold: Literal["full", "trimmed"] = "full"
    """Whether an edge fold takes the time of a full one or only of the rows and columns it uses."""
    spatial_reduction: SpatialReduction = "flatten_crs"
    """What the reduction unrolls in a conv: flattened (r, s, c), or channels of one tap (`channels_only`
    walks flattened pixels and taps, `nested` every loop n, p, q, r, s, c, with q as the row)."""
    mac_energy_pj: Cost | None = None
    """Energy of one multiply-accumulate, pJ."""
    area_mm2: Positive | None = None
    """Area of the whole array, mm2."""
    leakage_mw: Cost | None = None
    """Static power of the whole array, mW."""


class MatmulUnroll(SpecModel):
    dim: Literal["b", "g", "m", "k", "n"]
    """Loop of a matmul: batch, query heads per KV head, rows, reduction, columns."""
    width: Size | None = None
    """At most so many indices at once; left out, as many as the other dims of this side leave room for."""


class ConvUnroll(SpecModel):
    dim: Literal["groups", "n", "p", "q", "c", "r", "s", "k"]
    """Loop of a conv: groups, images, output rows and columns, channels, kernel rows and columns, filters."""
    width: Size | None = None
    """At most so many indices at once; left out, as many as the other dims of this side leave room for."""


class MatmulSides(SpecModel):
    rows: Annotated[tuple[MatmulUnroll, ...], Field(min_length=1)]
    """Dims unrolled over the rows."""
    cols: Annotated[tuple[MatmulUnroll, ...], Field(min_length=1)]
    """Dims unrolled over the columns; a dim of the rows may come again, and is then the product wide."""


class ConvSides(SpecModel):
    rows: Annotated[tuple[ConvUnroll, ...], Field(min_length=1)]
    """Dims unrolled over the rows."""
    cols: Annotated[tuple[ConvUnroll, ...], Field(min_length=1)]
    """Dims unrolled over the columns; a dim of the rows may come again, and is then the product wide."""


class Unrolling(SpecModel):
    matmul: MatmulSides
    """What the PEs unroll of a matmul."""
    conv: ConvSides
    """What the PEs unroll of a conv, whose loops are all walked one by one."""


class RegisterFile(SpecModel):
    """Registers that every PE has one file of."""

    capacity_bits: Size
    """Capacity in one PE, bits."""
    word_bits: Annotated[int, Field(ge=1, le=256, strict=True)]
    """Bits of one access. A value never straddles two words; a wider one takes several."""
    cells: Literal["flip_flops", "sram"] = "flip_flops"
    """What costs that are left out are computed for: registers with a read tree, or a small SRAM."""
    read_energy_pj_per_bit: Cost | None = None
    """Read energy per bit of a word, pJ."""
    write_energy_pj_per_bit: Cost | None = None
    """Write energy per bit of a word, pJ."""
    area_mm2: Positive | None = None
    """Area in all PEs together, mm2."""
    leakage_mw: Cost | None = None
    """Static power in all PEs together, mW."""


class SharedRegisterFile(RegisterFile):
    """Registers that several operands share."""

    holds: Annotated[tuple[Literal["ifmap", "weight", "psum"], ...], Field(min_length=2)]
    """The operands it holds, which then have no file of their own."""


class Registers(SpecModel):
    """What each PE can keep of the operands; one that has no file is only latched for the MAC that it is in."""

    ifmap: RegisterFile | None = None
    """Holds input activations."""
    weight: RegisterFile | None = None
    """Holds weights (and the second operand of an activation matmul)."""
    psum: RegisterFile | None = None
    """Holds partial sums, at the accumulators' width."""
    shared: SharedRegisterFile | None = None
    """Holds what it names, side by side."""


class PeGridArray(SpecModel):
    """rows x cols processing elements, one MAC a cycle each, that unroll any loops."""

    kind: Literal["pe_grid"]
    dataflow: GridDataflow
    """Loop order. row_stationary unrolls r over rows and p over columns, and slides along q."""
    rows: Size
    """Rows of PEs."""
    cols: Size
    """Columns of PEs."""
    unroll: Unrolling
    """Loops that run side by side; those of a reduction add up from PE to PE."""
    registers: Registers = Registers()
    """Register files of every PE."""
    operand_bits: Bits = 8
    """Widest operand a multiplier takes in one cycle."""
    accumulator_bits: Bits = 32
    """Width of an accumulator, and of a partial sum that has no scheme of its own."""
    pipeline_stages: Annotated[int, Field(ge=0, le=64, strict=True)] = 4
    """Cycles from operands in to a PE's product out; paid once per array instruction, and so is a cycle
    for every PE that a sum passes on its way."""
    zero_gating: bool = False
    """Whether a zero input keeps the multiplier, and the read of its weight, from switching (no cycle is saved)."""
    mac_energy_pj: Cost | None = None
    """Energy of one multiply-accumulate, pJ."""
    pass_energy_pj: Cost | None = None
    """Energy to hand one partial sum to the next PE, pJ."""
    area_mm2: Positive | None = None
    """Area of the whole array, mm2."""
    leakage_mw: Cost | None = None
    """Static power of the whole array, mW."""


class Buffer(SpecModel):
    """An on-chip SRAM buffer."""

    capacity_kib: Annotated[float, Field(ge=1, le=262144, strict=True)]
    """Capacity, KiB."""
    banks: Size = 1
    """Banks of equal size: energy and area are those of a bank, wires between banks left out."""
    word_bits: Annotated[int, Field(ge=32, le=256, strict=True)] = 64
    """Width of one port word, bits. A value never straddles two words."""
    read_bits_per_cycle: Annotated[int, Field(ge=1, le=1 << 20, strict=True)]
    """Read bandwidth of all banks together, bits per core cycle."""
    write_bits_per_cycle: Annotated[int, Field(ge=1, le=1 << 20, strict=True)]
    """Write bandwidth of all banks together, bits per core cycle."""
    read_energy_pj_per_bit: Cost | None = None
    """Read energy per bit of port word, pJ."""
    write_energy_pj_per_bit: Cost | None = None
    """Write energy per bit of port word, pJ."""
    area_mm2: Positive | None = None
    """Area, mm2."""
    leakage_mw: Cost | None = None
    """Static power, mW."""


class Memory(Buffer):
    """An on-chip SRAM between DRAM and the buffers, of one operand or shared by several."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    """Name in reports, mappings and overrides (`arch.memories.l2.capacity_kib`)."""
    holds: Annotated[tuple[Literal["ifmap", "weight", "psum"], ...], Field(min_length=1)]
    """The operands that pass through it; psum stands for partial sums and finished outputs."""


class Buffers(SpecModel):
    """The memory of each operand next to the array; left out where one of `memories` takes its place."""

    ifmap: Buffer | None = None
    """Holds input activations."""
    weight: Buffer | None = None
    """Holds weights (and the second operand of an activation matmul)."""
    psum_ofmap: Buffer | None = None
    """Holds partial sums and finished outputs; one output's psum and ofmap share a slot."""


class PsumEngine(SpecModel):
    """Requantise-and-shift lanes between the accumulators and the psum buffer (APSQ)."""

    bits: Annotated[tuple[Annotated[int, Field(ge=2, le=15, strict=True)], ...], Field(min_length=1)]
    """Stored psum widths the engine can produce, bits (below 16: APSQ)."""
    group_sizes: Annotated[tuple[Annotated[int, Field(ge=1, le=16, strict=True)], ...], Field(min_length=1)]
    """Group sizes the engine can be configured for."""
    psums_per_cycle: Size | None = None
    """Lanes; left out, one per output the array delivers in a cycle."""
    requantise_energy_pj: Cost | None = None
    """Energy to requantise one partial sum, pJ."""
    dequantise_energy_pj: Cost | None = None
    """Energy to shift and add one stored partial sum, pJ."""
    area_mm2: Positive | None = None
    """Area, mm2."""
    leakage_mw: Cost | None = None
    """Static power, mW."""


class LutUnit(SpecModel):
    """Piecewise-linear look-up lanes for non-linear functions."""

    lanes: Size
    """Elements per cycle."""
    entries: Annotated[int, Field(ge=2, le=256, strict=True)] = 8
    """Segments of a table."""
    bits: LaneBits = 8
    """Width of input and coefficients, bits."""
    costs: Literal["published", "composed"] = "published"
    """`published`: from synthesised 8-entry units of 8 and 32 bits. `composed`: the sum of the unit's parts."""
    energy_pj_per_element: Cost | None = None
    """Energy of one look-up, pJ."""
    area_mm2: Positive | None = None
    """Area of all lanes, mm2."""
    leakage_mw: Cost | None = None
    """Static power, mW."""


class VectorUnit(SpecModel):
    """Lanes for everything that is neither a MAC nor a table: add, multiply, max, running sums."""

    lanes: Size
    """Operations per cycle."""
    bits: LaneBits = 32
    """Width of a lane, bits."""
    energy_pj_per_operation: Cost | None = None
    """Energy of one lane operation, pJ."""
    area_mm2: Positive | None = None
    """Area of all lanes, mm2."""
    leakage_mw: Cost | None = None
    """Static power, mW."""


class MappingRules(SpecModel):
    """How ops are mapped."""

    tiles: Literal["placed", "searched"] = "placed"
    """`placed`: the dataflow's own loop order, storage where it fits. `searched`: the best tile sizes, tile loop
    orders and storage that keep the dataflow's operand still in the array. `dataflow: search` always searches."""
    objective: Literal["energy", "latency", "edp"] = "energy"
    """What a search makes least: energy, time, or their product."""
    search_budget: Annotated[int, Field(ge=1, le=10**12, strict=True)] = 300_000
    """Mappings that a search may count for one op."""
    search_tolerance: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False, strict=True)] = 0.002
    """How far above the best a mapping may be, relatively, to count as proved best."""
    spill: Literal["through", "bypass"] = "through"
    """A psum tile that does not fit goes to DRAM through its buffer (charged both ways) or past it."""
    prefetch: Literal["none", "weights"] = "none"
    """Whether an op's first weight tile may be loaded during the op before it, where there is room and time."""
    fusion: Literal["none", "attention", "auto"] = "none"
    """Ops that run as one, so that what passes between them stays on chip: none; attention where it fits
    and moves no more from and to DRAM; or, as well, matmuls and convs with pointwise ops behind them,
    each group only where it takes less energy (or as much, and less time)."""


class ArchSpec(SpecModel):
    """An accelerator, whole."""

    spec_version: Annotated[Literal[1], BeforeValidator(whole)]
    """Version of this schema."""
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=64)]
    """Name in reports: lower case, digits, underscores."""
    description: str = ""
    """One line for `accelsim list`."""
    technology: Technology
    array: Annotated[AdderTreeArray | SystolicArray | PeGridArray, Field(discriminator="kind")]
    memories: tuple[Memory, ...] = ()
    """Memories between DRAM and the buffers, outermost first."""
    buffers: Buffers = Buffers()
    psum_engine: PsumEngine | None = None
    """Left out: only plain accumulators of 16 bits and more."""
    dram: Dram
    lut_unit: LutUnit
    vector_unit: VectorUnit
    mapping: MappingRules = MappingRules()
    reram_stack: ReramStack | None = None
    """Left out: no memory on the logic die but its own."""
    placement: tuple[PlacementRule, ...] = ()
    """Where weights of matmuls and convs live: the first rule that a weight matches; by default in the DRAM."""
    rotation_unit: RotationUnit | None = None
    """Left out: online rotations run on the vector unit."""
    codebook_decoder: CodebookDecoder | None = None
    """Left out: weights come out of codebooks at no time and no cost."""
    system: System | None = None
    """Left out: one chip."""
    strided_dma: StridedDma | None = None
    """Left out: a tile lies in consecutive addresses, whatever its shape."""
    dma: Dma | None = None
    """Left out: a tile is one contiguous transfer."""
    host: Host | None = None
    """Left out: tiles follow one another without being issued by anything."""
    kernels: Kernels | None = None
    """Left out: one core."""
