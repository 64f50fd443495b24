"""Which ops of a phase could run as one: found by who reads what, never by name.

    attention  matmul -> elementwise... -> softmax -> elementwise... -> matmul, the first matmul's rows
               being what the softmax normalises and the second one's ifmap
    chain      matmul or conv -> elementwise and non-linear ops over as many elements as it puts out

A tensor may stay on chip only when one op of the whole trace reads it, once, and it is an activation.
Nothing here knows the machine: whether a candidate fits, or pays, is for others to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from accelsim.workload.trace import MatmulDims, Op, Phase, Tensor, Trace, VectorDims

Fusion = Literal["none", "attention", "auto"]
POINTWISE = ("elementwise", "nonlinear")


@dataclass(frozen=True)
class Candidate:
    """Ops that could run as one, in order; each but the first reads the one before through `inputs[through]`."""

    kind: Literal["attention", "chain"]
    ops: tuple[Op, ...]
    through: tuple[int, ...]

    @property
    def name(self) -> str:
        """What the members' dotted names share, then the rest: `layer.0.attention.(qk, softmax, pv)`."""
        parts = [op.name.split(".") for op in self.ops]
        shared = 0
        while shared < min(map(len, parts)) - 1 and len({tuple(part[: shared + 1]) for part in parts}) == 1:
            shared += 1
        rest = ", ".join(".".join(part[shared:]) for part in parts)
        return ".".join([*parts[0][:shared], f"({rest})"])


def candidates(trace: Trace, phase: Phase, fusion: Fusion) -> tuple[Candidate, ...]:
    """What `fusion` lets run as one in a phase, in the order of their first ops; no op is in two."""
    if fusion == "none":
        return ()
    finder = _Finder(trace, phase)
    found = [candidate for op in phase.ops if (candidate := finder.attention(op)) is not None]
    if fusion == "auto":
        taken = {member.id for candidate in found for member in candidate.ops}
        for op in phase.ops:
            chain = None if op.id in taken else finder.chain(op, taken)
            if chain is not None:
                found.append(chain)
                taken.update(member.id for member in chain.ops)
    position = {op.id: place for place, op in enumerate(phase.ops)}
    return tuple(sorted(found, key=lambda candidate: position[candidate.ops[0].id]))


class _Finder:
    """Follows a phase's tensors from op to op."""

    def __init__(self, trace: Trace, phase: Phase) -> None:
        self.tensors = trace.tensor_by_id()
        everywhere = [op for each in trace.phases for op in each.ops]
        self.reads = Counter(self.root(name) for op in everywhere for name in op.inputs)
        self.writes = Counter(self.root(name) for op in everywhere for name in op.outputs)
        self.reader = {self.root(name): (op, place) for op in phase.ops for place, name in enumerate(op.inputs)}

    def root(self, name: str) -> str:
        """The tensor that `name` is stored in: a view has no storage of its own."""
        return self.tensors[name].view_of or name

    def only_reader(self, op: Op) -> tuple[Op, int] | None:
        """The one op that reads all that `op` puts out, and as which input."""
        if len(op.outputs) != 1:
            return None
        (name,) = op.outputs
        root = self.root(name)
        if self.tensors[name].kind != "activation" or self.reads[root] != 1 or self.writes[root] != 1:
            return None
        if root not in self.reader:
            return None
        reader, place = self.reader[root]
        whole = self.tensors[reader.inputs[place]].elements == self.tensors[name].elements
        return (reader, place) if whole else None

    def attention(self, first: Op) -> Candidate | None:
        if not isinstance(first.dims, MatmulDims) or len(first.inputs) != 2:
            return None
        ops, through, softmaxes = [first], [], 0
        while (following := self.only_reader(ops[-1])) is not None:
            op, place = following
            ops.append(op)
            through.append(place)
            if op.kind == "matmul":
                fits = softmaxes == 1 and place == 0 and len(op.inputs) == 2 and _meet(first.dims, op.dims)
                return Candidate("attention", tuple(ops), tuple(through)) if fits else None
            softmaxes += op.kind == "softmax"
            if not self._over_scores(op, place, first.dims):
                return None
        return None

    def _over_scores(self, op: Op, place: int, dims: MatmulDims) -> bool:
        """Whether a softmax or pointwise op takes the scores row by row, with operands that go along."""
        rows, cols = dims.b * dims.g * dims.m, dims.n
        if not isinstance(op.dims, VectorDims) or op.dims.elements != rows * cols:
            return False
        others = [self.tensors[name] for number, name in enumerate(op.inputs) if number != place]
        if op.kind == "softmax":
            return op.dims.cols == cols and not others
        return op.kind in POINTWISE and all(goes_along(other, dims) is not None for other in others)

    def chain(self, first: Op, taken: Iterable[int]) -> Candidate | None:
        if first.kind not in ("matmul", "conv"):
            return None
        elements = self.tensors[first.outputs[0]].elements
        ops, through = [first], []
        while (following := self.only_reader(ops[-1])) is not None:
            op, place = following
            if op.kind not in POINTWISE or op.id in taken or len(op.outputs) != 1:
                break
            if any(self.tensors[name].elements != elements for name in (*op.inputs, *op.outputs)):
                break
            ops.append(op)
            through.append(place)
        return Candidate("chain", tuple(ops), tuple(through)) if through else None


def goes_along(other: Tensor, dims: MatmulDims) -> Literal["tile", "row"] | None:
    """How a second operand of an op on scores is read: like the scores' tile, or one short row for all
    rows; None where its shape says neither. A mask of one head's shape comes again for every head."""
    if other.elements in (dims.b * dims.g * dims.m * dims.n, dims.m * dims.n):
        return "tile"
    return "row" if other.elements in (1, dims.n) else None


def _meet(scores: MatmulDims, values: object) -> bool:
    """Whether the second matmul takes the first one's rows, as they are, as its ifmap's."""
    return isinstance(values, MatmulDims) and (scores.b, scores.g, scores.m, scores.n) == (
        values.b, values.g, values.m, values.k
    )  # fmt: skip
