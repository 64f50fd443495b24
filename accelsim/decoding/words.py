"""How a user writes an acceptance, a draft length and a tree, and the objects that these texts mean."""

from __future__ import annotations

from accelsim.decoding.acceptance import Acceptance, Independent, Recorded, Runs
from accelsim.decoding.policies.lengths import DraftLength, fixed
from accelsim.decoding.recorded import SUFFIX, read_acceptance
from accelsim.errors import user_error

LONGEST_DRAFT = 64
MOST_NODES = 256
ACCEPTANCE_FORMS = (
    f"write 0.8, or by rank 0.7,0.1, or by depth runs:0.8,0.75, or a recorded file *{SUFFIX} (FILE:greedy for ranks)"
)
LENGTH_FORMS = f"write 5, heuristic:FIRST:MOST or entropy:LIMIT_BITS:MOST, lengths in 1..{LONGEST_DRAFT}"
TREE_FORMS = f"write the candidates below each node by depth, like 4,2,1, at most {MOST_NODES} nodes"


def acceptance_of(text: str) -> Acceptance:
    """`0.8`, `0.7,0.1` (by rank), `runs:0.8,0.75` (by depth) or a recorded trace. UserError for anything else."""
    file = text.removesuffix(":greedy")
    if file.endswith(SUFFIX):
        return Recorded(read_acceptance(file), greedy=file != text)
    numbers = text.removeprefix("runs:")
    try:
        values = tuple(float(part) for part in numbers.split(","))
    except ValueError:
        raise user_error("command line", "--acceptance", repr(text[:200]), ACCEPTANCE_FORMS) from None
    try:
        return Independent(values) if numbers == text else Runs(values)
    except ValueError as error:
        raise user_error("command line", "--acceptance", str(error), ACCEPTANCE_FORMS) from None


def length_of(text: str) -> DraftLength:
    """`5`, `heuristic:5:10` or `entropy:1.5:10`. UserError for anything else."""
    kind, *rest = text.split(":")
    try:
        if not rest:
            length = fixed(int(kind))
        elif kind == "heuristic" and len(rest) == 2:
            length = DraftLength("heuristic", int(rest[0]), int(rest[1]))
        elif kind == "entropy" and len(rest) == 2:
            most = int(rest[1])
            length = DraftLength("entropy", most, most, float(rest[0]))
        else:
            raise ValueError
        if length.most > LONGEST_DRAFT:
            raise ValueError
    except ValueError:
        raise user_error("command line", "--draft-length", repr(text[:60]), LENGTH_FORMS) from None
    return length


def tree_of(text: str) -> tuple[int, ...]:
    """`4,2,1`: candidates below each node, by depth. UserError for anything else, and for too many nodes."""
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise user_error("command line", "--tree", repr(text[:60]), TREE_FORMS) from None
    nodes, level = 0, 1
    for width in widths:
        level *= width
        nodes += level
        if not 0 < width <= nodes <= MOST_NODES:
            raise user_error("command line", "--tree", repr(text[:60]), TREE_FORMS)
    return widths
