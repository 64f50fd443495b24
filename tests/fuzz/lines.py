"""Command lines by a grammar, and specs and workloads that are odd but right."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[..., Any]

ARCHES = (
    "apsq_edge_ws",
    "apsq-edge-os",
    "systolic_32x32",
    "apsq_edge_w",
    "chip.yaml",
    "broken.yaml",
    ".",
    "",
    "a/b",
    "\x00",
)
WORKLOADS = ("matmul:16x64x32", "matmul:2x3x5x7", "matmul:0x1x1", "matmul:", "good.json", "good.csv", "broken.json",
             "missing.json.gz", "bert_bas", "x" * 300, "", ".", "\ud800.json")  # fmt: skip
KEYS = ("arch.array.po", "arch.array", "arch.buffers.ifmap.capacity_kib", "arch.psum_engine.bits", "arch.psum_engine",
        "arch.technology.clock_mhz", "arch.array.kind", "arch.name", "workload.psum.bits", "workload.psum.group_size",
        "arch.nope", "workload", "arch.", "po", "", "arch..po")  # fmt: skip
VALUES = ("8", "4,8", "16.0", "-1", "nan", ".inf", "[4, 8]", "[", "null", "", "1e9", "systolic", "\u00b5", "a=b",
          "{a: 1}", "!!int 3", "9" * 120, "1e-320", "x y")  # fmt: skip
OUTPUTS = ("o.json", "o.csv", "o.txt", "nowhere/o.json", ".", "", "o", "good.json", "x" * 300 + ".json")
REPORTS = ("report.json", "other.json", "good.json", "broken.json", "missing.json", ".", "")


def _options(*names: str) -> st.SearchStrategy[list[str]]:
    """Up to three options, each with a value that may suit it."""
    override = st.tuples(st.sampled_from(KEYS), st.sampled_from(("=", "=", "=", "")), st.sampled_from(VALUES)).map(
        "".join
    )
    values = {"--set": override, "--over": override, "--jobs": st.sampled_from(("1", "0", "-1", "x", "9999", ""))}
    one = st.sampled_from(names).flatmap(
        lambda name: st.tuples(st.just(name), values.get(name, st.sampled_from(OUTPUTS)))
    )
    stray = st.sampled_from((("--nope",), ("-x", "1"), ("--",), ("--set",), ("--json",), ("extra",), ("--all",)))
    return st.lists(one | one | one | stray, max_size=3).map(lambda parts: [word for part in parts for word in part])


def _words(*choices: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    """One of each of the choices, sometimes one too few."""
    whole = st.tuples(*(st.sampled_from(choice) for choice in choices)).map(list)
    return whole | whole | whole | whole.map(lambda words: words[:-1])


def _line(command: str, words: st.SearchStrategy[list[str]], *options: str) -> st.SearchStrategy[list[str]]:
    return st.tuples(words, _options(*options)).map(lambda parts: [command, *parts[0], *parts[1]])


COMMAND_LINES = st.one_of(
    _line("simulate", _words(ARCHES, WORKLOADS), "--set", "--set", "--json", "--csv"),
    _line("simulate", _words(ARCHES[:3], WORKLOADS[:2]), "--set", "--json"),
    _line("sweep", _words(ARCHES, WORKLOADS), "--over", "--over", "--out").map(lambda line: [*line, "--jobs=1"]),
    _line("sweep", _words(ARCHES[:3], WORKLOADS[:2]), "--over").map(lambda line: [*line, "--jobs=1"]),
    _line("diff", _words(REPORTS, REPORTS), "--csv"),
    _line("area", _words(ARCHES), "--set", "--json"),
    _line("explain", _words(ARCHES), "--set"),
    _line("schema", _words(("arch", "trace", "arc", "")), "--json"),
    _line("trace", st.just([]), "--json", "--out", "--set"),
    _line("reproduce", _words(("apqs", "", "\x00")), "--json", "--plot"),
    _line("simulat", st.just([]), "--json"),
    st.lists(st.text(max_size=8), max_size=3),
)


@st.composite
def _unrollings(draw: Draw) -> dict[str, Any]:
    """Up to three dims a side, as wide as there is room."""
    return {
        name: {
            side: [{"dim": dim} for dim in draw(st.lists(st.sampled_from(dims), min_size=1, max_size=3, unique=True))]
            for side in ("rows", "cols")
        }
        for name, dims in (("matmul", "bgmkn"), ("conv", "npqcrsk"))
    }


@st.composite
def specs(draw: Draw) -> dict[str, Any]:
    """A spec anywhere within the schema's ranges that breaks none of its rules."""
    operand = draw(st.integers(2, 16))
    accumulator = draw(st.integers(2 * operand, 64))
    burst = draw(st.sampled_from((1, 2, 16, 64, 1024)))
    array: dict[str, Any] = {
        "kind": draw(st.sampled_from(("adder_tree", "systolic", "pe_grid"))),
        "dataflow": draw(st.sampled_from(("weight_stationary", "input_stationary", "output_stationary"))),
        "operand_bits": operand,
        "accumulator_bits": accumulator,
        "spatial_reduction": draw(st.sampled_from(("flatten_crs", "channels_only", "nested"))),
    }
    size = st.sampled_from((1, 2, 3, 4, 5, 8, 13, 16, 31, 32, 64, 100, 1024))
    if array["kind"] == "adder_tree":
        array |= {"po": draw(size), "pci": draw(size), "pco": draw(size)}
        array["pipeline_stages"] = draw(st.integers(0, 64))
    elif array["kind"] == "pe_grid":
        del array["spatial_reduction"]
        array |= {"rows": draw(size), "cols": draw(size), "unroll": draw(_unrollings())}
    else:
        array |= {"rows": draw(size), "cols": draw(size)}
        array["weight_load"] = draw(st.sampled_from(("serial", "overlapped")))
        array["ragged_fold"] = draw(st.sampled_from(("full", "trimmed")))
    node = draw(st.sampled_from((7, 14, 28, 45, 65, 130)))
    spec: dict[str, Any] = {
        "spec_version": 1,
        "name": "odd",
        "technology": {"node_nm": node, "voltage_v": 1.2 if node >= 65 else 0.9,
                       "clock_mhz": draw(st.sampled_from((0.001, 1.0, 333.3, 500.0, 2000.0)))},
        "array": array,
        "buffers": {name: draw(_buffers(narrowest, burst)) for name, narrowest in
                    (("ifmap", operand), ("weight", operand), ("psum_ofmap", accumulator))},
        "dram": {"kind": draw(st.sampled_from(("ddr3", "lpddr5", "hbm3"))), "burst_bytes": burst,
                 "bandwidth_gb_per_s": draw(st.sampled_from((1e-9, 1e-3, 25.6, 1e3, 1e12))),
                 "latency_ns": draw(st.sampled_from((0.0, 0.1, 100.0, 1e6)))},
        "lut_unit": {"lanes": draw(st.sampled_from((1, 3, 1024))), "entries": draw(st.sampled_from((2, 8, 256)))},
        "vector_unit": {"lanes": draw(st.sampled_from((1, 7, 1024)))},
        "mapping": {
            "spill": draw(st.sampled_from(("through", "bypass"))),
            "prefetch": draw(st.sampled_from(("none", "weights"))),
            "fusion": draw(st.sampled_from(("none", "attention", "auto"))),
        },
    }  # fmt: skip
    grade = draw(st.sampled_from((None, None, "lpddr3_1600", "lpddr5_6400", "ddr4_3200", "hbm3_6400")))
    if grade:
        spec["dram"] = {
            "kind": grade.split("_")[0],
            "timing": grade,
            "channels": draw(st.sampled_from((1, 3, 4096))),
            "bytes_between_turnarounds": draw(st.sampled_from((None, 64, 1 << 30))),
        }
    if draw(st.booleans()):
        spec["memories"] = draw(_memories(max(operand, accumulator), burst))
        for name, operand_name in (("ifmap", "ifmap"), ("weight", "weight"), ("psum_ofmap", "psum")):
            if any(operand_name in memory["holds"] for memory in spec["memories"]) and draw(st.booleans()):
                spec["buffers"][name] = None
    narrow = [bits for bits in (2, 4, 8, 15) if bits < accumulator]
    if draw(st.booleans()):
        spec["psum_engine"] = {"bits": narrow, "group_sizes": [1, 2, 16]}
    return spec


@st.composite
def _buffers(draw: Draw, narrowest: int, burst: int) -> dict[str, Any]:
    """A buffer of whole words, at least 1 KiB and one burst, with ports no wider than it is."""
    word = draw(st.integers(max(32, narrowest), 256))
    least = math.ceil(max(8192, burst * 8) / word)
    words = draw(st.integers(least, least + 8) | st.integers(least, 1 << 16))
    port = st.sampled_from((1, 7, 64, 1000, 8192))
    return {"capacity_kib": words * word / 8192, "word_bits": word, "read_bits_per_cycle": draw(port),
            "write_bits_per_cycle": draw(port)}  # fmt: skip


@st.composite
def _memories(draw: Draw, narrowest: int, burst: int) -> list[dict[str, Any]]:
    """One to three memories, each of one operand or more."""
    holds = st.lists(st.sampled_from(("ifmap", "weight", "psum")), min_size=1, max_size=3, unique=True)
    names = [f"level{number}" for number in range(draw(st.integers(1, 3)))]
    return [{"name": name, "holds": draw(holds), **draw(_buffers(narrowest, burst))} for name in names]


@st.composite
def workloads(draw: Draw) -> dict[str, Any]:
    """A trace of one to three small matmuls and convs, at odd widths."""
    tensors: list[dict[str, Any]] = []
    ops: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 3))):
        kind, dims, shapes = draw(st.sampled_from((_matmuls(), _convs())).flatmap(lambda strategy: strategy))
        bits = [draw(st.sampled_from((1, 2, 4, 7, 8, 16))) for _ in shapes]
        ids = [f"{number}:{part}" for part in ("ifmap", "weight", "ofmap")]
        for name, shape, width in zip(ids, shapes, bits, strict=True):
            tensors.append({"id": name, "kind": "activation", "shape": shape, "bits": width})
        ops.append(
            {"id": number, "name": f"op{number}", "kind": kind, "dims": dims, "inputs": ids[:2], "outputs": ids[2:]}
        )
    phase = {"name": "encode", "kind": "encode", "tokens": 1, "context": 0, "batch": 1, "ops": ops}
    return {"schema_version": 1, "name": "odd", "provenance": {}, "oracle": {"macs": None, "method": "not counted"},
            "tensors": tensors, "phases": [phase]}  # fmt: skip


def _matmuls() -> st.SearchStrategy[tuple[str, dict[str, Any], list[list[int]]]]:
    def build(b: int, g: int, m: int, k: int, n: int) -> tuple[str, dict[str, Any], list[list[int]]]:
        return "matmul", {"b": b, "g": g, "m": m, "k": k, "n": n}, [[b, g, m, k], [b, k, n], [b, g, m, n]]

    extent = st.sampled_from((1, 2, 3, 7, 16, 33, 64, 129))
    return st.builds(build, st.integers(1, 3), st.integers(1, 3), extent, extent, extent)


@st.composite
def _convs(draw: Draw) -> tuple[str, dict[str, Any], list[list[int]]]:
    n, groups = draw(st.integers(1, 2)), draw(st.sampled_from((1, 2, 5)))
    c, k = draw(st.sampled_from((1, 3, 16))), draw(st.sampled_from((1, 2, 17)))
    axes = []
    for _ in range(2):
        kernel, stride, padding, dilation = (draw(st.integers(low, 3)) for low in (1, 1, 0, 1))
        reach = dilation * (kernel - 1) + 1
        size = draw(st.integers(max(1, reach - 2 * padding), 20))
        axes.append((size, kernel, stride, padding, dilation, (size + 2 * padding - reach) // stride + 1))
    (h, w), (r, s), stride, padding, dilation, (p, q) = ([axes[0][i], axes[1][i]] for i in range(6))
    dims = {"n": n, "groups": groups, "c": c, "k": k, "h": h, "w": w, "r": r, "s": s, "stride": stride,
            "padding": padding, "dilation": dilation}  # fmt: skip
    return "conv", dims, [[n, groups * c, h, w], [groups * k, c, r, s], [n, groups * k, p, q]]
