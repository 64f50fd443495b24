"""Where a trace comes from: a shipped name, a file, or a matmul spelled out; and what overrides it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from accelsim.errors import Fault, UserError, did_you_mean, user_error
from accelsim.schemes import PsumScheme
from accelsim.workload.topology import SUFFIX as TOPOLOGY_SUFFIX
from accelsim.workload.topology import read_topology
from accelsim.workload.trace import MatmulDims, Op, Oracle, Phase, Tensor, Trace
from accelsim.workload.trace_file import SUFFIXES, parse_trace, read_trace

TRACE_SUFFIX = ".trace.json.gz"
MATMUL_PREFIX = "matmul:"
MAX_MATMUL_EXTENT = 2**20
MATMUL_BITS = 8
PSUM_BITS_KEY = "workload.psum.bits"
PSUM_FIX = "bits 2..15 are APSQ with group_size 1..16; bits 16..64 are a plain accumulator"
PSUM_GROUP_SIZE_KEY = "workload.psum.group_size"
ZEROS_KEY = "workload.zeros"


def load_trace(path_or_name: str | Path) -> Trace:
    """The trace of a shipped name, a path, or a literal `matmul:MxKxN` or `matmul:BxMxKxN`.

    A path contains `/` or ends in `.json`, `.json.gz` or `.csv` (a SCALE-Sim topology); a name may
    spell `_` as `-`. Raises UserError.
    """
    text = str(path_or_name)
    if text.startswith(MATMUL_PREFIX):
        return _matmul_trace(text)
    if text.endswith(TOPOLOGY_SUFFIX):
        return read_topology(text)
    if "/" in text or os.sep in text or text.endswith(SUFFIXES):
        return read_trace(text)
    name = text.lower().replace("-", "_")
    if name not in shipped_workloads():
        fix = did_you_mean(name, shipped_workloads()) + "; or a path with a / in it; or matmul:MxKxN"
        raise user_error("workload", text or "(empty)", "no shipped workload has this name", fix)
    return parse_trace((files("workloads") / f"{name}{TRACE_SUFFIX}").read_bytes(), f"{name}{TRACE_SUFFIX}")


def shipped_workloads() -> list[str]:
    """Names of the traces that come with the package, sorted."""
    names = (entry.name for entry in files("workloads").iterdir())
    return sorted(name.removesuffix(TRACE_SUFFIX) for name in names if name.endswith(TRACE_SUFFIX))


def with_psum(trace: Trace, scheme: PsumScheme) -> Trace:
    """The same trace with one psum scheme on every matmul and conv."""

    def change(op: Op) -> Op:
        return replace(op, psum=scheme) if op.kind in ("matmul", "conv") else op

    phases = (replace(phase, ops=tuple(change(op) for op in phase.ops)) for phase in trace.phases)
    return replace(trace, phases=tuple(phases))


def with_zeros(trace: Trace, share: float) -> Trace:
    """The same trace with a share of zeros, 0 to 1, in every activation."""
    tensors = (replace(each, zeros=share) if each.kind == "activation" else each for each in trace.tensors)
    return replace(trace, tensors=tuple(tensors))


def workload_overrides(trace: Trace, overrides: Mapping[str, str]) -> Trace:
    """The trace with `workload.*` overrides (text values) applied.

    Keys: `workload.psum.bits`, `workload.psum.group_size`, and `workload.zeros`, the share of zeros in all
    activations. Raises UserError for an unknown key, a value out of range, a group size without bits, or an
    override that changes nothing.
    """
    if ZEROS_KEY in overrides:
        trace = with_zeros(trace, _share(overrides[ZEROS_KEY]))
        overrides = {key: value for key, value in overrides.items() if key != ZEROS_KEY}
    if not overrides:
        return trace
    known = (PSUM_BITS_KEY, PSUM_GROUP_SIZE_KEY, ZEROS_KEY)
    faults = [
        Fault("override", 0, 0, key, "unknown key", did_you_mean(key, known)) for key in overrides if key not in known
    ]
    faults += [
        Fault("override", 0, 0, key, repr(value[:40]), "give a whole number")
        for key, value in overrides.items()
        if key in known and not re.fullmatch(r"[0-9]+", value)
    ]
    faults += [
        Fault("override", 0, 0, key, f"a number of {len(value)} digits", PSUM_FIX)
        for key, value in overrides.items()
        if key in known and re.fullmatch(r"[0-9]{10,}", value)
    ]
    if PSUM_GROUP_SIZE_KEY in overrides and PSUM_BITS_KEY not in overrides:
        fix = f"also give {PSUM_BITS_KEY}; group sizes belong to APSQ widths, 2..15 bits"
        faults.append(Fault("override", 0, 0, PSUM_GROUP_SIZE_KEY, "a group size without bits", fix))
    if faults:
        raise UserError(faults)
    scheme = _psum_scheme(overrides)
    changed = with_psum(trace, scheme)
    if not any(op.psum for phase in changed.phases for op in phase.ops):
        fix = "leave the override out, or use a trace that has a matmul or conv"
        raise user_error("override", PSUM_BITS_KEY, f"trace {trace.name!r} has no matmul or conv", fix)
    return changed


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise user_error("override", ZEROS_KEY, repr(text[:40]), "give a share from 0 to 1, like 0.4")
    return share


def _psum_scheme(overrides: Mapping[str, str]) -> PsumScheme:
    try:
        return PsumScheme(int(overrides[PSUM_BITS_KEY]), int(overrides.get(PSUM_GROUP_SIZE_KEY, "1")))
    except ValueError as error:
        key = PSUM_GROUP_SIZE_KEY if "group_size" in str(error) else PSUM_BITS_KEY
        raise user_error("override", key, str(error), PSUM_FIX) from None


def _matmul_trace(text: str) -> Trace:
    body = text.removeprefix(MATMUL_PREFIX)
    if not re.fullmatch(r"[0-9]{1,9}(x[0-9]{1,9}){2,3}", body):
        fix = "write matmul:MxKxN or matmul:BxMxKxN, for example matmul:128x768x3072"
        raise user_error("workload", text, "not the dims of a matmul", fix)
    extents = [int(part) for part in body.split("x")]
    if not all(1 <= extent <= MAX_MATMUL_EXTENT for extent in extents):
        raise user_error("workload", text, "a dim is out of range", f"use dims from 1 to {MAX_MATMUL_EXTENT}")
    batch, rows, reduction, columns = extents if len(extents) == 4 else [1, *extents]
    dims = MatmulDims(batch, 1, rows, reduction, columns)
    tensors = (
        Tensor("ifmap", "activation", (batch, rows, reduction), MATMUL_BITS),
        Tensor("weight", "weight", (batch, reduction, columns), MATMUL_BITS),
        Tensor("ofmap", "activation", (batch, rows, columns), MATMUL_BITS),
    )
    op = Op(0, "matmul", "matmul", dims, ("ifmap", "weight"), ("ofmap",))
    return Trace(
        name=f"matmul_{body}",
        provenance=(("model", f"one matmul, B x M x K x N = {batch} x {rows} x {reduction} x {columns}"),),
        oracle=Oracle(dims.macs, "product of the dims"),
        tensors=tensors,
        phases=(Phase("encode", "encode", rows, 0, batch, (op,)),),
    )
