"""Explicit mappings of convs and products on Gemmini, against the cycles of its RTL (FireSim).

First contact: the hardware's parameters, the mappings as given, no constant fitted. The text of a mapping
sends psums to DRAM wherever a reduction loop stands outside; the measured cycles are far below what that
would take, and the accumulators (4 MiB) could hold every output, so both readings are shown. Beside
them stands the error of a two-line roofline, max(MACs / PEs, DRAM bytes / 8), on the same rows.

What the model leaves out: requests per row of a tile (tiles lie contiguous in our DRAM), the commands'
own issue, cache hits; and it drains the array between folds, which Gemmini runs back to back.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.problem import Problem
from accelsim.mapping.traffic import mac_flows
from accelsim.timing import estimate_mac
from accelsim.validate.explicit import cost_of
from accelsim.validate.gemmini_nest import PSUM_BITS, nest_of, problem_of
from accelsim.validate.machines import gemmini
from accelsim.validate.recording import Record, recorded
from accelsim.validate.row import Row

SIZE = 16
ROOFLINE_ERROR_PCT, ROOFLINE_MEDIAN, ROOFLINE_RANK = 56.4, 0.364, 0.8712
"""Of max(MACs / 256, DRAM bytes / 8) on these 235 rows: mean absolute error, median of predicted over
measured, Spearman's rank correlation."""
KEPT = "every instruction timed; outputs stay in the accumulators until they are finished"
WRITTEN = "time of the busiest resource; psums go to DRAM where the mapping's text has them go"
STATED = "reference: the roofline's on the same rows"


def rows() -> Iterator[Row]:
    """Each row of the recording under both readings, then what all rows together come to."""
    machine = build_machine(gemmini(SIZE))
    records = recorded("gemmini").rows
    for name, note in (("psums kept", KEPT), ("psums spilt", WRITTEN)):
        found = []
        for record in records:
            problem = problem_of(str(record["mapping"]), int(record["stride"]))
            cycles = _kept(record, problem, machine) if note == KEPT else _as_written(record, problem, machine)
            case = f"{record['id']}: {record['mapping']}"
            found.append(
                Row(
                    "gemmini",
                    case,
                    f"{record['op']} cycles, {name}",
                    "cycles",
                    float(record["cycles"]),
                    cycles,
                    None,
                    note,
                )
            )
        yield from found
        yield from _together(name, found)


def _kept(record: Record, problem: Problem, machine: Machine) -> int:
    outputs = problem.extent("n") * problem.extent("p") * problem.extent("q") * problem.extent("k")
    fits = outputs * PSUM_BITS <= machine.psum_buffer.capacity_bits
    return cost_of(problem, nest_of(str(record["mapping"]), problem, machine, keep_outputs=fits), machine).cycles


def _as_written(record: Record, problem: Problem, machine: Machine) -> int:
    mapping = nest_of(str(record["mapping"]), problem, machine, keep_outputs=False)
    timing = estimate_mac(problem, mapping, mac_flows(problem, mapping, machine), machine)
    return -(-timing.makespan_fs // machine.period_fs)


def _together(name: str, found: Sequence[Row]) -> Iterator[Row]:
    ratios = [row.ours / row.reference for row in found]
    error = 100 * statistics.fmean(abs(ratio - 1) for ratio in ratios)
    rank = rank_correlation([row.ours for row in found], [row.reference for row in found])
    for what, unit, roofline, ours in (
        ("mean abs. error", "%", ROOFLINE_ERROR_PCT, error),
        ("median ratio", "to measured", ROOFLINE_MEDIAN, statistics.median(ratios)),
        ("rank correlation", "Spearman", ROOFLINE_RANK, rank),
    ):
        yield Row("gemmini", f"{len(found)} rows", f"{what}, {name}", unit, roofline, ours, None, STATED)


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rank correlation; equal values share their mean rank."""
    import pandas as pd

    return float(pd.Series(a).rank().corr(pd.Series(b).rank()))
