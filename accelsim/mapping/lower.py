"""From a traced op to what the mapper works on, with the widths its tensors carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from accelsim.errors import Fault, UserError
from accelsim.hardware.machine import Machine
from accelsim.mapping.problem import Problem, Width, conv_problem, matmul_problem
from accelsim.mapping.vector import VectorProblem
from accelsim.mapping.weight_store import placed
from accelsim.schemes import CodebookScheme, PsumScheme
from accelsim.workload.trace import ConvDims, MatmulDims, Op, Tensor, Trace, VectorDims

WEIGHT_NAMES = {"weight": "weight", "kv": "kv", "activation": "weight", "constant": "weight"}


@dataclass(frozen=True)
class MacWork:
    """A matmul or conv to map; `weight_name` is the operand's name in reports (weight or kv)."""

    problem: Problem
    weight_name: str


Work = MacWork | VectorProblem


def lower(op: Op, tensors: Mapping[str, Tensor], machine: Machine) -> Work:
    """The mapper's view of one op; equal work gives equal objects, so results can be shared."""
    inputs = [tensors[name] for name in op.inputs]
    outputs = [tensors[name] for name in op.outputs]
    if isinstance(op.dims, VectorDims):
        # A cache grows by what is appended; the rest of it stays where it is.
        written = op.dims.elements if op.kind == "kv_append" else None
        widths = tuple(_in_dram(tensor, machine) for tensor in (*inputs, *outputs))
        tables = _tables(op)
        plain = widths == tuple(tensor.bits for tensor in (*inputs, *outputs))
        return VectorProblem(
            op.kind,
            op.function or op.kind,
            op.dims.rows,
            op.dims.cols,
            (*((_operand(tensor, "ifmap"), tensor.elements, tensor.bits) for tensor in inputs), *tables),
            tuple((_operand(tensor, "ofmap"), written or tensor.elements, tensor.bits) for tensor in outputs),
            op.luts,
            op.rotation,
            op.rotation is not None and machine.rotation_unit is not None,
            () if plain else (*widths[: len(inputs)], *(bits for _, _, bits in tables), *widths[len(inputs) :]),
        )
    ifmap, weight, *bias = inputs
    psum = op.psum or PsumScheme(machine.array.accumulator_bits)
    problem = _problem(op.dims, (ifmap.bits, weight.bits, outputs[0].bits), psum, machine)
    problem = _with_zeros(problem, ifmap, outputs[0], machine)
    home = placed(op, weight, machine)
    if home != "dram":
        problem = replace(problem, weight_home=home)
    if weight.codebook is not None:
        problem = _out_of_codebooks(problem, weight.codebook, weight.shape, machine)
    if bias:
        problem = replace(problem, bias_values=bias[0].elements, bias_bits=bias[0].bits)
    return MacWork(problem, WEIGHT_NAMES[weight.kind])


def _with_zeros(problem: Problem, ifmap: Tensor, ofmap: Tensor, machine: Machine) -> Problem:
    if ifmap.zeros:
        problem = replace(problem, ifmap_zeros=Fraction(repr(ifmap.zeros)))
    inputs, outputs = _in_dram(ifmap, machine), _in_dram(ofmap, machine)
    if (inputs, outputs) == (ifmap.bits, ofmap.bits):
        return problem
    return replace(problem, dram_ifmap_bits=inputs, dram_ofmap_bits=outputs)


def _in_dram(tensor: Tensor, machine: Machine) -> Width:
    """Bits per value: an activation's zeros may be left out there."""
    code = machine.dram.run_length
    if code is None or tensor.kind != "activation" or not tensor.zeros:
        return tensor.bits
    return code.width(tensor.bits, tensor.zeros)


def _out_of_codebooks(problem: Problem, scheme: CodebookScheme, shape: tuple[int, ...], machine: Machine) -> Problem:
    problem = replace(problem, codebook_weight_bits=codebook_bits(scheme, shape))
    decoder = machine.codebook_decoder
    if decoder is None:
        return problem
    pairs = decoder.fused_pairs(scheme, *shape)
    return replace(problem, fused_pairs=pairs, block_rows=scheme.block_rows, codebook_entries=scheme.entries)


def codebook_bits(scheme: CodebookScheme, shape: tuple[int, ...]) -> Fraction:
    """Indices and entries of a weight (rows, cols) per value, as they lie in DRAM and memories up to the array's edge.

    A whole matrix takes exactly what `CodebookScheme.bits` says, without scales (no weight's are counted: outputs
    take them when they are requantised). Of a part every value takes the same share, rounded up to
    whole bits: exact where tiles are whole groups of blocks; else a codebook that several tiles need is
    counted once for all of them, not once for each.
    """
    rows, cols = shape
    bits = scheme.bits(rows, cols)
    return Fraction(bits.codebook_bits + bits.index_bits, bits.values)


def has_stored_weight(op: Op, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a matmul or conv multiplies by a tensor of kind weight, which is there before the op before it ends."""
    return not isinstance(op.dims, VectorDims) and tensors[op.inputs[1]].kind == "weight"


def _problem(dims: MatmulDims | ConvDims, widths: tuple[int, int, int], psum: PsumScheme, machine: Machine) -> Problem:
    if isinstance(dims, MatmulDims):
        return matmul_problem(dims, *widths, psum)
    return conv_problem(dims, *widths, psum, machine.array.spatial_reduction)


def _tables(op: Op) -> list[tuple[str, int, int]]:
    """What loading the op's tables moves, in bytes: all of a table, or breakpoints where k and b are shared."""
    return [("constant", -(-scheme.reload_bits // 8), 8) for scheme in op.luts]


def _operand(tensor: Tensor, otherwise: str) -> str:
    return tensor.kind if tensor.kind in ("weight", "kv", "constant") else otherwise


def check_psum_schemes(trace: Trace, machine: Machine) -> None:
    """Raises UserError for every psum scheme of the trace that the machine's psum engine cannot run."""
    faults: dict[PsumScheme, Fault] = {}
    for phase in trace.phases:
        for op in phase.ops:
            if op.psum is not None and op.psum not in faults:
                fault = psum_fault(op.psum, machine)
                if fault is not None:
                    faults[op.psum] = fault
    if faults:
        raise UserError(faults.values())


def psum_fault(scheme: PsumScheme, machine: Machine) -> Fault | None:
    """Why the machine cannot store psums this way; None if it can."""
    engine, limit = machine.psum_engine, machine.array.accumulator_bits
    what = f"psums of {scheme.bits} bits, group size {scheme.group_size}"
    if not scheme.is_apsq:
        if scheme.bits <= limit:
            return None
        return Fault(machine.name, 0, 0, "workload.psum.bits", what, f"use at most array.accumulator_bits, {limit}")
    if engine is None:
        fix = "add a psum_engine to the spec, or use 16 bits or more"
        return Fault(machine.name, 0, 0, "workload.psum.bits", f"{what}, and the spec has no psum_engine", fix)
    if not engine.supports(scheme.bits, scheme.group_size):
        fix = f"its psum_engine takes bits {_listed(engine.bits)} and group sizes {_listed(engine.group_sizes)}"
        name = "workload.psum.bits" if scheme.bits not in engine.bits else "workload.psum.group_size"
        return Fault(machine.name, 0, 0, name, what, f"{fix}; 16 bits and more need no engine")
    return None


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(str(number) for number in numbers)
