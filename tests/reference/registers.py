"""A brute-force run of a PE grid with registers: every MAC on its PE, every register file a dictionary.

The nest is unrolled into single MACs in its order. A MAC's PE is its place in the innermost iteration.
For each operand the run knows which tile its array node (registers, else what the array works on) is at:
the index ranges that the loops above the node select. When they change, the tile leaves and another
comes. Shares no code with `accelsim.mapping` or `accelsim.validate`; reads only the nodes of a mapping.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import product

from accelsim.mapping.nest import Loop, Mapping, Store
from accelsim.mapping.problem import Problem

Place = tuple[int, ...]
Element = tuple[int, ...]
Ranges = dict[str, tuple[int, int]]

SELECTS = {
    "matmul": {"ifmap": "b g m k", "weight": "b k n", "output": "b g m n"},
    "conv": {"ifmap": "groups n p q r s c", "weight": "groups r s c k", "output": "groups n p q k"},
}


@dataclass
class Kept:
    """What the array node of one operand did."""

    in_registers: bool
    stays: list[int] = field(default_factory=list)
    """Different elements of each tile that came, in order."""
    returns: list[int] = field(default_factory=list)
    """Outputs only: elements of each tile that had been worked on before."""
    writes: int = 0
    reads: int = 0
    passes: int = 0
    most_in_pe: int = 0


class GridRun:
    """Runs the whole mapping; `kept` by operand."""

    def __init__(self, problem: Problem, mapping: Mapping) -> None:
        self.problem, self.mapping = problem, mapping
        self.selects = {
            operand: dims.split() for operand, dims in SELECTS["conv" if problem.conv else "matmul"].items()
        }
        levels = {operand: [n.level for n in mapping.nodes if _of(n, operand)] for operand in self.selects}
        self.level = {operand: "registers" if "registers" in own else "array" for operand, own in levels.items()}
        self.kept = {operand: Kept(level == "registers") for operand, level in self.level.items()}
        self.at: dict[str, tuple[tuple[int, int], ...]] = {}
        self.files: dict[str, dict[Place, set[Element]]] = {operand: {} for operand in self.selects}
        self.waiting: set[Element] = set()  # psums and biases that came in and that no MAC has read yet
        self.worked_on: Counter[Element] = Counter()
        self.descend(0, {dim: (0, extent) for dim, extent in problem.extents})
        for operand in self.selects:
            self.leave(operand)

    def descend(self, number: int, ranges: Ranges) -> None:
        if number == len(self.mapping.nodes):
            self.work(ranges)
            return
        node = self.mapping.nodes[number]
        if isinstance(node, Loop):
            first, end = ranges[node.dim]
            for start in range(first, end, node.step):
                self.descend(number + 1, {**ranges, node.dim: (start, min(start + node.step, end))})
            return
        if isinstance(node, Store) and node.level == self.level[node.operand]:
            self.come(node.operand, ranges)
        self.descend(number + 1, ranges)

    def come(self, operand: str, ranges: Ranges) -> None:
        tile = tuple(ranges[dim] for dim in self.selects[operand])
        if self.at.get(operand) == tile:
            return
        self.leave(operand)
        self.at[operand] = tile
        if operand == "output":
            outputs = set(product(*(range(*span) for span in tile)))
            back = {output for output in outputs if self.worked_on[output]}
            self.waiting = outputs if self.problem.bias_values and not back else back
            self.kept[operand].returns.append(len(back))
            self.kept[operand].writes += len(self.waiting)  # into the register of one PE

    def leave(self, operand: str) -> None:
        if operand not in self.at:
            return
        kept, files = self.kept[operand], self.files[operand]
        different = set().union(*files.values())
        kept.stays.append(len(different))
        kept.most_in_pe = max([kept.most_in_pe, *map(len, files.values())])
        if operand == "output":
            held = sum(map(len, files.values()))
            kept.reads += held  # every PE hands its sum on
            kept.passes += held - len(different)
        files.clear()

    def work(self, ranges: Ranges) -> None:
        dims = list(ranges)
        for index in product(*(range(*ranges[dim]) for dim in dims)):
            now = dict(zip(dims, index, strict=True))
            pe = tuple(now[dim] - ranges[dim][0] for dim in dims)
            for operand in ("ifmap", "weight"):
                element = self.element(operand, now)
                file = self.files[operand].setdefault(pe, set())
                if element is not None:
                    if element not in file:
                        file.add(element)
                        self.kept[operand].writes += 1
                    self.kept[operand].reads += 1
            self.accumulate(pe, tuple(now[dim] for dim in self.selects["output"]))

    def accumulate(self, pe: Place, output: Element) -> None:
        kept, file = self.kept["output"], self.files["output"].setdefault(pe, set())
        if output in self.waiting:
            self.waiting.remove(output)
            file.add(output)
        if output in file:
            kept.reads += 1
        file.add(output)
        kept.writes += 1
        self.worked_on[output] += 1

    def element(self, operand: str, now: dict[str, int]) -> Element | None:
        """The element that a MAC takes; None for padding."""
        conv = self.problem.conv
        if conv is None or operand == "weight":
            return tuple(now[dim] for dim in self.selects[operand])
        y = now["p"] * conv.stride[0] + now["r"] * conv.dilation[0] - conv.padding[0]
        x = now["q"] * conv.stride[1] + now["s"] * conv.dilation[1] - conv.padding[1]
        inside = 0 <= y < conv.h and 0 <= x < conv.w
        return (now["n"], now["groups"], now["c"], y, x) if inside else None


def _of(node: object, operand: str) -> bool:
    return isinstance(node, Store) and node.operand == operand
