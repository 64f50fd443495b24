"""Mappings as a file: what `accelsim map` writes and `accelsim simulate --mapping` replays.

    mapping_version: 1
    arch_hash: ...            the spec and the workload that the mappings are of
    workload_hash: ...
    mappings:
      - ops: ["encode/encoder.layer.0.attention.self.query", ...]      phase/op
        nest: ["dram holds ifmap", "for n in chunks of 64", ...]       outermost first
        search: {objective: energy, proved: true, gap: 0.001, ...}     left out for a placed mapping

A file that says what the search proved gives a report of the same bytes as the search did.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.errors import Fault, UserError, user_error
from accelsim.hardware.machine import Machine
from accelsim.mapping.copies import uneven_deal
from accelsim.mapping.dataflow import spatial_widths
from accelsim.mapping.fit import misfit
from accelsim.mapping.mapper import Mapped
from accelsim.mapping.nest import REGISTERS, Mapping, Spatial, Store, without_single_trips
from accelsim.mapping.nest_text import from_lines, to_lines
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import OPERANDS, Problem
from accelsim.mapping.search.result import Objective, SearchResult, StopReason
from accelsim.report.files import write_whole
from accelsim.spec.yaml_source import parse_yaml

MAX_FILE_BYTES = 1 << 26
MAX_NODES = 64


@dataclass(frozen=True)
class MappingFile:
    """Mappings of the ops of one workload on one spec, both known by their hash."""

    arch_hash: str
    workload_hash: str
    mappings: Dict[str, Mapped]
    """By phase/op."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Search(_Model):
    objective: Objective
    energy_pj: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    latency_fs: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    proved: bool
    gap: Annotated[float, Field(ge=0, le=1)]
    stop_reason: StopReason
    counted: Annotated[int, Field(ge=0)]


class _Entry(_Model):
    ops: Annotated[list[str], Field(min_length=1)]
    nest: Annotated[list[str], Field(min_length=1, max_length=MAX_NODES)]
    search: _Search | None = None


class _File(_Model):
    mapping_version: Literal[1]
    arch_hash: str
    workload_hash: str
    mappings: list[_Entry]


def save_mappings(file: MappingFile, path: Path) -> None:
    """Write the file whole or not at all; equal mappings share an entry."""
    entries: dict[Mapped, list[str]] = {}
    for op, mapped in file.mappings.items():
        entries.setdefault(mapped, []).append(op)
    document = {
        "mapping_version": 1,
        "arch_hash": file.arch_hash,
        "workload_hash": file.workload_hash,
        "mappings": [_entry(mapped, ops) for mapped, ops in entries.items()],
    }
    text = yaml.dump(document, Dumper=_NoAliases, sort_keys=False, width=math.inf)
    write_whole(path, text.encode())


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def _entry(mapped: Mapped, ops: list[str]) -> dict[str, object]:
    entry: dict[str, object] = {"ops": ops, "nest": to_lines(mapped.mapping)}
    if mapped.search is not None:
        fields = dataclasses.asdict(mapped.search)
        fields.pop("mapping")
        entry["search"] = fields
    return entry


def load_mappings(path: Path) -> MappingFile:
    """Read a mapping file. UserError with every fault found in it."""
    document = parse_yaml(_text(path), str(path))
    if document.faults:
        raise UserError(document.faults)
    try:
        data = _File.model_validate(document.data)
    except ValidationError as error:
        raise UserError(
            Fault(str(path), *_position(document.positions, tuple(detail["loc"])), ".".join(map(str, detail["loc"])) or
                  "mapping file", detail["msg"], "write it with `accelsim map`, or see `accelsim map --help`")
            for detail in error.errors(include_url=False)
        ) from None  # fmt: skip
    faults: list[Fault] = []
    mappings: dict[str, Mapped] = {}
    for number, entry in enumerate(data.mappings):
        line, column = _position(document.positions, ("mappings", number, "nest"))
        try:
            nest = from_lines(entry.nest)
        except ValueError as error:
            fix = "`for D in chunks of N`, `MEMORY holds OPERAND [x2]` or `parallel D x N`"
            faults.append(Fault(str(path), line, column, f"mappings.{number}.nest", f"cannot read {error}", fix))
            continue
        search = None if entry.search is None else SearchResult(mapping=nest, **entry.search.model_dump())
        for op in entry.ops:
            if op in mappings:
                faults.append(Fault(str(path), line, column, op, "mapped twice", "leave one of the two out"))
            mappings[op] = Mapped(nest, search)
    if faults:
        raise UserError(faults)
    return MappingFile(data.arch_hash, data.workload_hash, mappings)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise user_error(str(path), "mapping file", f"over {MAX_FILE_BYTES} bytes", "name a mapping file")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise user_error(str(path), "mapping file", error.strerror or str(error), "name a readable file") from None
    except UnicodeDecodeError:
        raise user_error(str(path), "mapping file", "this is no UTF-8 text", "name a mapping file") from None


def _position(positions: Dict[tuple[str | int, ...], tuple[int, int]], path: tuple[str | int, ...]) -> tuple[int, int]:
    while path and path not in positions:
        path = path[:-1]
    return positions.get(path, (0, 0))


def check_mapping(problem: Problem, mapping: Mapping, machine: Machine) -> Infeasible | str | None:
    """What speaks against running a given mapping: a tile that does not fit, or a text for a nest that is none."""
    names = {memory.name for memory in machine.memories}
    dims = set(problem.dims)
    chains = {operand: [memory.name for memory in machine.chain(operand)] for operand in OPERANDS}
    stored: dict[str, list[str]] = {operand: [] for operand in OPERANDS}
    for node in mapping.nodes:
        if isinstance(node, Store):
            stored[node.operand].append(node.level)
            if node.level == REGISTERS and machine.register_file(node.operand) is None:
                return f"this spec has no registers for {node.operand}"
            if node.level in names and node.level not in chains[node.operand]:
                return f"{node.level} does not hold {node.operand} in this spec"
        elif node.dim not in dims:
            return f"no dim {node.dim}; this op has {', '.join(problem.dims)}"
    for operand in OPERANDS:
        levels = stored[operand]
        order = (machine.dram.name, *chains[operand], REGISTERS, "array")
        expected = [level for level in order if level in levels]
        if levels != expected or not levels or levels[0] != machine.dram.name or levels[-1] != "array":
            inside = "registers, then array" if machine.register_file(operand) else "array"
            return f"{operand} is stored in {levels}, not in dram, then its memories {chains[operand]}, then {inside}"
    if without_single_trips(mapping.nodes, problem) != mapping.nodes:
        return "a loop of one trip: it splits nothing"
    widths = {dim: width for dim, width in spatial_widths(problem, machine.array).items() if width > 1}
    spatial = [node for node in mapping.nodes if isinstance(node, Spatial)]
    given = {node.dim: node.width for node in spatial}
    wide = {dim: width for dim, width in widths.items() if problem.extent(dim) > 1}
    if not (wide.items() <= given.items() <= widths.items()) or len(given) < len(spatial):
        return f"the array runs {widths} at once, the mapping {given}"
    if tuple(spatial) != mapping.nodes[len(mapping.nodes) - len(spatial) :]:
        return "what runs in parallel stands last, below the array's stores"
    for dim, extent in problem.extents:
        finest = min([extent, *(loop.step for loop in mapping.loops if loop.dim == dim)])
        if finest > widths.get(dim, 1):
            return f"{dim} reaches the array in chunks of {finest}, which takes {widths.get(dim, 1)}"
    for operand in OPERANDS:
        if mapping.store(operand, REGISTERS) is not None:
            uneven = uneven_deal(problem, operand, mapping.loops, len(mapping.array_loops(operand)))
            if uneven is not None:
                return f"{uneven}; below its registers a step is a multiple of what runs side by side"
    return misfit(problem, mapping, machine)
