"""What the fuzzer feeds the command line: damaged specs, traces and CSVs, and odd command lines."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[..., Any]

SPEC = """\
spec_version: 1
name: chip
technology:
  node_nm: 28
  voltage_v: 0.9
  clock_mhz: 500
array:
  kind: adder_tree
  dataflow: weight_stationary
  po: 16
  pci: 8
  pco: 8
buffers:
  ifmap: {capacity_kib: 256, read_bits_per_cycle: 1024, write_bits_per_cycle: 512}
  weight: {capacity_kib: 128, read_bits_per_cycle: 512, write_bits_per_cycle: 512}
  psum_ofmap:
    capacity_kib: 256
    read_bits_per_cycle: 4096
    write_bits_per_cycle: 4096
psum_engine:
  bits: [4, 6, 8]
  group_sizes: [1, 2]
dram:
  kind: lpddr4
  bandwidth_gb_per_s: 25.6
lut_unit:
  lanes: 16
vector_unit:
  lanes: 64
"""

JUNK_VALUES = (
    "", "~", "0", "-1", "1e999", ".nan", "-.inf", "9" * 99, "9" * 101, "0x10", "1_000", "1,5", "12:30", "yes",
    "''", '"', "'", "{", "[", "}", "]", "[[[[", "{a: {b: {c: 1}}}", "[" * 40 + "]" * 40, "&a 1", "*a", "!!int 3",
    "!!python/name:os", "!x", "<<", "|", ">-", "? a", "- 1", "#", "%YAML 1.1", "---", "...", "\t1", "\u00b5", "\u202e",
    "\ufeff", "\U0001f600", "\x00", "\x1b[2J", "x" * 5000, "extends: chip", "5e-324", "1e-9", "true", "@", "`",
)  # fmt: skip

TRACE: dict[str, Any] = {
    "schema_version": 1,
    "name": "small",
    "provenance": {"model": "by hand"},
    "oracle": {"macs": None, "method": "not counted"},
    "tensors": [
        {"id": "x", "kind": "activation", "shape": [1, 4, 8, 8], "bits": 8},
        {"id": "w", "kind": "weight", "shape": [6, 2, 3, 3], "bits": 4},
        {"id": "y", "kind": "activation", "shape": [1, 6, 4, 4], "bits": 8},
        {"id": "y0", "kind": "activation", "shape": [4, 4], "bits": 8, "view_of": "y"},
        {"id": "v", "kind": "kv", "shape": [4, 5], "bits": 8},
        {"id": "z", "kind": "activation", "shape": [4, 4], "bits": 8},
        {"id": "o", "kind": "activation", "shape": [4, 5], "bits": 8},
    ],
    "phases": [
        {
            "name": "encode", "kind": "encode", "tokens": 4, "context": 0, "batch": 1,
            "ops": [
                {"id": 0, "name": "conv", "kind": "conv", "inputs": ["x", "w"], "outputs": ["y"],
                 "dims": {"n": 1, "groups": 2, "c": 2, "k": 3, "h": 8, "w": 8, "r": 3, "s": 3, "stride": [2, 2],
                          "padding": [1, 1]}, "psum": {"bits": 6, "group_size": 2}},
                {"id": 1, "name": "softmax", "kind": "softmax", "dims": {"rows": 4, "cols": 4}, "inputs": ["y0"],
                 "outputs": ["z"], "function": "softmax", "after": [0], "causal": True},
                {"id": 2, "name": "values", "kind": "matmul", "dims": {"b": 1, "g": 1, "m": 4, "k": 4, "n": 5},
                 "inputs": ["z", "v"], "outputs": ["o"], "after": [1]},
            ],
        },
    ],
    "unknown_ops": [{"function": "topk", "module": "gate", "count": 2}],
}  # fmt: skip

ODD_JSON = st.sampled_from(
    [None, True, False, 0, -1, 1, 2, 3, 2**13, 2**33, 2**62, 2**63, -(2**63), 10**40, 4.0, -0.5, 1e308, float("nan"),
     float("inf"), "", "x", "w", "\u00e9", "\ud800", "\x1b", "a" * 1001, [], [0], [1, 2], {}, {"kind": "matmul"},
     [[[]]]]
)  # fmt: skip

CSV_CONV = """\
Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
conv1, 32, 32, 3, 3, 3, 16, 2,
DP2, 16, 16, 3, 3, 8, 1, 1,
fc, 1, 1, 1, 1, 64, 10, 1,
"""
CSV_GEMM = "Layer, M, N, K, Sparsity,\nqkv, 16, 24, 8, 2:4,\nproj, 16, 8, 8, 1:1,\n"
CSV_JUNK = (
    "",
    "0",
    "-1",
    "1.5",
    "1e3",
    "x",
    '"',
    '"1,2"',
    "99999999",
    "1:2",
    "2:1",
    "\u0663",
    "\x00",
    "\u2028",
    "N",
    "\r",
    ";",
)


@st.composite
def spec_texts(draw: Draw) -> str:
    """The spec with up to four lines dropped, doubled, swapped, reindented, or given another value."""
    lines = SPEC.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        action = draw(st.sampled_from(("drop", "double", "swap", "indent", "value", "value", "value", "insert", "key")))
        junk = draw(st.sampled_from(JUNK_VALUES) | st.text(max_size=20))
        if action == "drop" and len(lines) > 1:
            del lines[at]
        elif action == "double":
            lines.insert(at, lines[at])
        elif action == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        elif action == "indent":
            lines[at] = draw(st.sampled_from((" ", "\t", "  ", "- "))) + lines[at]
        elif action == "insert":
            lines.insert(at, junk)
        elif action == "key":
            lines[at] = f"{lines[at].partition(':')[0]}{draw(st.sampled_from('sx_ .'))}:{lines[at].partition(':')[2]}"
        else:
            lines[at] = f"{lines[at].partition(':')[0]}: {junk}"
    return "\n".join(lines)


def _places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, child in items for place in ((*path, key), *_places(child, (*path, key)))]


PLACES = _places(TRACE)


@st.composite
def trace_texts(draw: Draw) -> str:
    """The trace with up to three values changed, dropped, added or reordered."""
    broken = copy.deepcopy(TRACE)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(PLACES))
        action = draw(st.sampled_from(("set", "set", "drop", "add", "reverse")))
        parent: Any = broken
        try:
            for key in path[:-1]:
                parent = parent[key]
            if action == "drop":
                del parent[path[-1]]
            elif action == "reverse":
                parent[path[-1]].reverse()
            else:
                parent[path[-1] if action == "set" else "extra"] = draw(ODD_JSON)
        except (TypeError, KeyError, IndexError, AttributeError):
            continue  # an earlier change took the place away
    return json.dumps(broken)


@st.composite
def damaged_bytes(draw: Draw) -> tuple[bytes, str]:
    """The trace's bytes, plain or zipped, cut off, overwritten or grown somewhere; and a file name's end."""
    text = json.dumps(TRACE).encode()
    data = draw(st.sampled_from((text, gzip.compress(text, 6, mtime=0))))
    at = draw(st.integers(0, len(data)))
    action = draw(st.sampled_from(("cut", "overwrite", "insert", "bomb", "append")))
    noise = draw(st.binary(min_size=1, max_size=20))
    if action == "cut":
        data = data[:at]
    elif action == "bomb":
        unit = draw(st.sampled_from((b" ", b"[", b"[],", b'{"a":', b"0,", b'"')))
        data = gzip.compress(b"[" + unit * draw(st.sampled_from((10, 10_000, 2_000_000))), 1, mtime=0)
    elif action == "append":
        data += noise
    else:
        data = data[:at] + noise + data[at + (len(noise) if action == "overwrite" else 0) :]
    return data, draw(st.sampled_from((".json", ".json.gz")))


@st.composite
def csv_texts(draw: Draw) -> str:
    """A topology with up to three cells changed or dropped, or lines moved."""
    rows = [line.split(",") for line in draw(st.sampled_from((CSV_CONV, CSV_GEMM))).splitlines()]
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.integers(0, len(rows) - 1))
        cell = draw(st.integers(0, max(0, len(rows[row]) - 1)))
        action = draw(st.sampled_from(("cell", "cell", "cell", "drop cell", "drop row", "double", "cut", "swap")))
        if action == "drop row" and len(rows) > 1:
            del rows[row]
        elif action == "double":
            rows.append(rows[row])
        elif action == "cut":
            rows[row] = rows[row][:cell]
        elif action == "swap":
            rows.reverse()
        elif rows[row]:
            junk = draw(st.sampled_from(CSV_JUNK) | st.text(max_size=5) | st.integers(-2, 70).map(str))
            rows[row] = [*rows[row][:cell], *([junk] if action == "cell" else []), *rows[row][cell + 1 :]]
    return "\n".join(",".join(row) for row in rows)
