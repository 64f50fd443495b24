"""An explicit mapping's cost by our count: somebody else's loops, no choice of ours."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from accelsim.charge import flow_pj
from accelsim.hardware.machine import Machine
from accelsim.mapping.count import tiling
from accelsim.mapping.nest import Mapping, Store
from accelsim.mapping.placement import buffer_of, psum_stores, tile_bits
from accelsim.mapping.problem import Problem
from accelsim.mapping.traffic import Flow, mac_flows
from accelsim.timing import Timing, time_mac


@dataclass(frozen=True)
class Cost:
    """What a mapping moves and how long it takes; `energy_pj` is dynamic energy, DRAM included."""

    flows: tuple[Flow, ...]
    energy_pj: float
    cycles: int
    timing: Timing

    def values(self, block: str, operands: Collection[str], action: str) -> int:
        """Values of these operands that the block's action moves."""
        return sum(
            flow.values
            for flow in self.flows
            if flow.block == block and flow.operand in operands and flow.action == action
        )


def cost_of(problem: Problem, mapping: Mapping, machine: Machine) -> Cost:
    """Flows, energy and cycles of one mapped problem."""
    flows = mac_flows(problem, mapping, machine)
    energy_pj = math.fsum(flow_pj(flow, machine.block(flow.block)) for flow in flows)
    timing = time_mac(problem, mapping, flows, machine)
    return Cost(flows, energy_pj, -(-timing.makespan_fs // machine.period_fs), timing)


def double_buffered(problem: Problem, mapping: Mapping, machine: Machine) -> Mapping:
    """The mapping with two slots for every operand that has several tiles and room for two."""
    stores = psum_stores(problem, mapping.array_loops("output"))

    def slots(node: Store) -> Store:
        buffer = buffer_of(machine, node.operand)
        if node.level != buffer.name:
            return node
        tiles = tiling(problem, node.operand, mapping.loops_above(node.operand, node.level))
        room = 2 * tile_bits(problem, buffer, node.operand, tiles.largest, stores) <= buffer.capacity_bits
        return replace(node, double_buffered=tiles.tiles > 1 and room)

    return Mapping(tuple(slots(node) if isinstance(node, Store) else node for node in mapping.nodes))
