"""Weights loaded during the op before: `mapping.prefetch: weights`.

The first weight tile of a matmul or conv (and the bias that comes with it) may be loaded while the op
right before it in its phase still runs, after that op's own loads, if there is room: in the outermost
memory that the later op stores weights in, beside all that the earlier op needs there. Both ops are
then timed again, exactly, and the prefetch is kept where the two together take fewer cycles; so a
phase never gets slower. Only tensors of kind weight: activations and KV entries may not exist yet. A
fused group is left alone: nothing comes in during it, nor for it. Energy stays with the op whose
weights they are; the bits count for the time of the op in which they move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from accelsim.execute import Outcome, retime
from accelsim.hardware.machine import Machine
from accelsim.mapping.lower import MacWork, Work
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.weight_room import demand_bits, entry_memory, first_tile_bits
from accelsim.program.dma import write_port
from accelsim.program.prefetch import NO_PREFETCH, Prefetch
from accelsim.program.vector import slot_bits
from accelsim.report.invariants import BrokenInvariant


@dataclass(frozen=True)
class Step:
    """One op of a phase, executed by itself; `stored_weight`: its weight operand is a tensor of kind weight."""

    work: Work
    outcome: Outcome | Infeasible
    stored_weight: bool


@dataclass
class Prefetcher:
    """Prefetches phase by phase; equal ops in equal places are timed once."""

    machine: Machine
    timed: dict[tuple[Work, Prefetch], Outcome] = field(default_factory=dict)

    def run(self, steps: Sequence[Step]) -> list[Outcome | Infeasible]:
        """The outcomes of a phase's ops, with weights prefetched where that saves cycles."""
        outcomes = [step.outcome for step in steps]
        loaded = False  # whether the op's own first tile is there
        for i in range(len(steps) - 1):
            before, after = outcomes[i], outcomes[i + 1]
            early = self._early(steps[i], steps[i + 1])
            if early.next_bits and isinstance(before, Outcome) and isinstance(after, Outcome):
                giver = self._timed(steps[i], replace(early, preloaded=loaded))
                taker = self._timed(steps[i + 1], Prefetch(preloaded=True))
                saved = before.cycles + after.cycles - giver.cycles - taker.cycles
                loaded = saved > 0 and self._credible(saved, early, (before, after, giver, taker))
                if loaded:
                    used = taker.timing.preloaded_bits
                    if used != early.next_bits:
                        raise BrokenInvariant("dram", f"{early.next_bits} bits prefetched, {used} used")
                    outcomes[i] = replace(giver, prefetch_saved_cycles=before.prefetch_saved_cycles)
                    outcomes[i + 1] = replace(taker, prefetch_saved_cycles=saved)
            else:
                loaded = False
        return outcomes

    def _early(self, before: Step, after: Step) -> Prefetch:
        """The later op's first weight tile if there is room for it during the earlier one, else nothing."""
        if not (after.stored_weight and isinstance(after.work, MacWork) and isinstance(after.outcome, Outcome)):
            return NO_PREFETCH
        if (
            after.work.problem.weight_home != "dram"
            or after.outcome.nest is None
            or isinstance(before.outcome, Infeasible)
            or before.outcome.group
        ):
            return NO_PREFETCH
        memory = entry_memory(after.outcome.nest, self.machine)
        if memory is None:
            return NO_PREFETCH
        if isinstance(before.work, MacWork):
            if before.outcome.nest is None:
                return NO_PREFETCH
            taken = demand_bits(before.work.problem, before.outcome.nest, self.machine, memory)
        else:
            taken = slot_bits(before.work, self.machine, memory)
        transfer, room = first_tile_bits(after.work.problem, after.outcome.nest, memory)
        fits = taken + room <= memory.capacity_bits
        return Prefetch(next_bits=transfer, into=memory.name) if fits else NO_PREFETCH

    def _credible(self, saved: int, early: Prefetch, outcomes: Sequence[Outcome]) -> bool:
        """Whether four times can be compared: an estimate knows no order, and of programs timed by their
        period no difference counts that is longer than the transfer itself."""
        methods = {outcome.timing.method for outcome in outcomes}
        period = self.machine.period_fs
        port_fs = write_port(self.machine.memory(early.into), period)(early.next_bits)
        longest_fs = max(self.machine.dram.transfer_fs(early.next_bits), port_fs) + self.machine.dram.latency_fs
        return methods == {"replayed"} or ("estimate" not in methods and saved <= -(-longest_fs // period))

    def _timed(self, step: Step, prefetch: Prefetch) -> Outcome:
        key = step.work, prefetch
        if key not in self.timed:
            if not isinstance(step.outcome, Outcome):
                raise ValueError("an op that cannot run has no time")
            self.timed[key] = retime(step.work, step.outcome, self.machine, prefetch)
        return self.timed[key]
