"""A brute-force walk of a loop nest: what an access count means, step by step.

Every loop is iterated with real index ranges, and every storage node holds its tile as a set of
element indices. When the walk reaches a node and the range of some dim relevant to the node's
operand has changed, the tile it held leaves and a whole new one is fetched. Slow and obvious on
purpose: no function of `accelsim.mapping` is called, only the fields of its dataclasses are read.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from accelsim.mapping.nest import Loop, Mapping, Store
from accelsim.mapping.problem import OperandName, Problem

Range = tuple[int, int]  # first index, one past the last
Ranges = dict[str, Range]
Element = tuple[int, ...]
PerTile = Callable[[int], int]

# The dims that select an element of each operand (a dim that a problem does not have is skipped).
MATMUL_DIMS: dict[OperandName, tuple[str, ...]] = {
    "ifmap": ("b", "g", "m", "k"),
    "weight": ("b", "k", "n"),
    "output": ("b", "g", "m", "n"),
}
CONV_DIMS: dict[OperandName, tuple[str, ...]] = {
    "ifmap": ("groups", "n", "pq", "p", "q", "rsc", "rs", "r", "s", "c"),
    "weight": ("groups", "rsc", "rs", "r", "s", "c", "k"),
    "output": ("groups", "n", "pq", "p", "q", "k"),
}
REDUCTION_DIMS = {"matmul": ("k",), "conv": ("rsc", "rs", "r", "s", "c")}


@dataclass
class Stay:
    """One stay of one tile in a storage node."""

    key: tuple[Range, ...]
    values: int
    begin: int
    """Innermost iterations before it."""
    resumed: bool = False
    """Outputs only: on arrival the tile had been worked on before, so its psums were read back."""
    finished: bool = False
    """Outputs only: on leaving nothing was left to add, so it left as ofmap and not as psum."""
    used: set[tuple[Element, Element]] = field(default_factory=set)
    """Which element each PE worked on meanwhile; a PE is known by its place in the innermost iteration."""


@dataclass
class NodeWalk:
    """Everything that one storage node held, in order."""

    operand: OperandName
    level: str
    stays: list[Stay] = field(default_factory=list)
    held: frozenset[Element] = frozenset()
    visits: Counter[Element] = field(default_factory=Counter)
    """How often each element was in a tile that left."""

    @property
    def fetches(self) -> int:
        return len(self.stays)

    @property
    def tiles(self) -> int:
        return len({stay.key for stay in self.stays})

    @property
    def largest(self) -> int:
        return max(stay.values for stay in self.stays)

    @property
    def most_visits(self) -> int:
        return max(Counter(stay.key for stay in self.stays).values())

    def total(self, per_tile: PerTile = int) -> int:
        return _amount(self.stays, per_tile)

    def once(self, per_tile: PerTile = int) -> int:
        return _amount({stay.key: stay for stay in self.stays}.values(), per_tile)

    def pe_values(self) -> int:
        """Elements that single PEs need, each in its own copy, over all stays."""
        return sum(len(stay.used) for stay in self.stays)

    def passes(self) -> int:
        """Copies of outputs that join another PE's when their tile leaves."""
        return sum(len(stay.used) - len({output for output, _ in stay.used}) for stay in self.stays)

    def psum_reads(self, per_tile: PerTile = int) -> int:
        """One psum an output; of groups of them, `walked_groups` knows more."""
        return _amount((stay for stay in self.stays if stay.resumed), per_tile)

    def psum_writes(self, per_tile: PerTile = int) -> int:
        return _amount((stay for stay in self.stays if not stay.finished), per_tile)

    def ofmap_writes(self, per_tile: PerTile = int) -> int:
        return _amount((stay for stay in self.stays if stay.finished), per_tile)


@dataclass
class Walk:
    """The outcome: one log per storage node, and what the innermost iterations did."""

    nodes: dict[tuple[str, str], NodeWalk]
    macs: int
    folds: int
    widest: dict[str, int]
    """Most indices of each dim in one innermost iteration."""


def walk(problem: Problem, mapping: Mapping, pes: bool = True) -> Walk:
    """Iterate the whole nest; AssertionError if it does not execute every MAC exactly once.

    Stays also note what every PE worked on (not without `pes`); each MAC of an innermost iteration is one.
    """
    walker = _Walker(problem, mapping, pes)
    walker.descend(0, {dim: (0, extent) for dim, extent in problem.extents})
    for log in walker.logs.values():
        walker.leave(log)
    expected = 1
    for _, extent in problem.extents:
        expected *= extent
    assert len(walker.macs) == expected, f"{expected - len(walker.macs)} MACs never ran"
    nodes: dict[tuple[str, str], NodeWalk] = {(log.operand, log.level): log for log in walker.logs.values()}
    return Walk(nodes, len(walker.macs), walker.folds, walker.widest)


def words_of(values: int, per_word: int) -> int:
    """Words that `values` values take when `per_word` of them fit into one."""
    return len(range(0, values, per_word))


class _Walker:
    def __init__(self, problem: Problem, mapping: Mapping, pes: bool) -> None:
        self.problem = problem
        self.pes = pes
        self.nodes = mapping.nodes
        self.relevant = CONV_DIMS if problem.conv else MATMUL_DIMS
        self.extents = dict(problem.extents)
        self.logs = {
            position: NodeWalk(node.operand, node.level)
            for position, node in enumerate(self.nodes)
            if isinstance(node, Store)
        }
        self.tiles: dict[tuple[OperandName, tuple[Range, ...]], frozenset[Element]] = {}
        self.macs: set[tuple[Element, Element]] = set()
        self.done: Counter[Element] = Counter()
        self.reductions = 1
        for dim in REDUCTION_DIMS["conv" if problem.conv else "matmul"]:
            self.reductions *= self.extents.get(dim, 1)
        self.folds = 0
        self.widest = dict.fromkeys(self.extents, 0)

    def descend(self, position: int, ranges: Ranges) -> None:
        if position == len(self.nodes):
            self.compute(ranges)
            return
        node = self.nodes[position]
        if isinstance(node, Loop):
            low, high = ranges[node.dim]
            for start in range(low, high, node.step):
                self.descend(position + 1, {**ranges, node.dim: (start, min(start + node.step, high))})
            return
        if isinstance(node, Store):
            self.arrive(position, ranges)
        self.descend(position + 1, ranges)

    def arrive(self, position: int, ranges: Ranges) -> None:
        log = self.logs[position]
        key = tuple(ranges[dim] for dim in self.relevant[log.operand] if dim in ranges)
        if log.stays and log.stays[-1].key == key:
            return
        self.leave(log)
        log.held = self.tile(log.operand, key, ranges)
        outer = [other for at, other in self.logs.items() if at < position and other.operand == log.operand]
        assert not outer or log.held <= outer[-1].held, f"{log.level} fetched what {outer[-1].level} does not hold"
        stay = Stay(key, len(log.held), self.folds)
        if log.operand == "output":
            stay.resumed = self._same(self.done[output] > 0 for output in log.held)
        log.stays.append(stay)

    def leave(self, log: NodeWalk) -> None:
        if not log.stays:
            return
        log.visits.update(log.held)
        if log.operand == "output":
            log.stays[-1].finished = self._same(self.done[output] == self.reductions for output in log.held)

    def compute(self, ranges: Ranges) -> None:
        self.folds += 1
        for dim, (low, high) in ranges.items():
            self.widest[dim] = max(self.widest[dim], high - low)
        dims = REDUCTION_DIMS["conv" if self.problem.conv else "matmul"]
        reductions = list(_indices(ranges, dims))
        for output in _indices(ranges, self.relevant["output"]):
            for reduction in reductions:
                assert (output, reduction) not in self.macs, f"{output} x {reduction} ran twice"
                self.macs.add((output, reduction))
            self.done[output] += len(reductions)

        if self.pes:
            for index in _indices(ranges, tuple(ranges)):
                at = dict(zip(ranges, index, strict=True))
                self.use(at, tuple(at[dim] - ranges[dim][0] for dim in ranges))

    def use(self, at: dict[str, int], pe: Element) -> None:
        """One MAC, at these indices, on this PE."""
        alone = {dim: (index, index + 1) for dim, index in at.items()}
        for log in self.logs.values():
            if log.operand == "ifmap" and self.problem.conv:
                elements = list(conv_inputs(self.problem, alone))
            else:
                elements = list(_indices(alone, self.relevant[log.operand]))
            log.stays[-1].used.update((element, pe) for element in elements)

    def tile(self, operand: OperandName, key: tuple[Range, ...], ranges: Ranges) -> frozenset[Element]:
        """The elements of a tile; remembered, because nests come back to the same tiles."""
        if (operand, key) not in self.tiles:
            if operand == "ifmap" and self.problem.conv:
                held = frozenset(conv_inputs(self.problem, ranges))
            else:
                held = frozenset(_indices(ranges, self.relevant[operand]))
            self.tiles[operand, key] = held
        return self.tiles[operand, key]

    @staticmethod
    def _same(flags: Iterable[bool]) -> bool:
        """What all outputs of a tile agree on."""
        values = set(flags)
        assert len(values) == 1, "outputs of one tile disagree"
        return values.pop()


def conv_inputs(problem: Problem, ranges: Ranges) -> Iterator[Element]:
    """(image, group, channel, y, x) of every input that the ranges touch; the padding holds none."""
    conv = problem.conv
    assert conv is not None
    out_h = len(range(0, conv.h + 2 * conv.padding[0] - conv.dilation[0] * (conv.r - 1), conv.stride[0]))
    out_w = len(range(0, conv.w + 2 * conv.padding[1] - conv.dilation[1] * (conv.s - 1), conv.stride[1]))
    if "rsc" in ranges:
        reductions = [(at // (conv.s * conv.c), at // conv.c % conv.s, at % conv.c) for at in range(*ranges["rsc"])]
    elif "rs" in ranges:
        reductions = [(at // conv.s, at % conv.s, c) for at in range(*ranges["rs"]) for c in range(*ranges["c"])]
    else:
        reductions = [(r, s, c) for r, s, c in itertools.product(*(range(*ranges[dim]) for dim in "rsc"))]
    if "pq" in ranges:
        pixels = [(at // (out_h * out_w), at // out_w % out_h, at % out_w) for at in range(*ranges["pq"])]
    else:
        pixels = [(image, p, q) for image, p, q in itertools.product(*(range(*ranges[dim]) for dim in "npq"))]
    for group in range(*ranges["groups"]):
        for image, p, q in pixels:
            for r, s, c in reductions:
                y = p * conv.stride[0] + r * conv.dilation[0] - conv.padding[0]
                x = q * conv.stride[1] + s * conv.dilation[1] - conv.padding[1]
                if y in range(conv.h) and x in range(conv.w):
                    yield image, group, c, y, x


def _indices(ranges: Ranges, dims: tuple[str, ...]) -> Iterator[Element]:
    return itertools.product(*(range(*ranges[dim]) for dim in dims if dim in ranges))


def _amount(stays: Iterable[Stay], per_tile: PerTile) -> int:
    return sum(per_tile(stay.values) for stay in stays)
