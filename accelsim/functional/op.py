"""Executing one op of a trace, or of given dims, on an accelerator: mapped as the simulator maps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import did_you_mean, user_error
from accelsim.functional.calibration import calibrate_scales
from accelsim.functional.execution import Execution, run
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping import mapper
from accelsim.mapping.count import tiling
from accelsim.mapping.lower import MacWork, lower
from accelsim.mapping.nest import Mapping
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import Problem, conv_problem, matmul_problem
from accelsim.mapping.psum_order import psum_order_fault
from accelsim.schemes import PsumScales, PsumScheme
from accelsim.spec import ArchSpec
from accelsim.workload import ConvDims, MatmulDims, Trace

Integers = NDArray[np.integer]


@dataclass(frozen=True)
class MappedOp:
    """One matmul or conv and how a machine works through it; tensors are shaped as in `run`."""

    name: str
    problem: Problem
    mapping: Mapping
    machine: Machine
    weight_name: str = "weight"

    def run(
        self,
        ifmap: Integers,
        weight: Integers,
        bias: Integers | None = None,
        scales: PsumScales | None = None,
        ifmap_zero_point: int = 0,
    ) -> Execution:
        """The op on these tensors; see `accelsim.functional.run`."""
        return run(
            self.problem, self.mapping, self.machine, ifmap, weight, bias, scales,
            ifmap_zero_point=ifmap_zero_point, weight_name=self.weight_name, name=self.name,
        )  # fmt: skip

    def calibrate(self, ifmaps: Sequence[Integers], weight: Integers, ifmap_zero_point: int = 0) -> PsumScales:
        """Psum scales that saturate nothing on these ifmaps; see `accelsim.functional.calibrate_scales`."""
        return calibrate_scales(
            self.problem, self.mapping, self.machine, ifmaps, weight,
            ifmap_zero_point=ifmap_zero_point, name=self.name,
        )  # fmt: skip


def map_op(
    arch: ArchSpec,
    dims: MatmulDims | ConvDims,
    psum: PsumScheme | None = None,
    *,
    bits: tuple[int, int, int] = (8, 8, 8),
    bias_values: int = 0,
    name: str = "op",
) -> MappedOp | Infeasible:
    """An op of these dims on an accelerator, or why it does not fit (or cannot keep the scheme's k_tile).

    `bits` per value of ifmap, weight and ofmap; `psum` None is the array's native accumulator.

    >>> from accelsim import load_arch
    >>> op = map_op(load_arch("apsq_edge_ws"), MatmulDims(b=1, g=1, m=32, k=24, n=3), PsumScheme(8, group_size=2))
    >>> ifmap, weight = np.full((1, 1, 32, 24), 9), np.full((1, 24, 3), 9)
    >>> scales = op.calibrate([ifmap], weight)
    >>> scales.shifts
    (3, 3, 4)
    >>> op.run(ifmap, weight, scales=scales).outputs[0, 0, 0]
    array([1952, 1952, 1952])
    """
    machine = build_machine(arch)
    scheme = psum or PsumScheme(machine.array.accumulator_bits)
    if isinstance(dims, MatmulDims):
        problem = matmul_problem(dims, *bits, scheme, bias_values)
    else:
        problem = conv_problem(dims, *bits, scheme, machine.array.spatial_reduction, bias_values)
    return _mapped(name, problem, machine, arch)


def map_trace_op(arch: ArchSpec, trace: Trace, name: str) -> MappedOp | Infeasible:
    """The matmul or conv called `name` in a trace, with the widths and the psum scheme it has there.

    UserError for a name the trace does not have; the first of several ops of one name.
    """
    machine = build_machine(arch)
    tensors = trace.tensor_by_id()
    ops = [op for phase in trace.phases for op in phase.ops if isinstance(op.dims, MatmulDims | ConvDims)]
    for op in ops:
        if op.name == name and isinstance(work := lower(op, tensors, machine), MacWork):
            return _mapped(name, work.problem, machine, arch, work.weight_name)
    raise user_error(trace.name, "op", repr(name), did_you_mean(name, {op.name for op in ops}))


def run_op(
    arch: ArchSpec,
    dims: MatmulDims | ConvDims,
    ifmap: Integers,
    weight: Integers,
    bias: Integers | None = None,
    *,
    scales: PsumScales | None = None,
    bits: tuple[int, int, int] = (8, 8, 8),
    name: str = "op",
) -> Execution | Infeasible:
    """Execute an op of these dims on an accelerator, or say why it does not fit.

    With `scales` the psums have their scheme, else the array's native accumulator. Tensors and errors
    as in `run`.

    >>> from accelsim import load_arch
    >>> ones = run_op(load_arch("apsq_edge_ws"), MatmulDims(1, 1, 32, 24, 3), np.ones((1, 1, 32, 24), int),
    ...               np.ones((1, 24, 3), int))
    >>> ones.outputs.sum(), ones.accesses["dram", "ofmap", "write"].values
    (np.int64(2304), 96)
    """
    scheme = None if scales is None else scales.scheme
    op = map_op(arch, dims, scheme, bits=bits, bias_values=0 if bias is None else bias.size, name=name)
    return op if isinstance(op, Infeasible) else op.run(ifmap, weight, bias, scales)


def _mapped(
    name: str, problem: Problem, machine: Machine, arch: ArchSpec, weight_name: str = "weight"
) -> MappedOp | Infeasible:
    mapped = mapper.map_op(problem, machine, arch.mapping)
    if isinstance(mapped, Infeasible):
        return mapped
    visits = tiling(problem, "output", mapped.mapping.array_loops("output")).most_visits
    order = psum_order_fault(problem, mapped.mapping, visits, machine)
    if order is not None:
        return order
    return MappedOp(name, problem, mapped.mapping, machine, weight_name)
