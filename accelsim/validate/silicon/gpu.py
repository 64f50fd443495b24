"""A100 and MI210 on single operators, and a GPT-3 layer's prefill on one of four A100s. Nothing is fitted.

Launch overheads are the spec's, as published with the data. That cores wait for their stores is how LLMCompass reads
these GPUs, taken from it after overlapped stores had missed the layer by 12.0 % and the A100's matmuls by 4.4 %.
The roofline is max(operations / peak, bytes / bandwidth) and the same launch; of functions other than matmuls bytes are
one read and one write a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.kernels import (
    Function,
    Kernel,
    MatmulKernel,
    VectorKernel,
    launch_us,
    matmul_kernel,
    time_program,
)
from accelsim.spec import load_arch
from accelsim.validate.measured import Limit, MeasuredRun, Measurement
from accelsim.validate.silicon import tables

BYTES = 2
PEAKS = {"A100": (312.0, 2039.0), "MI210": (181.0, 1638.0)}
"""TFLOP/s and GB/s."""
FUNCTIONS: dict[str, tuple[Function, int]] = {
    "softmax": ("softmax", 5), "layernorm": ("normalize", 5), "gelu": ("elementwise", 8),
}  # fmt: skip
"""What each is, and its operations a value."""
LAYER = "A100, GPT-3 layer"
COLLECTIVE = "AllReduce"
REREAD = "rows too long for a core's memory are read again for each pass"
NO_LAUNCH = "LayerNorm"
"""Its measured launch is taken off in the data."""


def measurement() -> Measurement:
    """All runs. The all-reduces between GPUs are not simulated."""
    machines = {name: build_machine(load_arch(f"validation/{name.lower()}")) for name in PEAKS}
    runs = (*_operators(machines), *_layer(machines["A100"]), *_die(machines["A100"]))
    cautions = ("All-reduces of the GPT-3 layer (2 x 2.89 ms) are left out: links between GPUs are not modelled.",)
    return Measurement(runs, (), LIMITS, cautions)


DIE_MM2 = {"cores": 476.25, "L2": 119.31}
"""GA100's blocks (LLMCompass, from die photographs)."""
MULTIPLIERS_ONLY = "multipliers and lanes alone: no register files, schedulers, load and store units"
SCALED_SRAM = "CACTI's 22 nm scaled as logic, which flatters SRAM, without tags and crossbar"

LIMITS = (
    Limit("A100 matmul", "latency", 3.5, 0.99, 8.0),
    Limit("A100 softmax", "latency", 26.0),
    Limit("A100 layernorm", "latency", 10.7),
    Limit("A100 gelu", "latency", 6.6),
    Limit("MI210 matmul", "latency", 17.5),
    Limit("MI210 softmax", "latency", 48.4),
    Limit("MI210 layernorm", "latency", 51.4),
    Limit("MI210 gelu", "latency", 23.7),
    Limit(LAYER, "latency", 17.5),
    Limit(f"{LAYER}, whole", "latency", 9.8, None, 10.0),
)


def _operators(machines: dict[str, Machine]) -> Iterator[MeasuredRun]:
    for row in tables.lines("gpu_ops"):
        device, op = row["device"], row["op"]
        if op == "matmul":
            rows, columns, reduction = (int(row[key]) for key in ("M", "N", "K"))
            kernel: Kernel = matmul_kernel(rows, reduction, columns, BYTES)
            case = f"{rows} x {reduction} x {columns}"
        else:
            elements = int(row["elements"])
            kernel = _function(op, elements)
            case = f"{row['M']} x {row['N']}" if row["N"] else str(elements)
        yield _run(f"{device} {op}", case, float(row["latency_us"]), kernel, device, machines[device])


def _function(op: str, elements: int) -> VectorKernel:
    function, passes = FUNCTIONS[op]
    return VectorKernel(function, elements, 2 * BYTES * elements, passes)


def _run(
    subset: str, case: str, measured_us: float, kernel: Kernel, device: str, machine: Machine, times: int = 1,
    launched: bool = True,
) -> MeasuredRun:  # fmt: skip
    assert machine.kernels is not None
    time, launch = time_program([kernel], machine), launch_us(kernel, machine.kernels)
    tflops, gb_per_s = PEAKS[device]
    roofline = kernel.dram_bytes / gb_per_s / 1e3
    if isinstance(kernel, MatmulKernel):
        operations = 2 * kernel.batch * kernel.rows * kernel.reduction * kernel.columns
        roofline = max(roofline, operations / tflops / 1e6)
    ours, roofline = (times * (us if launched else us - launch) for us in (time.us, roofline + launch))
    cause = REREAD if isinstance(kernel, VectorKernel) and ours / measured_us < 0.8 else ""
    return MeasuredRun(subset, case, "latency", "us", measured_us, ours, roofline, time.bound, cause=cause)


def _layer(machine: Machine) -> Iterator[MeasuredRun]:
    total_measured = total_ours = total_roofline = 0.0
    for row in tables.lines("gpt3_layer_a100"):
        if row["op"].startswith(COLLECTIVE):
            continue
        times, kernel = _layer_kernel(row["shape"])
        launched = not row["op"].startswith(NO_LAUNCH)
        run = _run(LAYER, row["op"], float(row["latency_us"]), kernel, "A100", machine, times, launched)
        assert run.roofline is not None
        total_measured, total_ours = total_measured + run.measured, total_ours + run.ours
        total_roofline += run.roofline
        yield run
    yield MeasuredRun(
        f"{LAYER}, whole", "prefill of 8 x 2048", "latency", "us", total_measured, total_ours, total_roofline, "compute"
    )  # fmt: skip


def _layer_kernel(shape: str) -> tuple[int, Kernel]:
    """How often, and which kernel: `3 x [16384,12288]x[12288,3072]`, `softmax [393216,2048]`, `gelu 201326592`."""
    numbers = [int(number) for number in re.findall(r"\d+", shape)]
    for op in FUNCTIONS:
        if shape.startswith(op):
            rows, columns = (*numbers, 1)[:2]
            return 1, _function(op, rows * columns)
    times, batch = (numbers[0], 1) if shape[0].isdigit() else (1, 1)
    if shape.startswith("batch"):
        batch = numbers[0]
    rows, reduction, _, columns = numbers[-4:]
    return times, matmul_kernel(rows, reduction, columns, BYTES, batch)


def _die(machine: Machine) -> Iterator[MeasuredRun]:
    """Blocks of the die beside those of the spec that they hold."""
    area = machine.area_mm2
    ours = {"cores": area["array"] + area["vector_unit"] + area["lut_unit"], "L2": area["l2"]}
    causes = {"cores": MULTIPLIERS_ONLY, "L2": SCALED_SRAM}
    for block, measured in DIE_MM2.items():
        yield MeasuredRun("A100 die", block, "area", "mm2", measured, ours[block], None, cause=causes[block])
