"""Operations without MACs: how many vector-lane operations and table look-ups each takes.

Counts are per element and per row (a row is what a softmax or a norm reduces over). They follow from
the textbook definitions, one lane operation for each add, multiply, compare or accumulate:

    softmax    max, subtract, exp (LUT), sum, scale; per row one reciprocal (LUT)
    layernorm  sum, subtract mean, square, accumulate, scale, gain, bias; per row mean, variance, rsqrt (LUT)
    rmsnorm    square, accumulate, scale, gain; per row mean, rsqrt (LUT)
    rope       two multiplies and an add
    hadamard   the adds of its scheme per row, in the rotation unit where there is one; its scale is part of the
               requantisation, its signs are free
    upsample   bilinear: 4 multiplies, 3 adds; bicubic: 16 and 15 (per output element)
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware.dram import Dram
from accelsim.hardware.machine import Machine
from accelsim.hardware.sram import Sram, Width, packed_bits
from accelsim.mapping.traffic import Flow, sram_flow
from accelsim.schemes import LutScheme, RotationScheme


@dataclass(frozen=True)
class VectorWork:
    """Lane operations and look-ups per element and per row."""

    vector_per_element: int = 0
    lut_per_element: int = 0
    vector_per_row: int = 0
    lut_per_row: int = 0


_LANE, _TABLE = VectorWork(1), VectorWork(0, 1)

WORK: dict[tuple[str, str], VectorWork] = {
    ("softmax", "softmax"): VectorWork(4, 1, 0, 1),
    ("normalize", "layernorm"): VectorWork(7, 0, 2, 1),
    ("normalize", "rmsnorm"): VectorWork(4, 0, 1, 1),
    ("rotate", "rope"): VectorWork(3),
    ("reduce", "mean"): VectorWork(1, 0, 1),
    ("reduce", "avg_pool"): VectorWork(1, 0, 1),
    **{("reduce", name): _LANE for name in ("sum", "max", "min", "max_pool")},
    **{
        ("elementwise", name): _LANE
        for name in ("add", "sub", "mul", "max", "min", "neg", "square", "clamp", "abs", "where", "masked_fill")
    },
    ("elementwise", "upsample_bilinear"): VectorWork(7),
    ("elementwise", "upsample_bicubic"): VectorWork(31),
    ("elementwise", "div"): VectorWork(1, 1),
    ("nonlinear", "relu"): _LANE,
    ("nonlinear", "relu6"): VectorWork(2),
    **{
        ("nonlinear", name): _TABLE
        for name in ("gelu", "silu", "tanh", "sigmoid", "exp", "hardswish", "hardsigmoid", "reciprocal", "rsqrt",
                     "sqrt", "log", "erf", "softplus", "elu", "mish", "cos", "sin")
    },
}  # fmt: skip
MOVES = ("kv_append", "gather", "copy")


@dataclass(frozen=True)
class VectorProblem:
    """rows x cols elements of one function; operands as (name, values, bits).

    `dram_widths` holds, inputs first, their bits per value in DRAM; left out, the same bits.
    """

    kind: str
    function: str
    rows: int
    cols: int
    inputs: tuple[tuple[str, int, int], ...]
    outputs: tuple[tuple[str, int, int], ...]
    luts: tuple[LutScheme, ...] = ()
    """Tables that are loaded for the op; what they load is among the inputs."""
    rotation: RotationScheme | None = None
    on_rotation_unit: bool = False
    dram_widths: tuple[Width, ...] = ()

    @property
    def work(self) -> VectorWork | None:
        """None when no unit of this simulator computes the function; moving data takes no operations."""
        if self.on_rotation_unit:
            return VectorWork()
        if self.rotation is not None:
            return VectorWork(vector_per_row=self.rotation.adds)
        return VectorWork() if self.kind in MOVES else WORK.get((self.kind, self.function))

    def operations(self, work: VectorWork) -> tuple[int, int]:
        """Lane operations and look-ups of the whole op."""
        elements = self.rows * self.cols
        lanes = elements * work.vector_per_element + self.rows * work.vector_per_row
        return lanes, elements * work.lut_per_element + self.rows * work.lut_per_row

    @property
    def vectors(self) -> int:
        """Vectors that the rotation unit rotates."""
        return self.rows * self.cols // self.rotation.width if self.rotation and self.on_rotation_unit else 0

    @property
    def widest_bits(self) -> int:
        """Width of the widest activation; constants (gains, biases) are converted when they are loaded."""
        return max(bits for name, _, bits in (*self.inputs, *self.outputs) if name != "constant")

    @property
    def input_bits(self) -> int:
        return sum(values * bits for _, values, bits in self.inputs)

    @property
    def output_bits(self) -> int:
        return sum(values * bits for _, values, bits in self.outputs)

    @property
    def dram_sizes(self) -> tuple[int, ...]:
        """Bits of each operand in DRAM, inputs first."""
        operands = (*self.inputs, *self.outputs)
        widths = self.dram_widths or tuple(bits for _, _, bits in operands)
        return tuple(packed_bits(values, width) for (_, values, _), width in zip(operands, widths, strict=True))

    @property
    def dram_input_bits(self) -> int:
        return sum(self.dram_sizes[: len(self.inputs)])

    @property
    def dram_output_bits(self) -> int:
        return sum(self.dram_sizes[len(self.inputs) :])


def vector_flows(problem: VectorProblem, work: VectorWork, machine: Machine) -> tuple[Flow, ...]:
    """Inputs come from DRAM through every memory of the ifmap, outputs leave through every one of the psums."""
    flows: list[Flow] = []
    dram = machine.dram
    sizes = iter(problem.dram_sizes)
    for name, values, bits in problem.inputs:
        flows.append(_between_dram(dram, name, "read", values, next(sizes)))
        for memory in machine.chain("ifmap"):
            flows += _through(memory, name, values, bits)
    lanes, lookups = problem.operations(work)
    flows.append(Flow(machine.vector_unit.name, "", "operation", lanes, lanes, 0, 0))
    flows.append(Flow(machine.lut_unit.name, "lut", "lookup", lookups, lookups, 0, 0))
    if machine.rotation_unit is not None and problem.rotation is not None and problem.on_rotation_unit:
        adds = problem.vectors * problem.rotation.adds
        flows.append(Flow(machine.rotation_unit.name, "", "add", adds, adds, 0, 0))
    for name, values, bits in problem.outputs:
        for memory in reversed(machine.chain("output")):
            flows += _through(memory, name, values, bits)
        flows.append(_between_dram(dram, name, "write", values, next(sizes)))
    return tuple(flow for flow in flows if flow.count)


def _between_dram(dram: Dram, name: str, action: str, values: int, bits: int) -> Flow:
    moved = dram.moved_bits(bits)
    return Flow(dram.name, name, action, moved, values, bits, moved)


def _through(memory: Sram, name: str, values: int, bits: int) -> list[Flow]:
    accesses = memory.accesses(values, bits)
    return [sram_flow(memory, name, action, values, accesses, bits) for action in ("write", "read")]
