"""What one pass asks of the machine, op by op, from each op's mapping in the simulator.

The simulator runs ops one by one, from DRAM to DRAM. In a pass they follow one another: an activation
for which there is room stays on the chip and moves no DRAM bits (`resident`); weights, KV entries
and constants come from where they are stored, new KV entries and other activations go to DRAM.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from accelsim.charge import flow_pj
from accelsim.decoding.passes.resident import Tiles, resident_tensors
from accelsim.errors import UserError, user_error
from accelsim.execute import Outcome
from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import OperandName
from accelsim.mapping.fit import stored_tiles
from accelsim.mapping.lower import Work, lower
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.traffic import Flow, dram_flow
from accelsim.mapping.vector import VectorProblem
from accelsim.outcomes import Outcomes
from accelsim.program.vector import slots
from accelsim.residency import overfull_by, stacked_bits
from accelsim.spec import ArchSpec
from accelsim.workload.chips import ChipTrace, split_over_chips
from accelsim.workload.trace import Op, Trace, VectorDims

COMPUTE = ("array", "units")
ACTIVATIONS: tuple[OperandName, ...] = ("ifmap", "output")


@dataclass(frozen=True)
class OpCost:
    """One op of a pass: its computation, the bits it streams in by store, those it stores, those that the
    other chips send of its outputs, and its dynamic energy."""

    compute_fs: int
    dram_bits: int
    reram_bits: int
    stored_bits: int
    gather_bits: int
    energy_pj: float


@dataclass(frozen=True)
class PassWork:
    """The ops of one chip's pass in order; `after` holds for each the positions of those whose results it reads."""

    names: tuple[str, ...]
    ops: tuple[OpCost, ...]
    after: tuple[tuple[int, ...], ...]
    chips: int = 1

    @property
    def energy_pj(self) -> float:
        """Dynamic energy of the pass, all chips."""
        return self.chips * math.fsum(op.energy_pj for op in self.ops)

    @property
    def dram_bits(self) -> int:
        """Bits that cross the pins of all chips' DRAM, both ways."""
        return self.chips * sum(op.dram_bits + op.stored_bits for op in self.ops)

    @property
    def reram_bits(self) -> int:
        """Bits read from all chips' stacked memory."""
        return self.chips * sum(op.reram_bits for op in self.ops)


@dataclass(frozen=True)
class Kept:
    """Whether the activations that an op reads, in their order, and what it writes stay on the chip."""

    inputs: tuple[bool, ...]
    outputs: bool


@dataclass
class PassLowering:
    """Lowers traces of passes on one machine; equal ops are mapped and counted once for all of them.

    Reading weights that match `uncharged` (such as `draft/lm_head*`: owner and id) takes no time and no energy, and
    is no bits: for comparisons with numbers that leave them out.
    """

    machine: Machine
    arch: ArchSpec
    uncharged: tuple[str, ...] = ()
    known: dict[tuple[Work, Kept, bool], OpCost] = field(default_factory=dict)
    in_stack: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._outcomes = Outcomes(self.machine, self.arch)

    def of(self, trace: Trace, owner: str) -> PassWork:
        """The work of a trace of one phase, whose weights are the `owner`'s (verify or draft). UserError for an op
        that the machine cannot run, and for more weights in its stacked memory than that holds."""
        part = split_over_chips(trace, self.machine.system.chips)
        self._check_stack(part.trace, owner)
        (phase,) = part.trace.phases
        tensors, places = part.trace.tensor_by_id(), {op.id: place for place, op in enumerate(phase.ops)}
        works = [lower(op, tensors, self.machine) for op in phase.ops]
        outcomes = [self._outcome(op, work, part.trace) for op, work in zip(phase.ops, works, strict=True)]
        tiles = [op_tiles(work, outcome, self.machine) for work, outcome in zip(works, outcomes, strict=True)]
        resident = resident_tensors(part, tiles, token_bits(self.machine))
        costs = []
        for op, work, outcome in zip(phase.ops, works, outcomes, strict=True):
            vector = isinstance(op.dims, VectorDims)
            read = [name for name in op.inputs if tensors[name].kind == "activation"] if vector else op.inputs[:1]
            kept = Kept(tuple(name in resident for name in read), all(name in resident for name in op.outputs))
            costs.append(self._cost(op, work, outcome, kept, part, owner))
        after = tuple(tuple(places[one] for one in op.after) for op in phase.ops)
        return PassWork(tuple(op.name for op in phase.ops), tuple(costs), after, self.machine.system.chips)

    def _check_stack(self, part: Trace, owner: str) -> None:
        """The weights of all owners are in one stack."""
        if owner in self.in_stack:
            return
        self.in_stack[owner] = stacked_bits(part, self.machine)
        full = overfull_by(sum(self.in_stack.values()), self.machine)
        if full is not None:
            raise _cannot_run(part, full, self.machine)

    def _outcome(self, op: Op, work: Work, trace: Trace) -> Outcome:
        outcome = self._outcomes.of(work, op.name)
        if isinstance(outcome, Infeasible):
            raise _cannot_run(trace, outcome, self.machine, op.name)
        return outcome

    def _cost(self, op: Op, work: Work, outcome: Outcome, kept: Kept, part: ChipTrace, owner: str) -> OpCost:
        free = bool(op.dims.macs) and any(fnmatchcase(f"{owner}/{op.inputs[1]}", name) for name in self.uncharged)
        if (work, kept, free) not in self.known:
            self.known[work, kept, free] = op_cost(outcome, self.machine, kept, free)
        cost, gathered, link = self.known[work, kept, free], part.gathered_bits.get(op.id, 0), self.machine.system.link
        if not gathered or link is None:
            return cost
        cost = replace(cost, gather_bits=gathered, energy_pj=cost.energy_pj + gathered * link.energy_pj_per_bit)
        return cost if kept.outputs else _stored(cost, gathered, self.machine)


def op_cost(outcome: Outcome, machine: Machine, kept: Kept, weights_free: bool = False) -> OpCost:
    """What an op streams, computes and stores within a pass; `weights_free`: reading its weights costs nothing."""
    stack = "" if machine.reram_stack is None else machine.reram_stack.name
    flows = _moving(outcome.flows, machine, kept)
    if weights_free:
        flows = [f for f in flows if not (f.operand == "weight" and f.block in (machine.dram.name, stack))]
    in_dram = [flow for flow in flows if flow.block == machine.dram.name]
    blocks = {block.name: block for block in machine.blocks()}
    return OpCost(
        compute_fs=sum(use.busy_fs for use in outcome.timing.resources if use.name in COMPUTE),
        dram_bits=sum(flow.bits_moved for flow in in_dram if flow.action == "read"),
        reram_bits=sum(flow.bits_moved for flow in flows if flow.block == stack),
        stored_bits=sum(flow.bits_moved for flow in in_dram if flow.action == "write"),
        gather_bits=0,
        energy_pj=math.fsum(flow_pj(flow, blocks[flow.block]) for flow in flows),
    )


def _moving(flows: Sequence[Flow], machine: Machine, kept: Kept) -> list[Flow]:
    """The flows without the DRAM's of activations that are kept; those of inputs come in the inputs' order."""
    in_dram = [flow for flow in flows if flow.block == machine.dram.name]
    read = [flow for flow in in_dram if flow.operand == "ifmap"]
    stays = [flow for flow, keeps in zip(read, kept.inputs, strict=True) if keeps]
    stays += [flow for flow in in_dram if flow.operand in ("ofmap", "psum") and kept.outputs]
    return [flow for flow in flows if not any(flow is each for each in stays)]


def _stored(cost: OpCost, gathered_bits: int, machine: Machine) -> OpCost:
    """The cost with what the other chips send written to DRAM too, where readers look for the whole tensor."""
    dram = machine.dram
    flow = dram_flow(dram, "ofmap", "write", gathered_bits, 1, dram.moved_bits(gathered_bits))
    energy_pj = cost.energy_pj + flow_pj(flow, dram)
    return replace(cost, stored_bits=cost.stored_bits + flow.bits_moved, energy_pj=energy_pj)


def token_bits(machine: Machine) -> int:
    """Bits of the outermost memories that activations pass through, half of one whose weights are loaded ahead."""
    outermost = {machine.chain(operand)[0].name for operand in ACTIVATIONS}
    rooms = (
        memory.capacity_bits // (2 if memory is machine.weight_buffer else 1)
        for memory in machine.memories
        if memory.name in outermost
    )
    return sum(rooms)


def op_tiles(work: Work, outcome: Outcome, machine: Machine) -> Tiles:
    """What an op's inputs and result take of the outermost memories for activations, tile by tile."""
    sizes = dict.fromkeys(ACTIVATIONS, 0)
    if isinstance(work, VectorProblem):
        for operand, bits in slots(work, machine).items():
            sizes[operand] = bits
    elif outcome.nest is not None:
        for node, bits in stored_tiles(work.problem, outcome.nest, machine):
            if node.operand in sizes and node.level == machine.chain(node.operand)[0].name:
                sizes[node.operand] = bits
    return Tiles(sizes["ifmap"], sizes["output"])


def _cannot_run(trace: Trace, why: Infeasible, machine: Machine, what: str = "decoding") -> UserError:
    found = f"{what} needs {why.demand:,} {why.unit}, and there are {why.bound:,} ({why.resource})"
    return user_error(f"{trace.name} on {machine.name}", why.resource, found, why.lever)
