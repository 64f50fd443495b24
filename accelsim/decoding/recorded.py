"""Acceptance traces: what a real draft and target said to each other at every position of the target's text.

A gzip CSV. The first line names the version and where the numbers come from; then one line a token:

    # accelsim acceptance trace 1, target NAME, draft NAME
    prompt,rank,accept_probability,target_entropy_bits,draft_entropy_bits
    0,0,0.9312,0.411,0.532

With q the draft's and p the target's distribution on the true text so far and x the token emitted there: `rank`
is how many tokens q holds likelier than x, and `accept_probability` min(1, q(x) / p(x)) at the temperature that was
sampled with. That is the chance that a draft of this position was accepted, given the text: x is emitted with p(x),
by way of an accepted draft with min(p(x), q(x)) (arXiv 2211.17192, A.1). Given the text, what happens at one position
says nothing about another, so drawing every position by itself replays whatever drafts a chain, exactly.
"""

from __future__ import annotations

import gzip
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import Fault, UserError, user_error
from accelsim.report.files import write_whole
from accelsim.workload.trace_file import read_bounded

VERSION = 1
MAX_BYTES = 64 * 2**20
COLUMNS = ("prompt", "rank", "accept_probability", "target_entropy_bits", "draft_entropy_bits")
SUFFIX = ".acceptance.csv.gz"
SHOWN = 8


@dataclass(frozen=True, eq=False)
class AcceptanceTrace:
    """One entry a token, (n,) each; `source` says which models. Tokens of a prompt stand together, in order."""

    source: str
    prompt: NDArray[np.int32]
    rank: NDArray[np.int16]
    accept_probability: NDArray[np.float64]
    target_entropy_bits: NDArray[np.float64]
    draft_entropy_bits: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rank)


def write_acceptance(trace: AcceptanceTrace, path: Path) -> None:
    """Write a trace whole, the same bytes for the same trace."""
    text = io.StringIO()
    text.write(f"# accelsim acceptance trace {VERSION}, {trace.source}\n{','.join(COLUMNS)}\n")
    columns = (trace.accept_probability, trace.target_entropy_bits, trace.draft_entropy_bits)
    for prompt, rank, *numbers in zip(trace.prompt, trace.rank, *columns, strict=True):
        text.write(f"{prompt},{rank},{','.join(f'{number:.4f}' for number in numbers)}\n")
    write_whole(path, gzip.compress(text.getvalue().encode(), mtime=0))


def read_acceptance(path: str | Path) -> AcceptanceTrace:
    """The trace in a file of at most 64 MiB unzipped; UserError with the faults of its first bad lines."""
    file = str(path)
    try:
        data = read_bounded(Path(path), MAX_BYTES)
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            text = stream.read(MAX_BYTES + 1).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise user_error(
            file, "file", f"cannot be read: {error}", "name a readable trace, as workloads.acceptance records"
        ) from None
    if len(text) > MAX_BYTES:
        raise user_error(file, "file", "more than 64 MiB unzipped", "record fewer tokens")
    first, _, rest = text.partition("\n")
    header, _, body = rest.partition("\n")
    start = f"# accelsim acceptance trace {VERSION}, "
    if not first.startswith(start) or header != ",".join(COLUMNS):
        raise user_error(file, "header", repr(first[:60]), f"lines 1 and 2: {start}SOURCE, then {','.join(COLUMNS)}")
    rows, faults = [], []
    for number, line in enumerate(body.splitlines(), start=3):
        found = _row(line)
        if isinstance(found, str):
            faults.append(Fault(file, number, 1, "token", found, f"write {','.join(COLUMNS)}"))
        else:
            rows.append(found)
    if not rows and not faults:
        raise user_error(file, "trace", "holds no token", "record some")
    if faults:
        raise UserError(faults[:SHOWN])
    prompt, rank, *numbers = np.array(rows).T
    if (np.diff(prompt) < 0).any():
        raise user_error(file, "prompt", "numbers fall", "keep the tokens of a prompt together, prompts in order")
    return AcceptanceTrace(first[len(start) :], prompt.astype(np.int32), rank.astype(np.int16), *numbers)


def _row(line: str) -> tuple[float, ...] | str:
    fields = line.split(",")
    try:
        values = tuple(float(field) for field in fields)
    except ValueError:
        return f"{line[:60]!r} is not five numbers"
    if len(values) != len(COLUMNS) or not all(map(math.isfinite, values)):
        return f"{line[:60]!r} is not five numbers"
    prompt, rank, probability = values[:3]
    if min(values) < 0 or prompt % 1 or rank % 1 or rank >= 2**15 or prompt >= 2**31:
        return f"{line[:60]!r}: prompt and rank are whole numbers, and nothing is negative"
    return values if probability <= 1 else f"an accept probability of {probability}"
