"""Timing of ops on machines that a host drives: kernel by kernel on many cores, or a command a tile.

Access counts are those of the mapping all the same, and its DRAM bytes are what a kernel transfers. What commands
load, and of that what misses their cache, is counted by `accelsim.mapping.commands`.
"""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.engine.engine import ResourceUse
from accelsim.hardware.machine import Machine
from accelsim.mapping.command_nest import command_flows, commands_of
from accelsim.mapping.commands import time_commands
from accelsim.mapping.kernels import (
    Function,
    Kernel,
    MatmulKernel,
    VectorKernel,
    compute_us,
    launch_us,
    time_program,
    transfer_us,
)
from accelsim.mapping.nest import Mapping
from accelsim.mapping.problem import Problem
from accelsim.mapping.traffic import Flow
from accelsim.mapping.vector import VectorProblem, VectorWork
from accelsim.stalls import REASONS
from accelsim.timing import Timing

FS_PER_US = 10**9
FUNCTIONS: dict[str, Function] = {"softmax": "softmax", "normalize": "normalize"}


def time_mac_kernel(problem: Problem, mapping: Mapping, flows: Sequence[Flow], machine: Machine) -> Timing:
    """A matmul or conv as one kernel; a conv is the matmul of its pixels and taps."""
    extents = dict(problem.extents)
    columns, reduction, rows, batch = extents.pop(problem.column), 1, 1, 1
    for dim, extent in extents.items():
        if dim in problem.reduction:
            reduction *= extent
        elif dim in problem.batch:
            batch *= extent
        else:
            rows *= extent
    written = sum(f.bits_moved for f in flows if f.block == machine.dram.name and f.operand == "ofmap")
    kernel = MatmulKernel(batch, rows, reduction, columns, _dram_bits(flows, machine) // 8, written // 8)
    return _kernel_timing(kernel, flows, machine, problem.macs)


def time_vector_kernel(problem: VectorProblem, work: VectorWork, flows: Sequence[Flow], machine: Machine) -> Timing:
    """An op without MACs as one kernel of the vector lanes."""
    operations, _ = problem.operations(work)
    function = FUNCTIONS.get(problem.kind, "elementwise")
    return _kernel_timing(VectorKernel(function, operations, _dram_bits(flows, machine) // 8), flows, machine, 0)


def run_commands(
    problem: Problem, mapping: Mapping, flows: Sequence[Flow], machine: Machine
) -> tuple[tuple[Flow, ...], Timing]:
    """A matmul or ungrouped conv as commands, one for each tile that the innermost memories hold: flows and timing.

    Within a command the array runs its own folds, whatever loops the mapping has there.
    """
    stored = any(flow.operand == "weight" for flow in flows)  # keys and values were written a moment ago
    layer = commands_of(problem, mapping, machine, ("weight",) if stored else ())
    time = time_commands(layer, machine)
    flows = command_flows(flows, layer, time, machine)
    dram_fs = machine.dram.transfer_fs(_dram_bits(flows, machine))
    commands_fs, compute = round(layer.copies * time.cycles * machine.period_fs), layer.copies * time.compute_cycles
    busy = {"dram": dram_fs, "array": compute * machine.period_fs}
    busy[{"issue": "host", "dma": "dma", "compute": "array"}[time.bound]] = commands_fs
    makespan = max(commands_fs, dram_fs)
    lanes, waits_for = layer.copies * time.lane_macs, "dependency" if time.bound == "issue" else "dram"
    return flows, _timing(makespan, busy, compute, flows, machine, problem.macs, lanes, waits_for)


def _kernel_timing(kernel: Kernel, flows: Sequence[Flow], machine: Machine, macs: int) -> Timing:
    assert machine.kernels is not None
    parts = {
        "array" if isinstance(kernel, MatmulKernel) else "units": compute_us(kernel, machine),
        "dram": transfer_us(kernel.dram_bytes, machine),
        "launch": launch_us(kernel, machine.kernels),
    }
    busy = {name: round(us * FS_PER_US) for name, us in parts.items()}
    compute = -(-next(iter(busy.values())) // machine.period_fs)
    makespan = max(round(time_program([kernel], machine).us * FS_PER_US), compute * machine.period_fs)
    return _timing(makespan, busy, compute, flows, machine, macs, compute * machine.peak_macs_per_cycle if macs else 0)


def _timing(
    makespan_fs: int, busy_fs: dict[str, int], compute: int, flows: Sequence[Flow], machine: Machine, macs: int,
    lane_macs: int, waits_for: str = "dram",
) -> Timing:  # fmt: skip
    resources = tuple(ResourceUse(name, fs, makespan_fs - fs, 0) for name, fs in busy_fs.items())
    waited = makespan_fs - compute * machine.period_fs
    waits = tuple((reason, waited if reason == waits_for else 0) for reason in REASONS)
    unit = machine.array.name if macs else machine.vector_unit.name
    return Timing(
        makespan_fs, resources, compute, ((unit, compute),), _useful_bits(flows, machine), waits, macs, lane_macs,
        method="estimate",
    )  # fmt: skip


def _dram_bits(flows: Sequence[Flow], machine: Machine) -> int:
    return sum(flow.bits_moved for flow in flows if flow.block == machine.dram.name)


def _useful_bits(flows: Sequence[Flow], machine: Machine) -> int:
    return sum(flow.bits_useful for flow in flows if flow.block == machine.dram.name)
