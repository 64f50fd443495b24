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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from accelsim.errors import Fault, UserError, did_you_mean, user_error
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
from accelsim.spec.words import DataPath, dotted, shown
from accelsim.spec.yaml_source import YamlDocument, parse_yaml

MAX_FILE_BYTES = 1 << 26
MAX_NODES = 64
MAX_FAULTS = 100
MAX_COUNTED = 2**62
MAX_NAME = 120
"""Characters of an op's name that a message repeats."""

Position = tuple[int, int]
"""Line and column."""


@dataclass(frozen=True)
class Places:
    """Where a file that was read says what: line and column by key, by op and of each op's nest."""

    file: str = "mapping file"
    keys: Dict[str, Position] = field(default_factory=dict)
    ops: Dict[str, Position] = field(default_factory=dict)
    nests: Dict[str, Position] = field(default_factory=dict)


@dataclass(frozen=True)
class MappingFile:
    """Mappings of the ops of one workload on one spec, both known by their hash."""

    arch_hash: str
    workload_hash: str
    mappings: Dict[str, Mapped]
    """By phase/op."""
    places: Places = field(default=Places(), compare=False)

    def fault(self, positions: Dict[str, Position], name: str, found: str, fix: str) -> Fault:
        """A fault of what stands under `name` at one of `positions`, those of `places`."""
        return Fault(self.places.file, *positions.get(name, (0, 0)), name[:MAX_NAME], found, fix)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Search(_Model):
    objective: Objective
    energy_pj: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    latency_fs: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    proved: bool
    gap: Annotated[float, Field(ge=0, le=1)]
    stop_reason: StopReason
    counted: Annotated[int, Field(ge=0, le=MAX_COUNTED)]


class _Entry(_Model):
    ops: Annotated[list[str], Field(min_length=1)]
    nest: Annotated[list[str], Field(min_length=1, max_length=MAX_NODES)]
    search: _Search | None = None


class _File(_Model):
    mapping_version: Annotated[int, Field(ge=1, le=1)]
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
        details = error.errors(include_url=False, include_context=False)[:MAX_FAULTS]
        raise UserError(_schema_fault(str(path), document, detail) for detail in details) from None
    faults: list[Fault] = []
    mappings: dict[str, Mapped] = {}
    ops: dict[str, Position] = {}
    nests: dict[str, Position] = {}
    for number, entry in enumerate(data.mappings):
        line, column = _position(document.positions, ("mappings", number, "nest"))
        try:
            nest = from_lines(entry.nest)
        except ValueError as error:
            fix = "`for D in chunks of N`, `MEMORY holds OPERAND [x2]` or `parallel D x N`"
            found = f"cannot read {shown(str(error))}"
            faults.append(Fault(str(path), line, column, f"mappings[{number}].nest", found, fix))
            continue
        search = None if entry.search is None else SearchResult(mapping=nest, **entry.search.model_dump())
        if search is not None and search.proved != (search.stop_reason == "proved"):
            place = _position(document.positions, ("mappings", number, "search", "proved"))
            found = f"{str(search.proved).lower()} beside stop_reason {search.stop_reason}"
            faults.append(
                Fault(
                    str(path),
                    *place,
                    f"mappings[{number}].search.proved",
                    found,
                    "write the file anew with `accelsim map`",
                )
            )
        for at, op in enumerate(entry.ops):
            place = _position(document.positions, ("mappings", number, "ops", at))
            if op in mappings:
                found = f"mapped twice, first in line {ops[op][0]}"
                faults.append(Fault(str(path), *place, op[:MAX_NAME], found, "leave one of the two out"))
            mappings[op], ops[op], nests[op] = Mapped(nest, search), place, (line, column)
    if faults:
        raise UserError(faults)
    keys = {key: _position(document.positions, (key,)) for key in ("arch_hash", "workload_hash")}
    return MappingFile(data.arch_hash, data.workload_hash, mappings, Places(str(path), keys, ops, nests))


_ALLOWED = {
    "mapping_version": "1",
    "arch_hash": "the text that `accelsim map` wrote",
    "workload_hash": "the text that `accelsim map` wrote",
    "mappings": "a list of entries, each with ops and nest",
    "ops": "a list of phase/op names, one at least",
    "nest": f"a list of 1 to {MAX_NODES} lines, outermost first",
    "search": "what the search said, or leave it out for a nest of your own",
    "objective": " or ".join(get_args(Objective)),
    "energy_pj": "a number, at least 0",
    "latency_fs": "a number, at least 0",
    "proved": "true or false",
    "gap": "a number from 0 to 1",
    "stop_reason": " or ".join(get_args(StopReason)),
    "counted": "a whole number, at least 0",
}


def _schema_fault(file: str, document: YamlDocument, detail: ErrorDetails) -> Fault:
    """A key that is missing or unknown, or a value that is not allowed there."""
    path = detail["loc"]
    keys = [part for part in path if isinstance(part, str)]
    allowed = _ALLOWED.get(keys[-1], "") if keys else "a mapping with " + ", ".join(_File.model_fields)
    if detail["type"] == "missing":
        found, fix = "missing", f"add {keys[-1]}: {allowed}"
    elif detail["type"] == "extra_forbidden":
        models: dict[str, type[BaseModel]] = {"search": _Search, "mappings": _Entry}
        model = models.get(keys[-2] if len(keys) > 1 else "", _File)
        found, fix = "no such key here", did_you_mean(keys[-1][:MAX_NAME], model.model_fields)
    else:
        found, fix = f"found {shown(detail['input'])}", f"allowed: {allowed}"
    positions = document.key_positions if detail["type"] == "extra_forbidden" else document.positions
    return Fault(file, *_position(positions, path), dotted(path) if path else "mapping file", found, fix)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise user_error(str(path), "mapping file", f"over {MAX_FILE_BYTES} bytes", "name a mapping file")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise user_error(str(path), "mapping file", error.strerror or str(error), "name a readable file") from None
    except UnicodeDecodeError:
        raise user_error(str(path), "mapping file", "this is no UTF-8 text", "name a mapping file") from None


def _position(positions: Dict[DataPath, Position], path: DataPath) -> Position:
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
            return f"no dim {shown(node.dim)}; this op has {', '.join(problem.dims)}"
    for operand in OPERANDS:
        levels = stored[operand]
        order = (machine.dram.name, *chains[operand], REGISTERS, "array")
        expected = [level for level in order if level in levels]
        if levels != expected or not levels or levels[0] != machine.dram.name or levels[-1] != "array":
            inside = (REGISTERS, "array") if machine.register_file(operand) else ("array",)
            allowed = ", ".join([machine.dram.name, *chains[operand], *inside])
            return f"{operand} is stored in {shown(levels)}; it goes from dram to array, in this order: {allowed}"
    if without_single_trips(mapping.nodes, problem) != mapping.nodes:
        return "a loop of one trip: it splits nothing"
    widths = {dim: width for dim, width in spatial_widths(problem, machine.array).items() if width > 1}
    spatial = [node for node in mapping.nodes if isinstance(node, Spatial)]
    given = {node.dim: node.width for node in spatial}
    wide = {dim: width for dim, width in widths.items() if problem.extent(dim) > 1}
    if not (wide.items() <= given.items() <= widths.items()) or len(given) < len(spatial):
        ours, theirs = (", ".join(f"{dim} x {width}" for dim, width in at.items()) for at in (widths, given))
        return f"the array runs {ours} in parallel, the mapping {theirs[:MAX_NAME]}"
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
