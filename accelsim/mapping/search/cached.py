"""Searches remembered, in memory and on disk, by all that a search depends on.

The key is the record the kernels read (shape, bits, schemes, every cost and capacity of the machine), the
conv, the dataflow and the search's own settings, so equal ops of different traces and specs share results.
Files lie under `$XDG_CACHE_HOME/accelsim/mappings` (else `~/.cache`); ACCELSIM_MAPPING_CACHE=off leaves the
disk alone. A file begins with the hash of the rest; one that was changed, or cannot be read or written, is as
good as none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from pathlib import Path

from accelsim import __version__
from accelsim.errors import UserError
from accelsim.hardware.machine import Machine
from accelsim.mapping.dataflow import spatial_widths
from accelsim.mapping.nest_text import from_lines, to_lines
from accelsim.mapping.placement import Infeasible, Spill
from accelsim.mapping.problem import Problem
from accelsim.mapping.search.result import Objective, SearchResult
from accelsim.mapping.search.search import search
from accelsim.mapping.search.tables import tables
from accelsim.report.files import write_whole

CACHE_VERSION = 2
_memory: dict[str, SearchResult | Infeasible] = {}


def cached_search(
    problem: Problem, machine: Machine, objective: Objective, spill: Spill, budget: int, tolerance: float
) -> SearchResult | Infeasible:
    """As `search`, looked up first."""
    record = tables(problem, machine, spatial_widths(problem, machine.array), spill)
    names = (machine.dram.name, *(memory.name for memory in machine.memories))
    settings = (CACHE_VERSION, __version__, names, problem, machine.array.dataflow, objective, spill, budget, tolerance)
    key = hashlib.sha256(repr(settings).encode() + record.tobytes()).hexdigest()
    if key not in _memory:
        file = _file(key)
        found = None if file is None else _read(file)
        if found is None:
            _memory[key] = search(problem, machine, objective, spill, budget, tolerance)
            if file is not None:
                _write(file, _memory[key])
        else:
            _memory[key] = found
    return _memory[key]


def forget() -> None:
    """Empty the memory (not the disk)."""
    _memory.clear()


def _file(key: str) -> Path | None:
    if os.environ.get("ACCELSIM_MAPPING_CACHE") == "off":
        return None
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "accelsim" / "mappings" / f"{key}.json"


def _read(file: Path) -> SearchResult | None:
    try:
        said, _, text = file.read_bytes().partition(b"\n")
    except OSError:
        return None
    if said != _digest(text):
        return None
    data = json.loads(text)
    return SearchResult(**{**data, "mapping": from_lines(data["mapping"])})


def _write(file: Path, found: SearchResult | Infeasible) -> None:
    if isinstance(found, Infeasible):
        return
    with contextlib.suppress(OSError, UserError):
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**dataclasses.asdict(found), "mapping": to_lines(found.mapping)}).encode()
        write_whole(file, _digest(text) + b"\n" + text)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
