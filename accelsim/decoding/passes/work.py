"""What one pass asks of the machine, op by op, from each op's mapping in the simulator.

The simulator runs ops one by one, from DRAM to DRAM. In a pass they follow one another: an activation
that fits half of the token buffers stays on the chip and moves no DRAM bits (`kept`); weights, KV entries
and constants come from where they are stored, new KV entries and larger activations go to DRAM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from accelsim.charge import flow_pj
from accelsim.decoding.passes.system import ONE_CHIP, StackedMemory, System, WeightStore
from accelsim.errors import UserError, user_error
from accelsim.execute import Outcome
from accelsim.hardware.machine import Machine
from accelsim.mapping.lower import Work, lower
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.traffic import Flow
from accelsim.outcomes import Outcomes
from accelsim.workload.chips import ChipTrace, split_over_chips
from accelsim.workload.trace import Op, Trace

ACTIVATIONS = ("ifmap", "ofmap", "psum")
"""Operands of flows that a pass may keep on the chip; `weight`, `kv`, `constant` and the rest it streams."""
COMPUTE = ("array", "units")


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


@dataclass
class PassLowering:
    """Lowers traces of passes on one machine; equal ops are mapped and counted once for all of them."""

    machine: Machine
    outcomes: Outcomes
    system: System = ONE_CHIP
    known: dict[tuple[Work, WeightStore], OpCost] = field(default_factory=dict)

    def of(self, trace: Trace, owner: str) -> PassWork:
        """The work of a trace of one phase, whose weights are the `owner`'s (verify or draft). UserError for an op
        that the machine cannot run."""
        part = split_over_chips(trace, self.system.chips)
        (phase,) = part.trace.phases
        tensors, places = part.trace.tensor_by_id(), {op.id: place for place, op in enumerate(phase.ops)}
        costs = tuple(self._cost(op, lower(op, tensors, self.machine), part, owner) for op in phase.ops)
        after = tuple(tuple(places[one] for one in op.after) for op in phase.ops)
        return PassWork(tuple(op.name for op in phase.ops), costs, after, self.system.chips)

    def _cost(self, op: Op, work: Work, part: ChipTrace, owner: str) -> OpCost:
        store = self.system.store(owner, op.inputs[1]) if op.dims.macs else "dram"
        if (work, store) not in self.known:
            outcome = self.outcomes.of(work, op.name)
            if isinstance(outcome, Infeasible):
                raise _cannot_run(part.trace, op, outcome, self.machine)
            self.known[work, store] = op_cost(outcome, self.machine, store, self.system.stacked)
        cost, gathered = self.known[work, store], part.gathered_bits.get(op.id, 0)
        if not gathered or self.system.link is None:
            return cost
        sent_pj = gathered * self.system.link.energy_pj_per_bit
        return replace(cost, gather_bits=gathered, energy_pj=cost.energy_pj + sent_pj)


def op_cost(
    outcome: Outcome, machine: Machine, store: WeightStore = "dram", stack: StackedMemory | None = None
) -> OpCost:
    """What an op streams, computes and stores within a pass, its weight coming from `store`."""
    room = token_bits(machine) // 2
    flows = [flow for flow in outcome.flows if not kept(flow, machine, room)]
    stacked = () if machine.reram_stack is None else (machine.reram_stack.name,)
    weights = [flow for flow in flows if flow.operand == "weight" and flow.block in (machine.dram.name, *stacked)]
    elsewhere = weights if store != "dram" else []
    flows = [flow for flow in flows if flow not in elsewhere]
    in_dram = [flow for flow in flows if flow.block == machine.dram.name]
    blocks = {block.name: block for block in machine.blocks()}
    reram_bits = sum(flow.bits_useful for flow in elsewhere) if store == "stack" else 0
    reram_pj = reram_bits * stack.energy_pj_per_bit if stack else 0.0
    reram_bits += sum(flow.bits_useful for flow in flows if flow.block in stacked)  # placed there by the spec
    return OpCost(
        compute_fs=sum(use.busy_fs for use in outcome.timing.resources if use.name in COMPUTE),
        dram_bits=sum(flow.bits_moved for flow in in_dram if flow.action == "read"),
        reram_bits=reram_bits,
        stored_bits=sum(flow.bits_moved for flow in in_dram if flow.action == "write"),
        gather_bits=0,
        energy_pj=math.fsum([reram_pj, *(flow_pj(flow, blocks[flow.block]) for flow in flows)]),
    )


def kept(flow: Flow, machine: Machine, room_bits: int) -> bool:
    """Whether a pass keeps the tensor on the chip that this DRAM flow moves."""
    return flow.block == machine.dram.name and flow.operand in ACTIVATIONS and flow.bits_useful <= room_bits


def token_bits(machine: Machine) -> int:
    """Bits of all memories that activations pass through."""
    return sum(memory.capacity_bits for memory in machine.memories if {"ifmap", "output"} & set(memory.holds))


def _cannot_run(trace: Trace, op: Op, why: Infeasible, machine: Machine) -> UserError:
    found = f"{op.name} needs {why.demand:,} {why.unit}, and there are {why.bound:,} ({why.resource})"
    return user_error(f"{trace.name} on {machine.name}", why.resource, found, why.lever)
