"""The result of a simulation: a typed tree whose totals are always derived from its parts.

    Report
      rows        phase x op x block x operand x action: counts, bits, energy
      ops         phase x op: MACs, cycles, where they went, what bound it
      phases      tokens, cycles, throughput
      blocks      area and leakage, with sources
      groups      ops fused, or why they were not, and what that saved
      infeasible  ops that cannot run here, and what would make them fit
      totals      one function of the above

Energy in pJ, time in core-clock cycles and seconds, area in mm2, power in mW, TOPS = 10^12
operations per second with 2 operations per MAC.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Row:
    """Energy of one action of one block on one operand in one op.

    `count` is in the unit the block charges for (port accesses, DRAM bits, MACs, elements, cycles
    for leakage); `bits_moved` includes the padding of port words and DRAM bursts. `level` is dram, reram
    (a stacked memory, whatever it is made of), link (between chips), buffer, registers or compute; `part`
    is die, stack, dram or link. A stacked memory's reads have a `link` row each for the bumps. What a DRAM
    moves has a `read` or `write` row, which bears the bits and the column access energy, an `activate` row
    and, on the link, an `io` row. `values` is how many values the bits stand for, which compressing leaves as they are.
    """

    phase: str
    op: str
    block: str
    level: str
    part: str
    operand: str
    action: str
    count: int
    bits_useful: int
    bits_moved: int
    energy_pj: float
    assumed: bool
    values: int = 0


@dataclass(frozen=True)
class ResourceCycles:
    """Where a resource's time went during an op, in core cycles: stalled has work left, idle none."""

    name: str
    busy_cycles: float
    stalled_cycles: float
    idle_cycles: float


@dataclass(frozen=True)
class SearchRow:
    """What the mapping search said of an op: its closed-form cost, and how far from the best it can be.

    `engine_per_closed_form` is the op's cycles over the closed form's. `gap`: no mapping of the map
    space has an objective lower by more than this share; `counted` mappings were priced.
    """

    objective: str
    closed_form_energy_pj: float
    closed_form_cycles: float
    engine_per_closed_form: float
    proved: bool
    gap: float
    stop_reason: str
    counted: int


@dataclass(frozen=True)
class OpRow:
    """One op: `stall_cycles` = cycles - compute_cycles; `bound_by` names what was busiest.

    `stalls` splits the stall cycles by reason (see `accelsim.stalls`); `prefetch_saved_cycles` is what
    loading the op's first weights during the op before saved, net of what it cost that op.
    `padded_macs` is room in the array's lanes that ragged edges left empty; `mapping` the loop nest;
    `timing` how its time was found: replayed, periodic or estimate (see `accelsim.timing`). An op that
    ran in a fused `group` has the share of the group's cycles and resources that it was busy for, beside
    the other members; what bound the group stands in each.
    `energy_bound_pj` and `cycles_bound` are what no mapping goes below (`accelsim.mapping.bound`).
    """

    phase: str
    name: str
    kind: str
    macs: int
    cycles: int
    compute_cycles: int
    energy_pj: float
    bound_by: str
    psum_visits: int
    psum_scheme: str
    padded_macs: int
    mapping: str
    timing: str
    resources: tuple[ResourceCycles, ...]
    stalls: tuple[tuple[str, int], ...]
    prefetch_saved_cycles: int
    lower_bounds: tuple[tuple[str, int], ...]
    energy_bound_pj: float = 0.0
    cycles_bound: int = 0
    search: SearchRow | None = None
    group: str = ""

    @property
    def stall_cycles(self) -> int:
        return self.cycles - self.compute_cycles


@dataclass(frozen=True)
class PhaseRow:
    """One phase: `tokens` new tokens per sequence of `batch` sequences, in `cycles`."""

    name: str
    kind: str
    tokens: int
    context: int
    batch: int
    cycles: int
    latency_s: float
    energy_pj: float

    @property
    def tokens_per_s(self) -> float:
        return self.tokens * self.batch / self.latency_s if self.latency_s else 0.0


@dataclass(frozen=True)
class BlockRow:
    """Area and static power of a block; for the dram, its background power and no area."""

    block: str
    die: str
    area_mm2: float
    leakage_mw: float
    area_source: str
    leakage_source: str
    area_assumed: bool


@dataclass(frozen=True)
class InfeasibleRow:
    """An op that did not run: `demand` exceeds `bound`, in `unit`, at `resource`."""

    phase: str
    op: str
    macs: int
    resource: str
    demand: int
    bound: int
    unit: str
    lever: str


@dataclass(frozen=True)
class GroupRow:
    """Ops that could run as one: what the group costs as it was run, and what its ops cost one by one.

    `kind` is attention or chain; `dram_bits` are bits moved. A group that was not `fused` costs as much
    either way, and says why: `demand` of it exceeds `bound`, in `unit`, at `resource`, and what would help.
    """

    phase: str
    name: str
    kind: str
    ops: tuple[str, ...]
    fused: bool
    cycles: int
    energy_pj: float
    dram_bits: int
    unfused_cycles: int
    unfused_energy_pj: float
    unfused_dram_bits: int
    lower_bounds: tuple[tuple[str, int], ...] = ()
    resource: str = ""
    demand: int = 0
    bound: int = 0
    unit: str = ""
    lever: str = ""


@dataclass(frozen=True)
class WeightRow:
    """A stored weight, with its bias: where it lives, and its bits there (those of all chips together)."""

    weight: str
    store: str
    bits: int


@dataclass(frozen=True)
class StackUse:
    """The stacked memory of all chips: bits of weights, room, and what writing them once takes (no part of a run).

    `endurance_writes` is None for cells that do not wear out.
    """

    bits: int
    capacity_bits: int
    write_energy_pj: float
    write_s: float
    endurance_writes: float | None


@dataclass(frozen=True)
class TierRow:
    """A tier of a stack: the logic die, or the memory dies of one layer; mm2 of one chip."""

    tier: str
    area_mm2: float


@dataclass(frozen=True)
class Totals:
    """Sums over the ops that ran. `complete` is False when an op is infeasible: energy and time then
    leave it out, and speeds are of what ran. `assumed_energy_share` is the part of energy_pj on assumed
    constants."""

    macs: int
    skipped_macs: int
    complete: bool
    energy_pj: float
    energy_on_chip_pj: float
    cycles: int
    latency_s: float
    area_mm2: float
    power_mw: float
    tops: float
    tops_per_w: float
    leakage_energy_pj: float
    psum_energy_share: float
    assumed_energy_share: float
    assumed_area_share: float


@dataclass(frozen=True)
class Report:
    """Everything one simulation found. `trace_macs` counts infeasible ops too; `oracle_macs` is None
    when nothing else could count them. The two peaks are the roofs of all chips: MACs per core cycle,
    and DRAM bytes per core cycle after row misses. `weights`, `stack` and `tiers` are there for machines
    with a stacked memory; the footprint of a chip is its largest tier."""

    provenance: tuple[tuple[str, str], ...]
    peak_macs_per_cycle: int
    peak_dram_bytes_per_cycle: float
    totals: Totals
    phases: tuple[PhaseRow, ...]
    ops: tuple[OpRow, ...]
    rows: tuple[Row, ...]
    blocks: tuple[BlockRow, ...]
    infeasible: tuple[InfeasibleRow, ...]
    unknown_ops: tuple[tuple[str, str, int], ...]
    trace_macs: int
    oracle_macs: int | None
    oracle_method: str
    groups: tuple[GroupRow, ...] = ()
    chips: int = 1
    weights: tuple[WeightRow, ...] = ()
    stack: StackUse | None = None
    tiers: tuple[TierRow, ...] = ()

    @property
    def footprint_mm2(self) -> float:
        """What one chip takes of a board, mm2."""
        return max((row.area_mm2 for row in self.tiers), default=self.totals.area_mm2 / self.chips)

    @property
    def mac_check(self) -> str:
        """`equal`, `differ` or `not checked`: the trace's MACs against its oracle."""
        if self.oracle_macs is None:
            return "not checked"
        return "equal" if self.oracle_macs == self.trace_macs else "differ"

    def to_frame(self) -> pd.DataFrame:
        """The rows as a table, one column per field of `Row`. Imports pandas."""
        import pandas as pd

        return pd.DataFrame([vars(row) for row in self.rows])

    def save(self, path: str | Path) -> None:
        """Write the report whole or not at all: `.json` (everything) or `.csv` (the rows)."""
        from accelsim.report.files import save

        save(self, Path(path))


def totals(
    rows: Sequence[Row],
    ops: Sequence[OpRow],
    blocks: Sequence[BlockRow],
    infeasible: Sequence[InfeasibleRow],
    period_s: float,
) -> Totals:
    """The one place where parts become sums (math.fsum, in row order)."""
    energy = math.fsum(row.energy_pj for row in rows)
    macs = sum(op.macs for op in ops)
    cycles = sum(op.cycles for op in ops)
    latency = cycles * period_s
    on_die = [block for block in blocks if block.die != "dram"]
    area = math.fsum(block.area_mm2 for block in on_die)
    assumed_area = math.fsum(block.area_mm2 for block in on_die if block.area_assumed)

    def share(part: float, whole: float) -> float:
        return part / whole if whole else 0.0

    return Totals(
        macs=macs,
        skipped_macs=sum(row.macs for row in infeasible),
        complete=not infeasible,
        energy_pj=energy,
        energy_on_chip_pj=math.fsum(row.energy_pj for row in rows if row.part in ("die", "stack")),
        cycles=cycles,
        latency_s=latency,
        area_mm2=area,
        power_mw=share(energy * 1e-9, latency),
        tops=share(2e-12 * macs, latency),
        tops_per_w=share(2 * macs, energy),
        leakage_energy_pj=math.fsum(row.energy_pj for row in rows if row.action == "leakage"),
        psum_energy_share=share(math.fsum(row.energy_pj for row in rows if row.operand == "psum"), energy),
        assumed_energy_share=share(math.fsum(row.energy_pj for row in rows if row.assumed), energy),
        assumed_area_share=share(assumed_area, area),
    )
