"""Systolic compute cycles and SRAM accesses beside SCALE-Sim 3.0.0's own runs.

Square arrays, serial loads, full edge folds, the same topology files. Its report prints the last
cycle's number, so `Total Cycles` + 1 are compared. SRAM accesses are in values. Two differences are
known, and each row that has one says so: a tile that need not move is kept in our array and loaded
again in SCALE-Sim's, and an input that several pixels of one stationary tile share is read once. Its
output-stationary ofmap writes (M N + 2 R per fold more than there are outputs) are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from accelsim.report import Report
from accelsim.simulation import simulate
from accelsim.validate.machines import square_systolic
from accelsim.validate.record_scalesim import topology_path
from accelsim.validate.recording import Record, Recording
from accelsim.validate.row import Row
from accelsim.workload import ConvDims, Op, Trace, load_trace

DATAFLOWS = {"os": "output_stationary", "ws": "weight_stationary", "is": "input_stationary"}
ORDERS = {"os": "mnk", "ws": "nkm", "is": "mkn"}
"""Loops from the outside in."""
OPERANDS = {"ifmap": "mk", "weight": "kn", "psum_ofmap": "mn"}
BITS, PSUM_BITS = 8, 32


@dataclass(frozen=True)
class _Layer:
    """A layer as SCALE-Sim sees it (im2col), on an array of `size` x `size`."""

    extents: dict[str, int]
    is_conv: bool
    size: int
    dataflow: str

    def trips(self, dim: str) -> int:
        """Trips of a loop: the innermost one streams value by value, the others go array by array."""
        return self.extents[dim] if dim == ORDERS[self.dataflow][-1] else math.ceil(self.extents[dim] / self.size)

    def reloads(self, operand: str) -> int:
        """How often SCALE-Sim loads a tile again that never had to leave: 1 if it never does."""
        order = ORDERS[self.dataflow]
        (other,) = set(order) - set(OPERANDS[operand])
        inside = order[order.index(other) + 1 :]
        stays_by_design = not inside
        if stays_by_design or math.prod(self.trips(dim) for dim in inside) > 1:
            return 1
        return self.trips(other)


def rows(recording: Recording) -> Iterator[Row]:
    """Every number of the recording beside ours."""
    traces = {
        name: load_trace(topology_path(name))
        for name in dict.fromkeys(_text(row, "topology") for row in recording.rows)
    }
    reports: dict[tuple[str, int, str], Report] = {}
    for record in recording.rows:
        key = _text(record, "topology"), int(record["size"]), _text(record, "dataflow")
        if key not in reports:
            reports[key] = simulate(square_systolic(key[1], DATAFLOWS[key[2]]), traces[key[0]])
        yield from _layer_rows(record, reports[key], traces[key[0]])


def _layer_rows(record: Record, report: Report, trace: Trace) -> Iterator[Row]:
    name, size, dataflow = _text(record, "layer"), int(record["size"]), _text(record, "dataflow")
    layer = _layer(trace.phases[0].ops, name, size, dataflow)
    case = f"{record['topology']}/{name} {size}x{size} {dataflow}"
    (op,) = (op for op in report.ops if op.name == name)
    yield Row("scalesim", case, "compute cycles", "cycles", int(record["total_cycles"]) + 1, op.compute_cycles, 0.0)
    for operand, peer in (("ifmap", "ifmap_reads"), ("weight", "filter_reads")):
        yield _access_row(case, operand, "reads", int(record[peer]), _values(report, name, operand, "read"), layer)
    if dataflow != "os":
        written = _values(report, name, "psum_ofmap", "write")
        yield _access_row(case, "psum_ofmap", "writes", int(record["ofmap_writes"]), written, layer)


def _access_row(case: str, operand: str, action: str, theirs: int, ours: int, layer: _Layer) -> Row:
    tolerance: float | None = 0.0
    note = ""
    if layer.reloads(operand) > 1:
        tolerance, note = (
            None,
            "kept in our array, where no other tile comes in between; SCALE-Sim moves it for every trip",
        )
    elif operand == "ifmap" and layer.dataflow == "is" and layer.is_conv and ours != theirs:
        tolerance, note = (
            None,
            "an input that several pixels of a tile share is read once; SCALE-Sim reads im2col copies",
        )
    return Row("scalesim", case, f"{operand} SRAM {action}", "values", theirs, ours, tolerance, note)


def _layer(ops: Iterable[Op], name: str, size: int, dataflow: str) -> _Layer:
    (dims,) = (op.dims for op in ops if op.name == name)
    if isinstance(dims, ConvDims):
        extents = {"m": dims.n * dims.p * dims.q, "k": dims.r * dims.s * dims.c, "n": dims.k}
        return _Layer(extents, True, size, dataflow)
    return _Layer({dim: getattr(dims, dim) for dim in "mkn"}, False, size, dataflow)


def _values(report: Report, op: str, operand: str, action: str) -> int:
    """Values moved at the array's side of a buffer; what its DRAM side moves is another action."""
    names = {"psum": PSUM_BITS, "ofmap": BITS} if operand == "psum_ofmap" else {operand: BITS}
    return sum(
        row.bits_useful // names[row.operand]
        for row in report.rows
        if row.op == op and row.action == action and row.operand in names and row.level == "buffer"
    )


def _text(record: Record, key: str) -> str:
    return str(record[key])
