"""The fixed dataflows: a loop order each, with storage placed where the buffers allow.

    order, outermost first (roles; a dim missing from an op is skipped)
    weight_stationary   batch  column  reduction  shared  row
    input_stationary    batch  shared  row  reduction  column
    output_stationary   batch  shared  row  column  reduction
    row_stationary      batch  shared  column  channels  taps  row

Row stationary is the order of a spatial pattern: kernel rows unrolled over the rows of a PE grid and
output rows over its columns, so that the PEs of a diagonal (p + r equal, at stride 1) share one input
row, and sums pass along a column. Innermost, a filter row stays where it is and slides over an input
row. Channels and taps are the two parts of the reduction; a matmul is a conv of one tap.
With registers in the PEs, row stationary has a second, inner part of the same order, as large as they
can hold (`accelsim.mapping.register_tile`).

What stays in the array follows from the order alone, by the stationarity rule of
`accelsim.mapping.count`: below the last loop that is relevant to it, an operand does not move.
"""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Array, Machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.mapping.nest import Loop, Mapping, Spatial, without_single_trips
from accelsim.mapping.placement import Infeasible, Spill, place_storage
from accelsim.mapping.problem import Problem
from accelsim.mapping.register_tile import with_register_tile

_ORDERS = {
    "weight_stationary": ("batch", "column", "reduction", "shared", "row"),
    "input_stationary": ("batch", "shared", "row", "reduction", "column"),
    "output_stationary": ("batch", "shared", "row", "column", "reduction"),
    "row_stationary": ("batch", "shared", "column", "channels", "taps", "row"),
}


def loop_order(problem: Problem, dataflow: str) -> tuple[str, ...]:
    """The problem's dims in the dataflow's order, outermost first."""
    roles = {
        "batch": problem.batch,
        "shared": problem.shared,
        "row": (problem.row,),
        "reduction": problem.reduction,
        "channels": problem.reduction[-1:],
        "taps": problem.reduction[:-1],
        "column": (problem.column,),
    }
    return tuple(dim for role in _ORDERS[dataflow] for dim in roles[role])


def spatial_widths(problem: Problem, array: Array) -> dict[str, int]:
    """How many indices of each dim the array takes at once; a systolic array streams the third."""
    if isinstance(array, PeGrid):
        return array.widths(dict(problem.extents), problem.conv is not None)
    row, red, column = problem.row, problem.reduction[-1], problem.column
    if isinstance(array, AdderTree):
        return {row: array.po, red: array.pci, column: array.pco}
    if array.dataflow == "output_stationary":
        return {row: array.rows, column: array.cols}
    if array.dataflow == "weight_stationary":
        return {red: array.rows, column: array.cols}
    return {red: array.rows, row: array.cols}


def map_fixed(problem: Problem, machine: Machine, spill: Spill) -> Mapping | Infeasible:
    """The array's fixed dataflow as a loop nest for this problem, or why no nest fits."""
    return map_in_order(problem, loop_order(problem, machine.array.dataflow), machine, spill)


def map_in_order(problem: Problem, order: Sequence[str], machine: Machine, spill: Spill) -> Mapping | Infeasible:
    """The nest that walks the dims in `order` (outermost first), with storage placed by `place_storage`."""
    widths = spatial_widths(problem, machine.array)
    if machine.registers and machine.array.dataflow == "row_stationary":
        loops = with_register_tile(problem, order, widths, machine)
    else:
        loops = tuple(Loop(dim, widths.get(dim, 1)) for dim in order)
    loops = tuple(node for node in without_single_trips(loops, problem) if isinstance(node, Loop))
    nodes = place_storage(problem, loops, machine, spill)
    if isinstance(nodes, Infeasible):
        return nodes
    spatial = tuple(Spatial(dim, width) for dim, width in widths.items() if width > 1)
    return Mapping(without_single_trips((*nodes, *spatial), problem))
