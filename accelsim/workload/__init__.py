"""Workloads: what a trace holds, and where traces come from."""

from accelsim.workload.load import load_trace, shipped_workloads, with_psum, workload_overrides
from accelsim.workload.topology import read_topology
from accelsim.workload.trace import (
    SCHEMA_VERSION,
    ConvDims,
    MatmulDims,
    Op,
    OpKind,
    Oracle,
    Phase,
    PhaseKind,
    Tensor,
    TensorKind,
    Trace,
    UnknownOp,
    VectorDims,
)
from accelsim.workload.trace_file import read_trace, trace_bytes, trace_hash, write_trace
from accelsim.workload.trace_schema import trace_json_schema

__all__ = [
    "SCHEMA_VERSION",
    "ConvDims",
    "MatmulDims",
    "Op",
    "OpKind",
    "Oracle",
    "Phase",
    "PhaseKind",
    "Tensor",
    "TensorKind",
    "Trace",
    "UnknownOp",
    "VectorDims",
    "load_trace",
    "read_topology",
    "read_trace",
    "shipped_workloads",
    "trace_bytes",
    "trace_hash",
    "trace_json_schema",
    "with_psum",
    "workload_overrides",
    "write_trace",
]
