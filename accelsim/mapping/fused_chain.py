"""A matmul or conv with the pointwise ops behind it as one group, under the nest it has alone.

Each output tile that is finished in the psum buffer is worked on there, in its own slot, and only
then leaves for DRAM. Further operands take two slots of the tile's size in the ifmap buffer, beside
the ifmap's own.
"""

from __future__ import annotations

from accelsim.hardware.machine import Machine
from accelsim.mapping.count import tiling
from accelsim.mapping.fused import FusedPlan, MacStage, VectorStage, extra_bits
from accelsim.mapping.lower import MacWork
from accelsim.mapping.nest import Mapping
from accelsim.mapping.placement import Infeasible, psum_stores, tile_bits


def chain_plan(
    first: MacWork, mapping: Mapping, vectors: tuple[VectorStage, ...], machine: Machine
) -> FusedPlan | Infeasible:
    """The plan for one nest; Infeasible where its outputs spill or the group's tiles do not fit."""
    problem, buffer = first.problem, machine.psum_buffer
    node = mapping.store("output", buffer.name)
    loops = mapping.array_loops("output") if node is None else mapping.loops_above("output", buffer.name)
    tiles = tiling(problem, "output", loops)
    lever = "raise buffers.psum_ofmap.capacity_kib or narrow the outputs"
    if node is None or tiles.most_visits > 1:
        return Infeasible(buffer.name, tiles.most_visits, 1, "stays of an output tile on the chip", lever)
    slots = 2 if node.double_buffered else 1
    words = max(
        buffer.accesses(tiles.largest, bits) for vector in vectors for bits in (vector.in_bits, vector.out_bits)
    )
    alone = tile_bits(problem, buffer, "output", tiles.largest, psum_stores(problem, mapping.array_loops("output")))
    demand = slots * max(alone, words * buffer.word_bits)
    if demand > buffer.capacity_bits:
        return Infeasible(buffer.name, demand, buffer.capacity_bits, "bits for output tiles", lever)
    demand = _ifmap_bits(first, mapping, machine) + extra_bits(vectors, tiles.largest, machine)
    if demand > machine.ifmap_buffer.capacity_bits:
        lever = "raise buffers.ifmap.capacity_kib"
        bound = machine.ifmap_buffer.capacity_bits
        return Infeasible(machine.ifmap_buffer.name, demand, bound, "bits for tiles of ifmap and operands", lever)
    return FusedPlan(MacStage(problem, mapping, first.weight_name), vectors, None, loops, slots, 0)


def _ifmap_bits(first: MacWork, mapping: Mapping, machine: Machine) -> int:
    buffer = machine.ifmap_buffer
    node = mapping.store("ifmap", buffer.name)
    largest = tiling(first.problem, "ifmap", mapping.loops_above("ifmap", buffer.name)).largest
    slots = 2 if node is not None and node.double_buffered else 1
    return slots * tile_bits(first.problem, buffer, "ifmap", largest, 0)
