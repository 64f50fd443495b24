"""One chip's part of a trace whose matmuls are split over several, and what the chips send one another.

A matmul with a stored weight is split by its columns n; attention by KV heads b, which is the same split
seen from the projections. What follows element by element stays split. An op that needs whole rows (a
matmul's reduction, a norm, a rotation) first has its input gathered: each chip receives what it lacks.
Ops on whole tensors run on every chip. Where a size is no multiple of the chips, the first ones have one more:
chip 0 has the largest part, and a chip may have none of an op.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from accelsim.workload.trace import MatmulDims, Op, Tensor, Trace, VectorDims

WHOLE_ROWS = ("normalize", "reduce", "scan")


@dataclass(frozen=True)
class ChipTrace:
    """A chip's part, and the bits that it receives after each op (by op id) before others may read it.

    `copy_of`: the tensor that each whole copy was gathered from, by tensor id.
    """

    trace: Trace
    gathered_bits: Mapping[int, int]
    copy_of: Mapping[str, str]


def split_over_chips(trace: Trace, chips: int, chip: int = 0) -> ChipTrace:
    """The part of chip 0 to `chips` - 1; with one chip the trace itself. ValueError for a conv."""
    if chips == 1:
        return ChipTrace(trace, {}, {})
    split = _Splitter(trace.tensor_by_id(), chips, chip)
    phases = []
    for phase in trace.phases:
        ops = [op for op in map(split.op, phase.ops) if not _is_empty(op)]
        here = {op.id for op in ops}
        ops = [replace(op, after=tuple(one for one in op.after if one in here)) for op in ops]
        phases.append(replace(phase, ops=tuple(ops)))
    tensors = (*(split.part(tensor) for tensor in trace.tensors), *split.gathered.values())
    copies = {copy.id: name for name, copy in split.gathered.items()}
    return ChipTrace(replace(trace, tensors=tensors, phases=tuple(phases)), split.gathered_bits, copies)


def _is_empty(op: Op) -> bool:
    return 0 in (vars(op.dims).values())


class _Splitter:
    """Walks the ops in order; `parts` are the shapes of what a chip holds in part, `gathered` the whole copies."""

    def __init__(self, tensors: dict[str, Tensor], chips: int, chip: int) -> None:
        self.tensors, self.chips, self.chip = tensors, chips, chip
        self.parts: dict[str, tuple[int, ...]] = {}
        self.gathered: dict[str, Tensor] = {}
        self.made_by: dict[str, int] = {}
        self.gathered_bits: dict[int, int] = {}

    def op(self, op: Op) -> Op:
        for name in op.outputs:
            self.made_by[name] = op.id
        if isinstance(op.dims, MatmulDims):
            return self._matmul(op, op.dims)
        if not isinstance(op.dims, VectorDims):
            raise ValueError(f"{op.name}: a conv is not split over chips")
        if op.kind in WHOLE_ROWS or op.function == "hadamard":
            return self._gather(op)
        if not any(name in self.parts for name in op.inputs):
            return op
        for name in op.outputs:
            self._split(name)
        return replace(op, dims=self._rows(op.dims))

    def part(self, tensor: Tensor) -> Tensor:
        """The tensor as a chip holds it."""
        shape, scheme = self.parts.get(tensor.id, tensor.shape), tensor.codebook
        if scheme is not None and not (len(shape) == 2 and scheme.fits(*shape)):
            # Where parts are no whole blocks of a codebook's, a chip has those that it needs a part of.
            rows, cols = tensor.shape
            own = -(-self._share(rows) // scheme.block_rows) * scheme.block_rows
            shape = (max(scheme.block_rows, own), cols)
        return replace(tensor, shape=shape)

    def _matmul(self, op: Op, dims: MatmulDims) -> Op:
        ifmap, weight = op.inputs[:2]
        self._split(op.outputs[0])
        self._split(weight)
        if self.tensors[weight].kind == "weight":
            return replace(self._gather(op), dims=replace(dims, n=self._share(dims.n)))
        self._split(ifmap)
        return replace(op, dims=replace(dims, b=self._share(dims.b)))

    def _rows(self, dims: VectorDims) -> VectorDims:
        """Heads are among the rows; of one token's row it is the columns that are split."""
        if dims.rows % self.chips == 0:
            return VectorDims(dims.rows // self.chips, dims.cols)
        return VectorDims(dims.rows, self._share(dims.cols))

    def _gather(self, op: Op) -> Op:
        """The op with whole copies of its split inputs, each gathered once after the op that made it."""
        inputs = []
        for name in op.inputs:
            tensor = self.tensors[name]
            if tensor.kind == "activation" and name in self.parts:
                if name not in self.gathered:
                    self.gathered[name] = replace(tensor, id=f"{name}:gathered", view_of=None)
                    missing = tensor.elements - self._share(tensor.elements)
                    maker = self.made_by[name]
                    self.gathered_bits[maker] = self.gathered_bits.get(maker, 0) + missing * tensor.bits
                name = self.gathered[name].id
            inputs.append(name)
        return replace(op, inputs=tuple(inputs))

    def _split(self, name: str) -> None:
        """A chip's part of the tensor: its widest axis that the chips divide, else its elements."""
        tensor = self.tensors[name]
        axes = [axis for axis, extent in enumerate(tensor.shape) if extent % self.chips == 0]
        if not axes:
            self.parts[name] = (self._share(tensor.elements),)
            return
        widest = axes[0] if tensor.kind in ("weight", "kv") else max(axes, key=lambda axis: tensor.shape[axis])
        self.parts[name] = tuple(
            extent // self.chips if axis == widest else extent for axis, extent in enumerate(tensor.shape)
        )

    def _share(self, extent: int) -> int:
        return extent // self.chips + (self.chip < extent % self.chips)
