"""VTA on PYNQ: convs in TVM's tuned tilings, simulated as given; and the tilings that we would choose.

Roofline: MACs / 256 at 100 MHz. The runs are from AutoTVM's campaigns of July 2019 (1x16, ResNet-18),
July and August (4x8), 9 and 10 August (1x16, ResNet-50 and VGG) and November (1x16, group convs).
What our model predicts for its own best tiling stands beside what the tuned one took on the board.
"""

from __future__ import annotations

from collections.abc import Iterator

from accelsim.execute import bound_by
from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Machine, build_machine
from accelsim.spec import load_arch
from accelsim.validate.explicit import cost_of
from accelsim.validate.measured import Constant, Limit, MeasuredRun, Measurement
from accelsim.validate.silicon import tables
from accelsim.validate.silicon.tables import Line
from accelsim.validate.silicon.vta_fit import SHARE, Layer, chosen, with_constants
from accelsim.validate.silicon.vta_nest import Tiling, nest_of, problem_of
from accelsim.validate.silicon.vta_tiler import best_cycles
from accelsim.workload import ConvDims

JULY, AUGUST, GROUPS, BATCHED = "1x16 conv2d", "1x16 conv2d, 9 and 10 August", "1x16 group_conv2d", "4x8 conv2d"
SUBSETS = (JULY, AUGUST, BATCHED, GROUPS)
SLOW_OUTPUT_CYCLES = 75
"""Cycles of a finished block in the campaign of 9 and 10 August."""
BEST = "our tiling"
"""Predicted; measured is what the tuner's best took."""
MISSES = "weights are larger than the 512 KiB cache behind the coherent port, whose misses are not modelled"
OVERLAP = "a store waits for both threads' tiles here; the machine hides part of it behind the other's requantising"


def measurement() -> Measurement:
    """All runs."""
    machine = machine_of(JULY)
    dma, array = machine.strided_dma, machine.array
    if dma is None or not isinstance(array, AdderTree):
        raise ValueError("VTA has a strided DMA and an adder tree")
    on = f"one conv2d in {SHARE} of {JULY} and {BATCHED}"
    constants = (
        Constant("strided_dma.run_ns", dma.run_fs / 1e6, "ns", on),
        Constant("array.output_cycles (3 at least: shift, two clips)", array.output_cycles, "cycles", on),
        Constant(
            "array.output_cycles, 9 and 10 August", SLOW_OUTPUT_CYCLES, "cycles", f"one conv2d in {SHARE} of {AUGUST}"
        ),
    )
    return Measurement(tuple(_runs()), constants, LIMITS, (CAUTION,))


CAUTION = (
    "1x16 ResNet-50 and VGG, measured on 9 and 10 August 2019, take some 75 cycles a block of outputs longer than all "
    "other campaigns, the layer 512 x 7 x 7 among them, which July measured in the same tiling at 88 % of the time. "
    "What differed is not recorded; the campaign is a subset of its own and has one constant of its own "
    "(with the others' it is 35 % off). Whether outputs are double buffered was settled with all rows in view."
)

LIMITS = (
    Limit(JULY, "cycles", 12.4, 0.9, 15.0),
    Limit(AUGUST, "cycles", 8.3, 0.98, 15.0),
    Limit(BATCHED, "cycles", 4.3, 0.95, 15.0),
    Limit(GROUPS, "cycles", 9.9, 0.98, None),
)


def subset_of(row: Line) -> str:
    """Which campaign a row is of."""
    if row["op"] == "group_conv2d":
        return GROUPS
    if row["config"] == "4x8":
        return BATCHED
    return JULY if row["network"] == "Resnet-18" else AUGUST


def machine_of(subset: str) -> Machine:
    """VTA as the campaign had it."""
    machine = build_machine(load_arch(f"validation/vta_{'4x8' if subset == BATCHED else '1x16'}"))
    if subset != AUGUST or machine.strided_dma is None:
        return machine
    return with_constants(machine, machine.strided_dma.run_fs // machine.period_fs, SLOW_OUTPUT_CYCLES)


def rows_of(subset: str) -> list[Line]:
    """Its rows, in the order of the file."""
    return [row for row in tables.lines("vta_pynq") if subset_of(row) == subset]


def layer_of(row: Line, machine: Machine) -> Layer:
    """A row as a conv under TVM's mapping."""
    problem = problem_of(dims_of(row))
    rows, columns, channels, filters, over_filters, over_rows = (
        int(row[key]) for key in ("tile_h", "tile_w", "tile_ci_blocks", "tile_co_blocks", "oc_nthread", "h_nthread")
    )
    tiling = Tiling(rows, columns, channels, filters, over_filters * over_rows)
    return Layer(problem, nest_of(tiling, problem, machine), machine, float(row["cycles_at_100MHz"]))


def dims_of(row: Line) -> ConvDims:
    """Its conv."""
    n, c, k, h, w, r, s, stride, pad, groups = (
        int(row[key]) for key in ("N", "C", "K", "H", "W", "R", "S", "stride", "pad", "groups")
    )
    return ConvDims(n, groups, c // groups, k // groups, h, w, r, s, (stride, stride), (pad, pad))


def fitting_layers(subset: str) -> list[Layer]:
    """The layers that the campaign's constants are fitted on."""
    rows, machine = rows_of(subset), machine_of(subset)
    return [layer_of(rows[at], machine) for at in sorted(chosen(len(rows)))]


def _runs() -> Iterator[MeasuredRun]:
    for subset in SUBSETS:
        rows, machine = rows_of(subset), machine_of(subset)
        fitted = frozenset[int]() if subset == GROUPS else chosen(len(rows))
        for at, row in enumerate(rows):
            layer = layer_of(row, machine)
            cost = cost_of(layer.problem, layer.mapping, machine)
            roofline = layer.problem.macs / machine.peak_macs_per_cycle
            name = f"{row['network']} {row['C']}x{row['H']}x{row['W']} to {row['K']}, {row['R']}x{row['S']}"
            name += f" /{row['stride']}" if row["stride"] != "1" else ""
            yield MeasuredRun(
                subset, name, "cycles", "cycles", layer.measured_cycles, cost.cycles, roofline, bound_by(cost.timing),
                at in fitted, _cause(layer, cost.cycles / layer.measured_cycles),
            )  # fmt: skip
            best = best_cycles(layer.problem, machine)
            yield MeasuredRun(subset, name, BEST, "cycles", layer.measured_cycles, best, roofline, fitted=at in fitted)


def _cause(layer: Layer, ratio: float) -> str:
    """What is likely left out where we are far off."""
    size = layer.problem.extent
    if ratio < 0.85 and size("c") * size("k") * size("r") * size("s") > 512 * 1024:
        return MISSES
    return OVERLAP if ratio > 1.15 else ""
