"""One point of a sweep: simulated, and summed up as the cells of a table row."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

from accelsim.errors import UserError, text_of
from accelsim.explore.points import Point, texts
from accelsim.report import Report
from accelsim.report.invariants import BrokenInvariant
from accelsim.report.report import InfeasibleRow
from accelsim.report.terminal import operand_of
from accelsim.simulation import simulate
from accelsim.spec import load_arch
from accelsim.workload import Trace, workload_overrides

TOTALS = (
    "energy_pj", "energy_on_chip_pj", "leakage_energy_pj", "cycles", "latency_s", "area_mm2", "power_mw", "tops",
    "tops_per_w", "assumed_energy_share", "psum_energy_share", "macs",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """The outcome of a point. `costs`, `blocks_pj` and `operands_pj` are empty unless `status` is ok:
    what is left when some ops cannot run is no cost of the workload."""

    status: str
    reason: str = ""
    costs: dict[str, float] = field(default_factory=dict)
    blocks_pj: dict[str, float] = field(default_factory=dict)
    operands_pj: dict[str, float] = field(default_factory=dict)
    operands_dram_pj: dict[str, float] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)


def run_point(point: Point, arch: str, trace: Trace) -> Result:
    """Simulate one point; a spec that cannot run it, or an op that does not fit, is its result."""
    try:
        spec = load_arch(arch, point.of("arch"))
        changed = workload_overrides(trace, texts(tuple(point.of("workload").items())))
        report = simulate(spec, changed)
    except UserError as error:
        return Result("error", text_of(error))
    except BrokenInvariant as error:
        # An exception of two arguments does not survive the way back from another process.
        return Result("broken", f"{error} at {dict(point.sets)} of {point.workload}")
    return summary(report)


def summary(report: Report) -> Result:
    """A report's totals, and its energy by block and by operand."""
    origin = dict(report.provenance)
    hashes = {name: origin[name] for name in ("arch_hash", "workload_hash")}
    if report.infeasible:
        costs: dict[str, float] = {"area_mm2": report.totals.area_mm2, "infeasible_ops": len(report.infeasible)}
        return Result("infeasible", _infeasible(report.infeasible), costs, hashes=hashes)
    costs = {name: getattr(report.totals, name) for name in TOTALS}
    costs["infeasible_ops"] = 0
    costs["psum_energy_pj"] = math.fsum(row.energy_pj for row in report.rows if row.operand == "psum")
    costs["dynamic_energy_pj"] = math.fsum(row.energy_pj for row in report.rows if row.action != "leakage")
    blocks: dict[str, list[float]] = {block.block: [] for block in report.blocks}
    operands: dict[str, list[float]] = defaultdict(list)
    in_dram: dict[str, list[float]] = defaultdict(list)
    for row in report.rows:
        operand = operand_of(row)
        blocks[row.block].append(row.energy_pj)
        operands[operand].append(row.energy_pj)
        if row.part != "die":
            in_dram[operand].append(row.energy_pj)
    return Result("ok", "", costs, _sums(blocks), _sums(operands), _sums(in_dram), hashes)


def _sums(parts: dict[str, list[float]]) -> dict[str, float]:
    return {name: math.fsum(energies) for name, energies in parts.items()}


def _infeasible(rows: tuple[InfeasibleRow, ...]) -> str:
    """The first op that cannot run, and how many more there are."""
    first = rows[0]
    need = f"needs {first.demand:,} {first.unit}, {first.resource} has {first.bound:,}"
    more = f", and {len(rows) - 1:,} more" if len(rows) > 1 else ""
    return f"{first.op}{more}: {need} (fix: {first.lever})"
