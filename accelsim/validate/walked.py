"""Access counts beside a walk that visits every iteration and holds every tile as a set of elements.

`accelsim.validate.walk` shares no function with the mapper. The nests are random: any loops in any order
with ragged steps, buffers anywhere among them, psums of every width; matmuls and convs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.nest import Mapping, Node, Store
from accelsim.mapping.placement import buffer_of
from accelsim.mapping.problem import Problem
from accelsim.mapping.traffic import mac_flows
from accelsim.validate.machines import adder_tree
from accelsim.validate.random_nests import LEVELS, nest_of
from accelsim.validate.row import Row
from accelsim.validate.walk import walk
from accelsim.validate.walked_flows import walked_flows

CASES, SEED, LARGEST_SIZE = 300, 2025, 10


def rows() -> Iterator[Row]:
    """Values that every memory moves for every operand, in CASES random nests."""
    rng = random.Random(SEED)
    machine = build_machine(adder_tree())
    for number in range(CASES):
        problem, nest = nest_of(rng, rng.randint(1, LARGEST_SIZE))
        mapping = buffered(nest, machine)
        kind = "matmul" if problem.conv is None else "conv"
        case = f"{number} {kind} {'x'.join(str(extent) for _, extent in problem.extents)}"
        yield from _flow_rows(case, problem, mapping, machine)


def buffered(nest: Mapping, machine: Machine) -> Mapping:
    """The nest's inner storage level as the machine's buffers, its outer one as DRAM."""
    nodes: list[Node] = []
    for node in nest.nodes:
        if isinstance(node, Store) and node.level == LEVELS[1]:
            node = Store(node.operand, buffer_of(machine, node.operand).name)
        if not (isinstance(node, Store) and node.level == LEVELS[0]):
            nodes.append(node)
    return Mapping(tuple(nodes))


def _flow_rows(case: str, problem: Problem, mapping: Mapping, machine: Machine) -> Iterator[Row]:
    ours = {(flow.block, flow.operand, flow.action): flow for flow in mac_flows(problem, mapping, machine)}
    walked = walked_flows(problem, machine, walk(problem, mapping))
    for key in sorted(ours.keys() | walked.keys()):
        count, values, _, _ = walked.get(key, (0, 0, 0, 0))
        mine = ours.get(key)
        flow = f"{case}: {' '.join(part for part in key if part)}"
        yield Row("walk", flow, "values moved", "values", values, mine.values if mine else 0, 0.0)
        yield Row("walk", flow, "actions", "actions", count, mine.count if mine else 0, 0.0)
