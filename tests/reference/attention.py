"""A brute-force walk of a fused attention group: every tile a set of elements, moved one by one.

Both nests are walked together, iteration by iteration of the loops they share: queries in, scores out
of the first nest, the softmax and what stands beside it over the whole scores tile, the probabilities
to the ifmap buffer, outputs out of the second nest. No function of `accelsim.mapping` is called, only
the fields of its dataclasses are read.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import Sram
from accelsim.mapping.fused import FusedPlan, MacStage
from accelsim.mapping.nest import Loop, Store
from accelsim.validate.walked_flows import FlowTable

Element = tuple[int, ...]
Tile = frozenset[Element]
Ranges = dict[str, tuple[int, int]]
DIMS = {"ifmap": ("b", "g", "m", "k"), "weight": ("b", "k", "n"), "output": ("b", "g", "m", "n")}


def elements(ranges: Ranges, operand: str) -> Tile:
    return frozenset(itertools.product(*(range(*ranges[dim]) for dim in DIMS[operand])))


@dataclass
class Member:
    """One nest of the group as it runs: what each storage node holds, and what was done."""

    stage: MacStage
    held: dict[tuple[str, str], Tile] = field(default_factory=dict)
    largest: Counter[tuple[str, str]] = field(default_factory=Counter)
    distinct: dict[tuple[str, str], set[Tile]] = field(default_factory=dict)
    done: Counter[Element] = field(default_factory=Counter)
    macs: set[Element] = field(default_factory=set)
    most_live: int = 0
    most_stores: int = 0
    stores: Counter[Element] = field(default_factory=Counter)

    def slots(self, operand: str, level: str) -> int:
        (node,) = (n for n in self.stage.mapping.nodes
                   if isinstance(n, Store) and (n.operand, n.level) == (operand, level))  # fmt: skip
        return 2 if node.double_buffered else 1


class GroupWalk:
    """Runs the whole group; `flows` by member, `members` the two nests, `kept` the scores tiles in order."""

    def __init__(self, plan: FusedPlan, machine: Machine) -> None:
        self.plan, self.machine = plan, machine
        assert plan.second is not None
        self.members = [Member(plan.first), Member(plan.second)]
        self.flows = [FlowTable() for _ in range(len(plan.vectors) + 2)]
        self.burst = machine.dram.burst_bytes * 8
        self.kept: list[int] = []
        loops = [
            [n for n in m.stage.mapping.nodes if isinstance(n, Loop)][: len(plan.kept_loops)] for m in self.members
        ]
        assert loops[0] == loops[1] == list(plan.kept_loops)
        starts = [
            dict.fromkeys("bgmkn", (0, 0)) | {d: (0, e) for d, e in m.stage.problem.extents} for m in self.members
        ]
        self.shared(0, [0, 0], starts)
        for member in self.members:
            self.leave_array(member)
            total = 1
            for _, extent in member.stage.problem.extents:
                total *= extent
            assert len(member.macs) == total

    def table(self, member: Member) -> FlowTable:
        return self.flows[0 if member is self.members[0] else -1]

    def shared(self, depth: int, at: list[int], ranges: list[Ranges]) -> None:
        """Walk both nests through the loops they share; `at` is where each stands in its nodes."""
        if depth == len(self.plan.kept_loops):
            self.row_tile(at, ranges)
            return
        here = []
        for number, member in enumerate(self.members):
            position = at[number]
            while not isinstance(member.stage.mapping.nodes[position], Loop):
                self.node(member, position, ranges[number])
                position += 1
            here.append(position + 1)
        loop = self.plan.kept_loops[depth]
        low, high = ranges[0][loop.dim]
        for start in range(low, high, loop.step):
            part = {loop.dim: (start, min(start + loop.step, high))}
            self.shared(depth + 1, here, [ranges[0] | part, ranges[1] | part])

    def row_tile(self, at: list[int], ranges: list[Ranges]) -> None:
        first, second = self.members
        self.descend(first, at[0], ranges[0])
        self.leave_array(first)
        scores = elements(ranges[0], "output")
        reductions = dict(first.stage.problem.extents)["k"]
        assert all(first.done[score] == reductions for score in scores), "the softmax reads unfinished scores"
        assert {score[3] for score in scores} == set(range(dict(first.stage.problem.extents)["n"])), "half a row"
        self.kept.append(len(scores))
        self.units(len(scores))
        bits = second.stage.problem.ifmap_bits
        self.flows[-1].sram(self.machine.psum_buffer, "ifmap", "read", lambda per_tile: per_tile(len(scores)), bits)
        second.held["ifmap", self.machine.ifmap_buffer.name] = frozenset()  # what was there is overwritten
        self.descend(second, at[1], ranges[1])
        assert elements(ranges[1], "ifmap") == scores, "the second nest reads other probabilities"
        self.leave_array(second)
        outputs = elements(ranges[1], "output")
        table, bits = self.flows[-1], second.stage.problem.ofmap_bits
        assert all(second.done[output] == dict(second.stage.problem.extents)["k"] for output in outputs)
        table.sram(self.machine.psum_buffer, "ofmap", "read", lambda per_tile: per_tile(len(outputs)), bits)
        table.dram("ofmap", "write", lambda per_tile: per_tile(len(outputs)), bits, self.burst)

    def units(self, tile: int) -> None:
        for vector, table in zip(self.plan.vectors, self.flows[1:], strict=False):
            table.sram(self.machine.psum_buffer, "ifmap", "read", lambda per: per(tile), vector.in_bits)
            table.sram(self.machine.psum_buffer, "ofmap", "write", lambda per: per(tile), vector.out_bits)
            for extra in vector.extras:
                size = tile if extra.row is None else extra.row
                table.dram(extra.name, "read", lambda per, s=size: per(s), extra.bits, self.burst)  # type: ignore[misc]
                for action in ("write", "read"):
                    table.sram(self.machine.ifmap_buffer, extra.name, action, lambda per, s=size: per(s), extra.bits)  # type: ignore[misc]

    def descend(self, member: Member, position: int, ranges: Ranges) -> None:
        nodes = member.stage.mapping.nodes
        if position == len(nodes):
            self.compute(member, ranges)
            return
        node = nodes[position]
        if isinstance(node, Loop):
            low, high = ranges[node.dim]
            for start in range(low, high, node.step):
                self.descend(member, position + 1, ranges | {node.dim: (start, min(start + node.step, high))})
            return
        self.node(member, position, ranges)
        self.descend(member, position + 1, ranges)

    def node(self, member: Member, position: int, ranges: Ranges) -> None:
        """A storage node comes to hold the tile of these ranges, which moves if it held another."""
        node = member.stage.mapping.nodes[position]
        if not isinstance(node, Store) or node.level == "dram":
            return
        tile, key = elements(ranges, node.operand), (node.operand, node.level)
        if member.held.get(key) == tile:
            return
        if key == ("output", "array"):
            self.leave_array(member)
            self.enter_array(member, tile)
        elif node.operand != "output":
            self.bring(member, node, tile)
        member.held[key] = tile
        member.largest[key] = max(member.largest[key], len(tile))
        member.distinct.setdefault(key, set()).add(tile)

    def bring(self, member: Member, node: Store, tile: Tile) -> None:
        problem, table = member.stage.problem, self.table(member)
        name = "ifmap" if node.operand == "ifmap" else member.stage.weight_name
        bits = problem.ifmap_bits if node.operand == "ifmap" else problem.weight_bits
        sram = self.machine.ifmap_buffer if node.operand == "ifmap" else self.machine.weight_buffer
        if node.level == "array":
            assert tile <= member.held[node.operand, sram.name], "the array reads what the buffer does not hold"
            table.sram(sram, name, "read", lambda per_tile: per_tile(len(tile)), bits)
            return
        table.sram(sram, name, "write", lambda per_tile: per_tile(len(tile)), bits)
        if node.operand == "weight" or member is self.members[0]:
            table.dram(name, "read", lambda per_tile: per_tile(len(tile)), bits, self.burst)

    def enter_array(self, member: Member, tile: Tile) -> None:
        started = {member.done[output] > 0 for output in tile}
        assert len(started) == 1
        if started.pop():
            bits = member.stage.problem.psum.bits
            self.table(member).sram(self.machine.psum_buffer, "psum", "read", lambda per: per(len(tile)), bits)
            self.engine(member, "dequantise", len(tile))

    def leave_array(self, member: Member) -> None:
        """Outputs leave the accumulators: as ofmap values when nothing is left to add, else as psums."""
        tile = member.held.pop(("output", "array"), None)
        if tile is None:
            return
        problem = member.stage.problem
        (finished,) = {member.done[output] == dict(problem.extents)["k"] for output in tile}
        operand, bits = ("ofmap", problem.ofmap_bits) if finished else ("psum", problem.psum.bits)
        self.table(member).sram(self.machine.psum_buffer, operand, "write", lambda per: per(len(tile)), bits)
        member.stores.update(() if finished else tile)
        if not finished or any(member.stores[output] for output in tile):
            self.engine(member, "requantise", len(tile))
        member.most_stores = max([member.most_stores, *(member.stores[output] for output in tile)])
        reductions = dict(problem.extents)["k"]
        live = sum(1 for output, count in member.done.items() if member.stores[output] and count < reductions)
        member.most_live = max(member.most_live, live)

    def engine(self, member: Member, action: str, psums: int) -> None:
        bits = member.stage.problem.psum.bits
        if bits < 16:
            self.table(member).add(("psum_engine", "psum", action), psums, psums, bits, psums * bits)

    def compute(self, member: Member, ranges: Ranges) -> None:
        for output in elements(ranges, "output"):
            for k in range(*ranges["k"]):
                assert (*output, k) not in member.macs
                member.macs.add((*output, k))
            member.done[output] += len(range(*ranges["k"]))


def words(sram: Sram, values: int, bits: int) -> int:
    return len(range(0, values, sram.word_bits // bits))


def buffer_demands(walk: GroupWalk) -> Iterator[tuple[Sram, int]]:
    """Bits that each buffer has to hold at the least, slots counted as the plan grants them."""
    plan, machine, (first, second) = walk.plan, walk.machine, walk.members
    ins, weights, outs = machine.ifmap_buffer, machine.weight_buffer, machine.psum_buffer
    bits = words(ins, first.largest["ifmap", ins.name], first.stage.problem.ifmap_bits) * first.slots("ifmap", ins.name)
    bits += words(ins, second.largest["ifmap", ins.name], second.stage.problem.ifmap_bits) * plan.moved_slots
    tile = max(walk.kept)
    for vector in plan.vectors:
        bits += sum(2 * words(ins, tile if e.row is None else e.row, e.bits) for e in vector.extras)
    yield ins, bits * ins.word_bits
    held = [
        (m, words(weights, m.largest["weight", weights.name], m.stage.problem.weight_bits)) for m in (first, second)
    ]
    yield weights, sum(count * m.slots("weight", weights.name) for m, count in held) * weights.word_bits
    total = 0
    for member, slots in ((first, plan.kept_slots), (second, second.slots("output", outs.name))):
        problem, size = member.stage.problem, member.largest["output", outs.name]
        widest = max([problem.ofmap_bits, *(v.out_bits for v in plan.vectors if member is first)])
        live = min(problem.psum.group_size, member.most_stores)
        finished = words(outs, size, widest)
        together = slots * max(finished, words(outs, size * live, problem.psum.bits))
        total += min(together, slots * finished + words(outs, member.most_live * live, problem.psum.bits))
    yield outs, total * outs.word_bits
