"""Sizes and speeds at the ends of what is allowed: a result soon, in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MOST_SECONDS = 20
MOST_MIB = 1024
M = 1 << 20
E = 1 << 32
TINY = tuple(
    f"arch.buffers.{buffer}.{key}"
    for buffer in ("ifmap", "weight", "psum_ofmap")
    for key in ("capacity_kib=1", "read_bits_per_cycle=64", "write_bits_per_cycle=64")
)

RUNNER = """
import json, re, resource, sys, time
from pathlib import Path
from click.testing import CliRunner
from accelsim.cli import cli

def peak_mib():
    # Linux's ru_maxrss outlives an exec: it would be the peak of the tests that ran before in the parent.
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search("VmHWM:\\s*([0-9]+) kB", status.read_text()).group(1)) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

answers = []
for args in json.load(sys.stdin):
    start = time.perf_counter()
    result = CliRunner().invoke(cli, args)
    seconds = time.perf_counter() - start
    answers.append((result.exit_code, seconds, peak_mib(), repr(result.exception), result.output[-500:]))
json.dump(answers, sys.stdout)
"""

MATMULS = [
    *(f"matmul:{M}x{M}x{M}", f"matmul:3x{M}x{M}x{M}", f"matmul:{M}x{M}x{M}x{M}", f"matmul:{M}x64x64x64"),
    *(f"matmul:{M}x1x1x1", f"matmul:1x{M}x1", f"matmul:{M}x1x{M}", f"matmul:1x{M}x{M}", f"matmul:{M}x{M}x1"),
]

SETTINGS: dict[str, tuple[str, ...]] = {
    "slowest DRAM": ("arch.dram.bandwidth_gb_per_s=1e-9",),
    "least efficient DRAM": ("arch.dram.bandwidth_gb_per_s=1e-9", "arch.dram.row_hit_efficiency=0.001"),
    "fastest DRAM": ("arch.dram.bandwidth_gb_per_s=1e12", "arch.dram.latency_ns=0"),
    "longest latency": ("arch.dram.latency_ns=1e6",),
    "slowest clock": ("arch.technology.clock_mhz=0.001",),
    "slowest clock, fastest DRAM": ("arch.technology.clock_mhz=0.001", "arch.dram.bandwidth_gb_per_s=1e12"),
    "smallest buffers": TINY,
    "smallest buffers and array": (*TINY, "arch.array.po=1", "arch.array.pci=1", "arch.array.pco=1"),
    "smallest buffers, large array": (*TINY, "arch.array.po=1024", "arch.array.pco=1024"),
    "largest array": ("arch.array.po=1024", "arch.array.pci=1024", "arch.array.pco=1024"),
    "dearest MAC": ("arch.array.mac_energy_pj=1e9", "arch.array.area_mm2=1e12", "arch.array.leakage_mw=1e9"),
}

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "matmul, batch": ("matmul", {"b": E, "g": 1, "m": 8, "k": 8, "n": 8}),
    "matmul, rows": ("matmul", {"b": 1, "g": 1, "m": E, "k": 16, "n": 16}),
    "matmul, heads": ("matmul", {"b": 1, "g": E, "m": 2, "k": 16, "n": 16}),
    "matmul, reduction": ("matmul", {"b": 1, "g": 1, "m": 16, "k": E, "n": 16}),
    "matmul, 2^61 MACs": ("matmul", {"b": 1 << 31, "g": 1, "m": 1 << 10, "k": 1 << 10, "n": 1 << 10}),
    "conv, groups": ("conv", {"n": 1, "groups": M, "c": 1, "k": 1, "h": 16, "w": 16, "r": 3, "s": 3}),
    "conv, images": ("conv", {"n": E, "groups": 1, "c": 1, "k": 1, "h": 4, "w": 4, "r": 3, "s": 3}),
    "softmax, rows": ("softmax", {"rows": E, "cols": 1}),
    "softmax, columns": ("softmax", {"rows": 1, "cols": E}),
    "softmax, most elements": ("softmax", {"rows": 1 << 24, "cols": E}),
}


def shapes_of(kind: str, dims: dict[str, int]) -> list[list[int]]:
    if kind == "matmul":
        b, g, m, k, n = dims.values()
        return [[b, g, m, k], [b, k, n], [b, g, m, n]]
    if kind == "conv":
        n, groups, c, k, h, w, r, s = dims.values()
        return [[n, groups, c, h, w], [groups, k, c, r, s], [n, groups, k, h - r + 1, w - s + 1]]
    return [[dims["rows"], dims["cols"]]] * 2


def trace_text(kind: str, dims: dict[str, int]) -> str:
    shapes = shapes_of(kind, dims)
    ids = [f"t{number}" for number in range(len(shapes))]
    tensors = [{"id": name, "kind": "activation", "shape": s, "bits": 4} for name, s in zip(ids, shapes, strict=True)]
    op: dict[str, Any] = {"id": 0, "name": "op", "kind": kind, "dims": dims, "inputs": ids[:-1], "outputs": ids[-1:]}
    if kind == "softmax":
        op["function"] = "softmax"
    phase = {"name": "encode", "kind": "encode", "tokens": 1, "context": 0, "batch": 1, "ops": [op]}
    return json.dumps(
        {"schema_version": 1, "name": "extreme", "provenance": {}, "oracle": {"macs": None, "method": "not counted"},
         "tensors": tensors, "phases": [phase]}
    )  # fmt: skip


def check(named: dict[str, list[str]], folder: Path) -> None:
    """Run the command lines one after the other in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=300,
        input=json.dumps(list(named.values())), capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name, (code, seconds, mib, exception, output) in zip(named, json.loads(done.stdout), strict=True):
        assert code == 0, f"{name}: {exception}\n{output}"
        assert seconds < MOST_SECONDS, name
        assert mib < MOST_MIB, f"{name}: {mib:.0f} MiB"


@pytest.mark.parametrize("arch", ["apsq_edge_ws", "apsq_edge_is", "apsq_edge_os", "systolic_32x32"])
def test_the_largest_matmuls(arch: str, tmp_path: Path) -> None:
    check({name: ["simulate", arch, name] for name in MATMULS}, tmp_path)


def test_the_ends_of_the_ranges(tmp_path: Path) -> None:
    named = {}
    for name, sets in SETTINGS.items():
        options = [word for item in sets for word in ("--set", item)]
        for workload in ("matmul:127x769x1021", "bert_base"):
            named[f"{name}, {workload}"] = ["simulate", "apsq_edge_ws", workload, *options]
        named[f"{name}, explained"] = ["explain", "apsq_edge_ws", *options]
    check(named, tmp_path)


def test_the_longest_dims_of_a_trace(tmp_path: Path) -> None:
    named = {}
    for number, (name, (kind, dims)) in enumerate(SHAPES.items()):
        (tmp_path / f"{number}.json").write_text(trace_text(kind, dims))
        named[name] = ["simulate", "apsq_edge_ws", f"{number}.json"]
    check(named, tmp_path)
