"""A mapping as lines of text and back: what reports print, mapping files hold and the cache keeps."""

from __future__ import annotations

import re
from collections.abc import Sequence

from accelsim.mapping.nest import Loop, Mapping, Node, Spatial, Store
from accelsim.mapping.problem import OPERANDS, OperandName

_LOOP = re.compile(r"for (\w+) in chunks of (\d{1,9})")
_STORE = re.compile(r"(\w+) holds (\w+)( x2)?")
_SPATIAL = re.compile(r"parallel (\w+) x (\d{1,9})")


def to_lines(mapping: Mapping) -> list[str]:
    """One node a line, outermost first."""
    lines = []
    for node in mapping.nodes:
        if isinstance(node, Loop):
            lines.append(f"for {node.dim} in chunks of {node.step}")
        elif isinstance(node, Store):
            lines.append(f"{node.level} holds {node.operand}" + (" x2" if node.double_buffered else ""))
        else:
            lines.append(f"parallel {node.dim} x {node.width}")
    return lines


def from_lines(lines: Sequence[str]) -> Mapping:
    """The mapping of such lines; ValueError names a line that is none."""
    return Mapping(tuple(_node(line) for line in lines))


def _node(line: str) -> Node:
    loop, store, spatial = (pattern.fullmatch(line) for pattern in (_LOOP, _STORE, _SPATIAL))
    if loop and int(loop[2]) >= 1:
        return Loop(loop[1], int(loop[2]))
    if store:
        return Store(_operand(store[2], line), store[1], store[3] is not None)
    if spatial and int(spatial[2]) >= 1:
        return Spatial(spatial[1], int(spatial[2]))
    raise ValueError(line)


def _operand(name: str, line: str) -> OperandName:
    for operand in OPERANDS:
        if operand == name:
            return operand
    raise ValueError(line)
