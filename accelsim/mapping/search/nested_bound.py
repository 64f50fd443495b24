"""What no mapping of a nested conv goes below, whatever its loops.

array    From one step of the array to the next some loop advances, and every dim but the batch's
         selects two of the three operands: two at least bring in new values. A step of m MACs
         takes at least m / (array width along the dims that do not select it) values of an
         operand; an input's only where the window does not meet the padding. So a MAC costs at
         least what the two cheapest operands cost it, outputs without their last visit.
memories each value crosses the DRAM's pins once, by way of its cheapest memory
time     the array's pieces; the DRAM bits of that
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from accelsim.mapping.problem import OPERANDS, Problem
from accelsim.mapping.search.bound import prepare
from accelsim.mapping.search.place import score_of
from accelsim.mapping.search.space import WALK, Record
from accelsim.mapping.window import axis_of, distinct_positions


def nested_bound(problem: Problem, record: Record, objective: int) -> float:
    """Lower bound of the objective's score; `record` is the problem's `TABLES`."""
    t, walk = record[0], np.zeros(1, WALK)
    prepare(record, walk)
    prices = walk["prices"][0]
    values = [int(count) for count in t["values"]]
    visits_pj = [prices[x, 0] / _irrelevant_width(problem, record, x) for x in range(3)]
    inside = _macs_inside(problem)
    array_pj = inside * min(a + b for a, b in itertools.combinations(visits_pj, 2))
    array_pj += (problem.macs - inside) * min(visits_pj[1:])
    array_pj = max(array_pj - prices[2, 0] * values[2], prices[0, 0] * values[0] + prices[1, 0] * values[1])
    energy = float(walk["once_pj"][0]) + array_pj + prices[0, 1] * values[0] + prices[1, 1] * values[1]
    dram_bits = sum(int(t["bits"][x]) * values[x] for x in range(3))
    cycles = walk["cycles"][0] + t["pipeline_cycles"]
    fs = max(float(cycles * t["period_fs"]), dram_bits * float(t["dram_fs_per_bit"])) + 2 * float(t["dram_latency_fs"])
    score: float = score_of(float(energy) + fs * float(t["leakage_pj_per_fs"]), fs, objective)[0]
    return score


def _irrelevant_width(problem: Problem, record: Record, x: int) -> int:
    dims = [dim for dim, extent in problem.extents if extent > 1]
    widths, extents = record["widths"][0].tolist(), record["extents"][0].tolist()
    apart = problem.irrelevant(OPERANDS[x])
    return math.prod(min(widths[d], extents[d]) for d, dim in enumerate(dims) if dim in apart)


def _macs_inside(problem: Problem) -> int:
    """MACs whose input is none of the padding."""
    conv = problem.conv
    if conv is None:
        return problem.macs
    total = problem.macs
    for axis, outputs in ((axis_of(conv, 0), conv.p), (axis_of(conv, 1), conv.q)):
        starts, taps = np.arange(outputs), np.arange(axis.taps)
        ones = np.ones_like
        row, tap, met = distinct_positions(axis, starts, ones(starts), taps, ones(taps))
        total = total // (outputs * axis.taps) * int(met[row][:, tap].sum())
    return total
