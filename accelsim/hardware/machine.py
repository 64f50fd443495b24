"""The whole accelerator: a spec's blocks linked into a tree of nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

from accelsim.errors import user_error
from accelsim.hardware.adder_tree import AdderTree, build_adder_tree
from accelsim.hardware.block import Block
from accelsim.hardware.codebook_decoder import CodebookDecoder, build_codebook_decoder
from accelsim.hardware.dram import Dram, build_dram
from accelsim.hardware.lut_unit import LutUnit, build_lut_unit
from accelsim.hardware.offload import Dma, Host, build_dma, build_host
from accelsim.hardware.pe_grid import PeGrid, build_pe_grid
from accelsim.hardware.psum_engine import PsumEngine, build_psum_engine
from accelsim.hardware.registers import RegisterFile, build_register_files
from accelsim.hardware.reram_stack import BumpField, ReramStack, build_bump_field, build_reram_stack
from accelsim.hardware.rotation_unit import RotationUnit, build_rotation_unit
from accelsim.hardware.sram import OperandName, Sram, build_sram
from accelsim.hardware.strided_dma import StridedDma, build_strided_dma
from accelsim.hardware.system import ONE_CHIP, ChipSystem, build_system
from accelsim.hardware.systolic import Systolic, build_systolic
from accelsim.hardware.technology import Process, build_process
from accelsim.hardware.vector_unit import VectorUnit, build_vector_unit
from accelsim.spec import models
from accelsim.spec.offload import Kernels
from accelsim.spec.stacked import PlacementRule

FS_PER_US = 1_000_000_000
_OPERANDS: dict[str, OperandName] = {"ifmap": "ifmap", "weight": "weight", "psum": "output"}

Array = AdderTree | Systolic | PeGrid
B = TypeVar("B", bound=Block)


@dataclass(frozen=True)
class Node:
    """A place in the machine: `instances` copies under each copy of its parent.

    A storage or compute node has a block; an inner node has children and, where one is set, the
    `process` (node nm, V, MHz) that holds for everything under it.
    """

    name: str
    instances: int = 1
    block: Block | None = None
    children: tuple[Node, ...] = ()
    process: Process | None = None

    def with_block(self, block: Block) -> Node:
        """The same tree with `block` in place of the one of its name."""
        if self.block is not None and self.block.name == block.name:
            return replace(self, block=block)
        return replace(self, children=tuple(child.with_block(block) for child in self.children))


@dataclass(frozen=True)
class Machine:
    """package -> dram, stack, die -> core -> memories and compute. Built by `build_machine`, never changed.

    `memories` are all on-chip memories, outermost first. Those that hold an operand are its chain:
    the way its values go between DRAM and the array, unless a mapping passes one by. `registers` are
    the files in the array's PEs, of which an operand has one or none. Of a `system` of several chips this
    is one chip; `placement` says which weights are in the stack.
    """

    name: str
    process: Process
    array: Array
    memories: tuple[Sram, ...]
    psum_engine: PsumEngine | None
    lut_unit: LutUnit
    vector_unit: VectorUnit
    dram: Dram
    root: Node
    registers: tuple[RegisterFile, ...] = ()
    reram_stack: ReramStack | None = None
    bump_field: BumpField | None = None
    rotation_unit: RotationUnit | None = None
    codebook_decoder: CodebookDecoder | None = None
    system: ChipSystem = ONE_CHIP
    placement: tuple[PlacementRule, ...] = ()
    dma: Dma | None = None
    host: Host | None = None
    kernels: Kernels | None = None
    strided_dma: StridedDma | None = None

    def blocks(self) -> tuple[Block, ...]:
        """Every block once, in the order reports show them."""
        near = (self.psum_engine, self.codebook_decoder)
        far = (self.rotation_unit, self.bump_field, self.system.link, self.reram_stack)
        inner, outer = ([block for block in some if block is not None] for some in (near, far))
        units = (*inner, self.lut_unit, self.vector_unit, *outer)
        return (self.array, *self.registers, *self.memories, *units, self.dram)

    def block(self, name: str) -> Block:
        """The block called `name`; ValueError with the names there are."""
        for block in self.blocks():
            if block.name == name:
                return block
        raise ValueError(f"{self.name} has no block {name!r}: {', '.join(block.name for block in self.blocks())}")

    def chain(self, operand: OperandName) -> tuple[Sram, ...]:
        """The memories that hold an operand, outermost first; never empty."""
        return tuple(memory for memory in self.memories if operand in memory.holds)

    def register_file(self, operand: OperandName) -> RegisterFile | None:
        """The registers that hold an operand in each PE; None where they hold none of it."""
        return next((file for file in self.registers if operand in file.holds), None)

    def memory(self, name: str) -> Sram:
        """The memory called `name`; ValueError with the names there are."""
        for memory in self.memories:
            if memory.name == name:
                return memory
        raise ValueError(f"{self.name} has no memory {name!r}: {', '.join(memory.name for memory in self.memories)}")

    def with_memory(self, sram: Sram) -> Machine:
        """The same machine with `sram` in place of the memory of its name; ValueError if there is none."""
        old = self.memory(sram.name)
        memories = tuple(sram if memory is old else memory for memory in self.memories)
        return replace(self, memories=memories, root=self.root.with_block(sram))

    @property
    def ifmap_buffer(self) -> Sram:
        """The memory that the array reads inputs from: the innermost of their chain."""
        return self.chain("ifmap")[-1]

    @property
    def weight_buffer(self) -> Sram:
        """The memory that the array reads weights from."""
        return self.chain("weight")[-1]

    @property
    def psum_buffer(self) -> Sram:
        """The memory that the array writes partial sums and outputs to."""
        return self.chain("output")[-1]

    @property
    def period_fs(self) -> int:
        """Core clock period, whole femtoseconds: the one place it is rounded."""
        return round(FS_PER_US / self.process.clock_mhz)

    @property
    def area_mm2(self) -> dict[str, float]:
        """Area by block of one chip, mm2: logic die and stacked dies, DRAM die (0 by definition) left out."""
        return {block.name: block.area_mm2.value for block in self.blocks() if block.die != "dram"}

    @property
    def total_area_mm2(self) -> float:
        """Accelerator area of one chip, mm2, without DRAM: all its dies."""
        return math.fsum(self.area_mm2.values())

    @property
    def tier_areas_mm2(self) -> dict[str, float]:
        """Area by tier of one chip, mm2: `logic`, then the tiers of stacked dies from the logic upwards."""
        logic = math.fsum(block.area_mm2.value for block in self.blocks() if block.die == "logic")
        stack = self.reram_stack
        above = {} if stack is None else {f"{stack.name} {n + 1}": stack.tier_area_mm2 for n in range(stack.tiers)}
        return {"logic": logic} | above

    @property
    def footprint_mm2(self) -> float:
        """What one chip takes of a board, mm2: its largest tier."""
        return max(self.tier_areas_mm2.values())

    @property
    def leakage_mw(self) -> dict[str, float]:
        """Static power by block, mW; the DRAM's is its background power."""
        return {block.name: block.leakage_mw.value for block in self.blocks()}

    @property
    def peak_macs_per_cycle(self) -> int:
        """Multiply-accumulates in a cycle with every lane busy."""
        return self.cores * self.array.macs_per_cycle

    @property
    def cores(self) -> int:
        """Cores alike: array and units are one core's, but for area and static power; memories are shared."""
        return 1 if self.kernels is None else self.kernels.cores

    @property
    def peak_tops(self) -> float:
        """2 x MACs per second at the core clock, 10^12 per second."""
        return 2 * self.peak_macs_per_cycle * self.process.clock_mhz / 1e6


def build_machine(spec: models.ArchSpec, where: str | None = None) -> Machine:
    """The machine of a validated spec; `where` (default: the spec's name) stands in front of its faults.

    UserError if the node or voltage is outside the scaling tables, or if the psum engine would store
    psums wider than the accumulators.
    """
    where = where or spec.name
    process = build_process(spec.technology, where)
    _check_psum_engine(spec, where)
    array = _build_array(spec, process)
    engine = None
    if spec.psum_engine is not None:
        engine = build_psum_engine(spec.psum_engine, array.accumulator_bits, array.outputs_per_cycle, process)
    memories = _build_memories(spec, process)
    lut = build_lut_unit(spec.lut_unit, process)
    vector = build_vector_unit(spec.vector_unit, process)
    dram = build_dram(spec.dram, where)
    registers = build_register_files(spec.array, process) if isinstance(spec.array, models.PeGridArray) else ()
    stack, bumps, rotation, decoder = _build_optional(spec, array, process, where)
    if spec.kernels is not None:
        cores = spec.kernels.cores
        array, lut, vector = _on_all(array, cores), _on_all(lut, cores), _on_all(vector, cores)
    beside = [block for block in (engine, decoder, rotation) if block is not None]
    core_blocks: list[Block] = [*memories, array, *registers, *beside, lut, vector]
    core = Node("core", children=tuple(Node(block.name, block=block) for block in core_blocks))
    die = Node("die", children=(core,), process=process)
    root = Node("package", children=(Node("dram", block=dram), *_stack_nodes(stack, bumps), die))
    return Machine(
        spec.name, process, array, memories, engine, lut, vector, dram, root, registers, stack, bumps, rotation,
        decoder, build_system(spec.system), spec.placement, build_dma(spec.dma), build_host(spec.host),
        spec.kernels, build_strided_dma(spec.strided_dma),
    )  # fmt: skip


def _build_optional(
    spec: models.ArchSpec, array: Array, process: Process, where: str
) -> tuple[ReramStack | None, BumpField | None, RotationUnit | None, CodebookDecoder | None]:
    stack = bumps = rotation = decoder = None
    if spec.reram_stack is not None:
        stack = build_reram_stack(spec.reram_stack, process, where)
        bumps = build_bump_field(spec.reram_stack, process)
    if spec.rotation_unit is not None:
        rotation = build_rotation_unit(spec.rotation_unit, process)
    if spec.codebook_decoder is not None:
        decoder = build_codebook_decoder(spec.codebook_decoder, array.operand_bits, process)
    return stack, bumps, rotation, decoder


def _on_all(block: B, cores: int) -> B:
    """A core's block with the area and static power of all cores' blocks."""
    why = f"x {cores} cores"
    return replace(block, area_mm2=block.area_mm2.scaled(cores, why), leakage_mw=block.leakage_mw.scaled(cores, why))


def _stack_nodes(stack: ReramStack | None, bumps: BumpField | None) -> tuple[Node, ...]:
    return tuple(Node(block.name, block=block) for block in (stack, bumps) if block is not None)


def _build_array(spec: models.ArchSpec, process: Process) -> Array:
    array, decoder = spec.array, spec.codebook_decoder
    if isinstance(array, models.AdderTreeArray):
        return build_adder_tree(array, process, fuses=decoder is not None and decoder.tile_fusion == "pairs")
    if isinstance(array, models.SystolicArray):
        return build_systolic(array, process)
    return build_pe_grid(array, process)


def _build_memories(spec: models.ArchSpec, process: Process) -> tuple[Sram, ...]:
    """Every on-chip memory, outermost first: the spec's `memories`, then its buffers."""
    memories = []
    for memory in spec.memories:
        holds = tuple(operand for name, operand in _OPERANDS.items() if name in memory.holds)
        memories.append(build_sram(memory.name, memory, holds, process))
    buffers = {"ifmap": spec.buffers.ifmap, "weight": spec.buffers.weight, "psum": spec.buffers.psum_ofmap}
    for name, buffer in buffers.items():
        if buffer is not None:
            memories.append(build_sram(f"{name}_buffer", buffer, (_OPERANDS[name],), process))
    return tuple(memories)


def _check_psum_engine(spec: models.ArchSpec, where: str) -> None:
    engine = spec.psum_engine
    if engine is not None and max(engine.bits) > spec.array.accumulator_bits:
        found = f"{max(engine.bits)} b psums from accumulators of {spec.array.accumulator_bits} b"
        raise user_error(where, "psum_engine.bits", found, f"use at most {spec.array.accumulator_bits}")
