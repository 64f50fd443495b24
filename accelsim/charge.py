"""From what happened to what it cost: flows and cycles times the blocks' own constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from accelsim.execute import Outcome
from accelsim.hardware.block import Block, Cost
from accelsim.hardware.dram import Dram
from accelsim.hardware.machine import Machine
from accelsim.hardware.registers import RegisterFile
from accelsim.hardware.reram_stack import ReramStack
from accelsim.hardware.sram import Sram
from accelsim.hardware.system import ChipLink
from accelsim.mapping.array_actions import SLOT_ACTIONS
from accelsim.mapping.traffic import Flow
from accelsim.report.report import BlockRow, OpRow, ResourceCycles, Row, SearchRow
from accelsim.stalls import apportioned
from accelsim.workload.trace import Op, Phase


def energy_rows(phase: Phase, op: Op, outcome: Outcome, machine: Machine) -> list[Row]:
    """Dynamic rows from the flows, then one leakage row per block for the op's duration.

    What the DRAM moves has three rows an operand: `read` or `write` (column access), `activate` and, on
    the link, `io`.
    """
    blocks = {block.name: block for block in machine.blocks()}
    rows = [_dynamic(phase, op, flow, blocks[flow.block]) for flow in outcome.flows]
    rows += _dram_rows(phase, op, outcome.flows, machine.dram)
    if machine.reram_stack is not None:
        rows += _bump_rows(phase, op, outcome.flows, machine.reram_stack)
    return rows + leakage_rows(phase, op, outcome.cycles, machine)


def leakage_rows(phase: Phase, op: Op, cycles: int, machine: Machine, chips: int = 1) -> list[Row]:
    """One row a block for what it leaks in so many cycles, on all of some chips."""
    rows = [_leakage(phase, op, block, cycles, machine) for block in machine.blocks()]
    if chips == 1:
        return rows
    return [replace(row, count=chips * row.count, energy_pj=chips * row.energy_pj) for row in rows]


def op_row(phase: Phase, op: Op, outcome: Outcome, rows: list[Row], machine: Machine) -> OpRow:
    """Time of one op, and the lower bounds its cycles have to respect."""
    period = machine.period_fs
    early_bits = outcome.timing.next_bits - outcome.timing.preloaded_bits
    resources = tuple(
        ResourceCycles(use.name, use.busy_fs / period, use.stalled_fs / period, use.idle_fs / period)
        for use in outcome.timing.resources
    )
    return OpRow(
        phase=phase.name,
        name=op.name,
        kind=op.kind,
        macs=op.dims.macs,
        cycles=outcome.cycles,
        compute_cycles=outcome.timing.compute_cycles,
        energy_pj=math.fsum(row.energy_pj for row in rows),
        bound_by=outcome.bound_by,
        psum_visits=outcome.psum_visits,
        psum_scheme=_scheme(op, outcome),
        padded_macs=outcome.timing.lane_macs - outcome.timing.macs,
        mapping=outcome.mapping,
        timing=outcome.timing.method,
        resources=resources,
        stalls=apportioned(outcome.timing.stalls, outcome.cycles - outcome.timing.compute_cycles),
        prefetch_saved_cycles=outcome.prefetch_saved_cycles,
        # A fused member overlaps with others: what bounds it is checked of its group.
        lower_bounds=() if outcome.group else lower_bounds(outcome.flows, machine, early_bits),
        group=outcome.group,
        energy_bound_pj=outcome.bound.energy_pj if outcome.bound else 0.0,
        cycles_bound=outcome.bound.cycles if outcome.bound else 0,
        search=_search_row(outcome, machine),
    )


def _search_row(outcome: Outcome, machine: Machine) -> SearchRow | None:
    found = outcome.search
    if found is None:
        return None
    cycles = found.latency_fs / machine.period_fs
    return SearchRow(
        found.objective, found.energy_pj, cycles, outcome.cycles / cycles, found.proved, found.gap,
        found.stop_reason, found.counted,
    )  # fmt: skip


def block_rows(machine: Machine) -> tuple[BlockRow, ...]:
    """Area and leakage of every block, those of all chips together, with their sources."""
    chips = machine.system.chips
    return tuple(
        BlockRow(
            block.name, block.die, chips * block.area_mm2.value, chips * block.leakage_mw.value, block.area_mm2.source,
            block.leakage_mw.source, block.area_mm2.assumed,
        )
        for block in machine.blocks()
    )  # fmt: skip


def energy_pj(flows: Sequence[Flow], cycles: int, machine: Machine) -> float:
    """Energy of some flows, and of every block's leakage for as many cycles, pJ."""
    blocks = {block.name: block for block in machine.blocks()}
    dynamic = [flow_pj(flow, blocks[flow.block]) for flow in flows]
    return math.fsum([*dynamic, *(_leakage_pj(block, cycles, machine) for block in machine.blocks())])


def flow_pj(flow: Flow, block: Block) -> float:
    """Energy of a flow, pJ; of a DRAM's with activations and I/O, of a stack's with its bumps."""
    if isinstance(block, Dram):
        return block.transfer_pj(flow.count)
    if isinstance(block, ReramStack):
        return flow.count * block.energy_pj_per_bit
    return flow.count * block.actions[flow.action].energy_pj.value


def _dynamic(phase: Phase, op: Op, flow: Flow, block: Block) -> Row:
    # Reading and writing a DRAM cost the same per bit, so it has the single action `access`.
    cost = block.actions["access" if isinstance(block, Dram) else flow.action].energy_pj
    return Row(
        phase.name, op.name, block.name, _level(block), _part(block), flow.operand, flow.action, flow.count,
        flow.bits_useful, flow.bits_moved, flow.count * cost.value, _assumed(block, cost), flow.values,
    )  # fmt: skip


def _assumed(block: Block, cost: Cost) -> bool:
    """Whether the energy rests on an assumption; how a DRAM's is split changes nothing about its sum."""
    return block.pj_per_bit.assumed if isinstance(block, Dram) else cost.assumed


def _dram_rows(phase: Phase, op: Op, flows: Sequence[Flow], dram: Dram) -> list[Row]:
    """Activations and I/O of each operand, reads and writes together; their bits stand on the other rows."""
    moved: dict[str, list[int]] = {}
    for flow in flows:
        if flow.block == dram.name:
            moved.setdefault(flow.operand, []).append(flow.count)
    rows = []
    for operand, bits in moved.items():
        for action, part, count in (
            ("activate", "dram", sum(map(dram.activations, bits))),
            ("io", "link", sum(bits)),
        ):
            cost = dram.actions[action].energy_pj
            rows.append(Row(
                phase.name, op.name, dram.name, _level(dram), part, operand, action, count, 0, 0, count * cost.value,
                _assumed(dram, cost),
            ))  # fmt: skip
    return rows


def _bump_rows(phase: Phase, op: Op, flows: Sequence[Flow], stack: ReramStack) -> list[Row]:
    """What crosses the bumps, by operand; its bits stand on the `read` rows."""
    cost = stack.actions["link"].energy_pj
    return [
        Row(
            phase.name, op.name, stack.name, _level(stack), _part(stack), flow.operand, "link", flow.count, 0, 0,
            flow.count * cost.value, cost.assumed,
        )
        for flow in flows if flow.block == stack.name
    ]  # fmt: skip


def _leakage(phase: Phase, op: Op, block: Block, cycles: int, machine: Machine) -> Row:
    return Row(
        phase.name, op.name, block.name, _level(block), _part(block), "", "leakage", cycles, 0, 0,
        _leakage_pj(block, cycles, machine), block.leakage_mw.assumed,
    )  # fmt: skip


def _leakage_pj(block: Block, cycles: int, machine: Machine) -> float:
    return block.leakage_mw.value * cycles * machine.period_fs * 1e-6  # 1 mW x 1 fs = 1e-6 pJ


def _level(block: Block) -> str:
    if isinstance(block, Dram):
        return "dram"
    if isinstance(block, RegisterFile):
        return "registers"
    if isinstance(block, ReramStack):
        return "reram"
    if isinstance(block, ChipLink):
        return "link"
    return "buffer" if isinstance(block, Sram) else "compute"


def _part(block: Block) -> str:
    return "die" if block.die == "logic" else block.die


def _scheme(op: Op, outcome: Outcome) -> str:
    """What became of the op's psum scheme: native, plain, active, or inactive (no psum ever stored)."""
    if op.dims.macs == 0:
        return ""
    if op.psum is None:
        return "native"
    name = f"int{op.psum.bits}" + (f" gs{op.psum.group_size}" if op.psum.is_apsq else "")
    return name if outcome.psum_visits > 1 else f"{name} inactive"


def lower_bounds(flows: Sequence[Flow], machine: Machine, early_bits: int = 0) -> tuple[tuple[str, int], ...]:
    """Cycles that the array needs for its MACs at its peak, and the stores for the flows' useful bits.

    `early_bits` are prefetched bits that move meanwhile, less those of the flows that moved before.
    """
    dram_bits = early_bits + sum(flow.bits_useful for flow in flows if flow.block == machine.dram.name)
    dram_fs = math.floor(dram_bits // 8 * machine.dram.fs_per_byte)
    slots = sum(flow.count for flow in flows if flow.block == machine.array.name and flow.action in SLOT_ACTIONS)
    bounds = (
        (machine.array.name, -(-slots // machine.peak_macs_per_cycle)),
        (machine.dram.name, dram_fs // machine.period_fs),
    )
    stack = machine.reram_stack
    if stack is None:
        return bounds
    words = sum(flow.bits_useful for flow in flows if flow.block == stack.name) // stack.word_bits
    return (*bounds, (stack.name, words // stack.dies * stack.word_fs // machine.period_fs))
