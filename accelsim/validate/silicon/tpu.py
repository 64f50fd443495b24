"""TPU v6e on operators of language models: matmuls, feed-forward blocks, attention.

One peak efficiency is fitted, on the matmuls of llama3.2-1b; those of four other models and all other operators are
predicted. The roofline is max(operations / 918 TFLOP/s, bytes / 1640 GB/s), of attention with one query its KV bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.kernels import Kernel, MatmulKernel, VectorKernel, matmul_kernel, time_program
from accelsim.spec import load_arch
from accelsim.validate.measured import Constant, Limit, MeasuredRun, Measurement
from accelsim.validate.silicon import tables

FITTED_MODEL = "llama3.2-1b"
BYTES = 2
TFLOPS, GB_PER_S = 918.0, 1640.0
BANDS = ((1, "M = 1"), (128, "M = 32 to 128"), (2048, "M = 256 to 2048"), (1 << 30, "M >= 3584"))
SOFTMAX_PASSES, GATE_PASSES = 5, 4
"""Operations a value: largest, difference, exponential, sum, quotient; sigmoid (2) and two products."""
GATED = "ffn_gated"
STEPS = (0.05, 0.01, 0.001)
OTHER_TILING = "the compiler takes another tiling: operands cross the pins again, or nothing overlaps"


def machine() -> Machine:
    """The machine of the spec."""
    return build_machine(load_arch("validation/tpu_v6e"))


def measurement() -> Measurement:
    """All runs."""
    tpu = machine()
    assert tpu.kernels is not None
    efficiency = Constant(
        "kernels.peak_efficiency", tpu.kernels.peak_efficiency, "of peak", f"matmuls of {FITTED_MODEL} above M = 128"
    )
    return Measurement((*_matmuls(tpu), *_blocks(tpu), *_attention(tpu)), (efficiency,), LIMITS)


LIMITS = (
    *(
        Limit(band, "latency", error, 0.99, 15.0)
        for (_, band), error in zip(BANDS, (6.0, 11.8, 7.0, 11.2), strict=True)
    ),
    Limit("feed-forward", "latency", 8.8, 0.99),
    Limit("attention, encoder", "latency", 35.1, 0.97),
    Limit("attention, one query", "latency", 22.0, 0.98),
    Limit("attention, several queries", "latency", 36.0, 0.96),
)


def fitted_efficiency() -> float:
    """The peak efficiency of least mean absolute error on the rows fitted on."""
    tpu = machine()
    assert tpu.kernels is not None
    rows = [row for row in tables.lines("tpu_v6e_gemm") if _is_fitted(row)]

    def error(efficiency: float) -> float:
        assert tpu.kernels is not None
        trial = replace(tpu, kernels=tpu.kernels.model_copy(update={"peak_efficiency": efficiency}))
        return sum(abs(time_program([_matmul(row)], trial).us / _us(row) - 1) for row in rows)

    best = 1.0
    for step in STEPS:
        near = [best + each * step for each in range(-10, 11) if 0 < best + each * step <= 1]
        best = min(near, key=error)
    return best


def _is_fitted(row: tables.Line) -> bool:
    return row["source_op"].startswith(FITTED_MODEL) and int(row["M"]) > BANDS[1][0]


def _matmul(row: tables.Line) -> MatmulKernel:
    return matmul_kernel(int(row["M"]), int(row["K"]), int(row["N"]), BYTES)


def _us(row: tables.Line) -> float:
    return float(row["latency_ns"]) / 1e3


def _matmuls(tpu: Machine) -> Iterator[MeasuredRun]:
    for row in tables.lines("tpu_v6e_gemm"):
        band = next(name for most, name in BANDS if int(row["M"]) <= most)
        case = f"{row['M']} x {row['K']} x {row['N']}"
        yield _run(band, case, _us(row), [_matmul(row)], tpu, _is_fitted(row))


def _run(
    subset: str, case: str, measured_us: float, program: Sequence[Kernel], tpu: Machine, fitted: bool = False
) -> MeasuredRun:
    time = time_program(program, tpu)
    operations = 2 * sum(
        each.batch * each.rows * each.reduction * each.columns for each in program if isinstance(each, MatmulKernel)
    )
    moved = sum(each.dram_bytes for each in program)
    roofline = max(operations / TFLOPS / 1e6, moved / GB_PER_S / 1e3)
    cause = OTHER_TILING if abs(time.us / measured_us - 1) > 0.2 else ""
    return MeasuredRun(subset, case, "latency", "us", measured_us, time.us, roofline, time.bound, fitted, cause)


def _blocks(tpu: Machine) -> Iterator[MeasuredRun]:
    """[S, h] x [h, i] (twice where gated), the function on the way out, [S, i] x [i, h], in one program. What is
    between the two stays in VMEM if half of it has room."""
    for row in tables.lines("tpu_v6e_ffn"):
        tokens, hidden, inner = (int(row[key]) for key in ("tokens_S", "hidden", "intermediate"))
        gates = 2 if row["op"].startswith(GATED) else 1
        between = BYTES * tokens * inner
        if between <= _room_bytes(tpu):
            between = 0
        program: list[Kernel] = [
            MatmulKernel(
                1, tokens, hidden, gates * inner, BYTES * hidden * (tokens + gates * inner) + between, between
            ),
            VectorKernel("elementwise", tokens * inner, 0, GATE_PASSES),
            MatmulKernel(
                1, tokens, inner, hidden, BYTES * hidden * (tokens + inner) + between, BYTES * tokens * hidden
            ),
        ]
        yield _run("feed-forward", f"{tokens} x {hidden} x {gates} x {inner}", _us(row), program, tpu)


def _attention(tpu: Machine) -> Iterator[MeasuredRun]:
    """Q K, softmax and P V in one program. The encoder's scores go through DRAM where half of VMEM has no room for
    them; the decoder's never do (online softmax), and its queries of one KV head share its keys and values."""
    for row in tables.lines("tpu_v6e_attention"):
        heads, kv_heads, queries, keys, width = (int(row[key]) for key in ("Hq", "Hkv", "q", "kv", "D"))
        encoder = row["kind"].startswith("encoder")
        scores = heads * queries * keys
        spilt = BYTES * scores if encoder and BYTES * scores > _room_bytes(tpu) else 0
        rows = queries * heads // kv_heads
        query_bytes, kv_bytes = BYTES * heads * queries * width, BYTES * kv_heads * keys * width
        program: list[Kernel] = [
            MatmulKernel(kv_heads, rows, width, keys, query_bytes + kv_bytes + spilt, spilt),
            VectorKernel("softmax", scores, 2 * spilt, SOFTMAX_PASSES),
            MatmulKernel(kv_heads, rows, keys, width, query_bytes + kv_bytes + spilt, query_bytes),
        ]
        subset = "encoder" if encoder else "one query" if queries == 1 else "several queries"
        case = f"{heads} / {kv_heads} heads, {queries} x {keys} x {width}"
        yield _run(f"attention, {subset}", case, _us(row), program, tpu)


def _room_bytes(tpu: Machine) -> float:
    assert tpu.kernels is not None
    return tpu.kernels.overlap_kib * 1024 / 2
