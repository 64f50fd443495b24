"""SCALE-Sim topology files as workloads: a CSV of conv layers, or of matrix products (GEMM).

conv: Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
GEMM: Layer, M, N, K,

The header says which. Layers mean what SCALE-Sim makes of them: convolutions have no padding, the
number of windows is rounded up (ifmap rows and columns that the last window lacks are added, and
said in the provenance and beside the MACs), a name with DP in it is one filter set per channel, and a product has N
columns and the reduction K. A Sparsity column (N:M) is checked and not applied, since a trace is
dense; a Batch Size other than 1 is a fault; what stands in other columns is listed as ignored.
Operands are 8 bits wide. No layer reads another one's result.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from accelsim.errors import Fault, UserError, did_you_mean, user_error
from accelsim.workload.trace import ConvDims, MatmulDims, Op, OpKind, Oracle, Phase, Tensor, Trace
from accelsim.workload.trace_check import check_trace
from accelsim.workload.trace_file import read_bounded

SUFFIX = ".csv"
BITS = 8
MAX_BYTES = 2**20
MAX_EXTENT = 2**20
MAX_FAULTS = 100
"""Reading stops at this many faults; a file with more is no topology."""
NAME = "layer name"
GEMM = ("m", "n", "k")
CONV = ("ifmap height", "ifmap width", "filter height", "filter width", "channels", "num filter")
STRIDE, STRIDE_H, STRIDE_W = "strides", "stride height", "stride width"
SPARSITY, BATCH = "sparsity", "batch size"
SAME = {"layer": NAME, "num filters": "num filter", "stride": STRIDE}
KNOWN = (NAME, *GEMM, *CONV, STRIDE, STRIDE_H, STRIDE_W, SPARSITY, BATCH)


@dataclass(frozen=True)
class Cell:
    """What stands between two commas, and where: line and column count from 1."""

    text: str
    line: int
    column: int


@dataclass
class _Reader:
    """One file being read: its faults so far and what of it is ignored."""

    file: str
    faults: list[Fault] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    macs: int = 0
    """By SCALE-Sim's formula, from the file's numbers."""

    def fault(self, cell: Cell, name: str, found: str, fix: str) -> None:
        self.faults.append(Fault(self.file, cell.line, cell.column, name, found, fix))

    def number(self, row: Mapping[str, Cell], name: str) -> int:
        """The number in this column; 1, and a fault, where there is none."""
        cell = row[name]
        if re.fullmatch(r"[0-9]{1,9}", cell.text) and 1 <= int(cell.text) <= MAX_EXTENT:
            return int(cell.text)
        found = repr(cell.text) if cell.text else "missing"
        self.fault(cell, name, found, f"give a whole number from 1 to {MAX_EXTENT}")
        return 1


def read_topology(path: str | Path) -> Trace:
    """The trace of a SCALE-Sim topology file of at most 1 MiB; its name is the file's.

    Raises UserError with every fault of the file, each with its line, column and column name.
    """
    file = str(path)
    try:
        data = read_bounded(Path(path), MAX_BYTES)
    except OSError as error:
        raise user_error(file, "file", error.strerror or str(error), "name a readable topology file") from None
    if len(data) > MAX_BYTES:
        raise user_error(file, "file", f"more than {MAX_BYTES} bytes", "split the file; 1 MiB is the most")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise user_error(file, "file", f"not UTF-8 at byte {error.start}", "save it as UTF-8 CSV") from None
    reader = _Reader(file)
    rows = [cells for cells in (_cells(text, number) for number, text in enumerate(lines, 1)) if _filled(cells)]
    columns = _header(reader, rows[0] if rows else [])
    layers = list(_layers(reader, columns, rows[1:]))
    if not layers and not reader.faults:
        reader.fault(Cell("", 1, 1), NAME, "no layers", "give one line a layer below the header")
    if reader.faults:
        raise UserError(reader.faults)
    trace = _trace(reader, Path(path).stem, layers)
    findings = check_trace(trace)
    if findings:
        raise UserError(Fault(file, 0, 0, *finding) for finding in findings)
    return trace


def _cells(text: str, line: int) -> list[Cell]:
    cells, column = [], 1
    for part in text.split(","):
        lead = len(part) - len(part.lstrip())
        cells.append(Cell(part.strip(), line, column + (lead if part.strip() else 0)))
        column += len(part) + 1
    return cells


def _filled(cells: list[Cell]) -> bool:
    return any(cell.text for cell in cells)


def _header(reader: _Reader, cells: list[Cell]) -> list[str]:
    """The name of each column, "" for those that are ignored; raises UserError when one is missing."""
    mark = next((mark for mark in (";", "\t", "|") if len(cells) == 1 and mark in cells[0].text), "")
    if mark:
        reader.fault(cells[0], "header", f"its columns are separated by {mark!r}", "separate columns with commas")
        raise UserError(reader.faults)
    names = [" ".join(cell.text.lower().split()) for cell in cells]
    names = [SAME.get(name, name) for name in names]
    for cell, name in zip(cells, names, strict=True):
        if name in KNOWN and names.count(name) > 1:
            reader.fault(cell, name, "this column stands here twice", "name each column once")
    strides = () if {STRIDE_H, STRIDE_W} <= set(names) else (STRIDE,)
    gemm = len(set(GEMM) & set(names)) > len(set(CONV) & set(names))
    needed = (NAME, *(GEMM if gemm else (*CONV, *strides)))
    for name in needed:
        if name not in names:
            others = [other for other in names if other and other not in KNOWN]
            near = did_you_mean(name, others).partition("allowed:")[0].replace("did you mean", "instead of")
            reader.fault(Cell("", 1, 1), name, "this column is missing", f"{near}name it in the header".strip())
    if reader.faults:
        raise UserError(reader.faults)
    used = {*needed, SPARSITY, BATCH, *(() if gemm or strides else (STRIDE_H, STRIDE_W))}
    reader.ignored.update(f"column {name!r}: not read" for name in names if name and name not in used)
    return [name if name in used else "" for name in names]


def _layers(reader: _Reader, columns: list[str], rows: list[list[Cell]]) -> Iterator[tuple[str, MatmulDims | ConvDims]]:
    taken: Counter[str] = Counter()
    for cells in rows:
        if len(reader.faults) >= MAX_FAULTS:
            return
        end = Cell("", cells[0].line, cells[-1].column + len(cells[-1].text))
        row = {name: end for name in columns if name}
        row |= {name: cell for name, cell in zip(columns, cells, strict=False) if name}
        strays = [cell for cell in cells[len(columns) :] if cell.text]
        strays += [cell for name, cell in zip(columns, cells, strict=False) if cell.text and not name]
        reader.ignored["cells of unnamed columns: not read"] += len(strays)
        name = _name(reader, row[NAME], taken)
        _check_extras(reader, row)
        yield name, _gemm(reader, row) if "m" in row else _conv(reader, row)


def _name(reader: _Reader, cell: Cell, taken: Counter[str]) -> str:
    """The layer's name; a repeated one is numbered."""
    if not cell.text or not cell.text.isprintable():
        reader.fault(cell, NAME, repr(cell.text) if cell.text else "missing", "name the layer in printable characters")
    taken[cell.text] += 1
    number = taken[cell.text]
    while number > 1 and taken[f"{cell.text}_{number}"]:
        number += 1
    name = cell.text if number == 1 else f"{cell.text}_{number}"
    taken[name] += number > 1
    return name


def _check_extras(reader: _Reader, row: Mapping[str, Cell]) -> None:
    if BATCH in row and row[BATCH].text not in ("", "1"):
        reader.fault(row[BATCH], BATCH, repr(row[BATCH].text), "use 1; SCALE-Sim runs one input at a time")
    sparsity = row[SPARSITY].text if SPARSITY in row else ""
    if sparsity in ("", "1", "1:1"):
        return
    match = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", sparsity)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        reader.fault(row[SPARSITY], SPARSITY, repr(sparsity), "write N:M with 1 <= N <= M, like 2:4")
    else:
        reader.ignored[f"sparsity {sparsity}: the layer is traced dense"] += 1


def _gemm(reader: _Reader, row: Mapping[str, Cell]) -> MatmulDims:
    m, n, k = (reader.number(row, name) for name in GEMM)
    reader.macs += m * n * k
    return MatmulDims(1, 1, m, k, n)


def _conv(reader: _Reader, row: Mapping[str, Cell]) -> ConvDims:
    h, w, r, s, channels, filters = (reader.number(row, name) for name in CONV)
    names = (STRIDE, STRIDE) if STRIDE in row else (STRIDE_H, STRIDE_W)
    down, across = (reader.number(row, name) for name in names)
    for name, kernel, size in (("filter height", r, h), ("filter width", s, w)):
        if kernel > size:
            reader.fault(row[name], name, f"{kernel} is larger than the ifmap's {size}", "shrink the filter")
    windows = math.ceil((h - r + down) / down) * math.ceil((w - s + across) / across)
    reader.macs += windows * r * s * channels * filters
    height, width = _reached(h, r, down), _reached(w, s, across)
    if (height, width) != (h, w):
        reader.ignored["ifmap edge: enlarged so that the last window is whole, as SCALE-Sim rounds up"] += 1
    groups = channels if "DP" in row[NAME].text else 1
    return ConvDims(1, groups, channels // groups, filters, height, width, r, s, (down, across))


def _reached(size: int, kernel: int, stride: int) -> int:
    """The extent that ceil((size - kernel) / stride) + 1 windows reach."""
    return -((kernel - size) // stride) * stride + kernel


def _trace(reader: _Reader, name: str, layers: list[tuple[str, MatmulDims | ConvDims]]) -> Trace:
    tensors: list[Tensor] = []
    ops: list[Op] = []
    for number, (layer, dims) in enumerate(layers):
        ids = tuple(f"{layer}:{part}" for part in ("ifmap", "weight", "ofmap"))
        for identity, shape in zip(ids, _shapes(dims), strict=True):
            tensors.append(Tensor(identity, "weight" if identity == ids[1] else "activation", shape, BITS))
        kind: OpKind = "matmul" if isinstance(dims, MatmulDims) else "conv"
        ops.append(Op(number, layer, kind, dims, ids[:2], ids[2:]))
    provenance = [("model", "SCALE-Sim topology"), ("assumed_bits", f"weight {BITS}, activation {BITS}")]
    notes = [f"{text} ({count} times)" for text, count in sorted(reader.ignored.items()) if count]
    provenance += [(f"policy.{number}", note) for number, note in enumerate(notes)]
    oracle = Oracle(reader.macs, "; ".join(["SCALE-Sim's formula", *notes]))
    return Trace(name, tuple(provenance), oracle, tuple(tensors), (Phase("encode", "encode", 1, 0, 1, tuple(ops)),))


def _shapes(dims: MatmulDims | ConvDims) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    if isinstance(dims, MatmulDims):
        return (dims.m, dims.k), (dims.k, dims.n), (dims.m, dims.n)
    filters = dims.groups * dims.k
    weight = (filters, dims.c, dims.r, dims.s)
    return (1, dims.groups * dims.c, dims.h, dims.w), weight, (1, filters, dims.p, dims.q)
