"""Kernels on many cores: waves of tiles counted one by one, and programs by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_arch, load_trace, simulate
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.kernels import (
    MatmulKernel,
    VectorKernel,
    array_cycles,
    compute_us,
    matmul_kernel,
    time_program,
    transfer_us,
)


@pytest.fixture(scope="module")
def a100() -> Machine:
    return build_machine(load_arch("validation/a100"))


@pytest.fixture(scope="module")
def tpu() -> Machine:
    return build_machine(load_arch("validation/tpu_v6e"))


@given(st.integers(1, 4), st.integers(1, 2000), st.integers(1, 300), st.integers(1, 2000))
@settings(deadline=None, max_examples=200)
def test_waves_dealt_one_by_one(batch: int, rows: int, reduction: int, columns: int) -> None:
    """Tiles are dealt to 108 cores in turn; each takes 32 x 32 outputs a cycle of each step of the reduction."""
    machine = build_machine(load_arch("validation/a100"))
    height, width = min(256, rows), min(128, columns)
    busy = [0] * 108
    tiles = [(b, r, c) for b in range(batch) for r in range(0, rows, height) for c in range(0, columns, width)]
    for number, _ in enumerate(tiles):
        blocks = len(range(0, height, 32)) * len(range(0, width, 32))
        busy[number % 108] += blocks * reduction
    assert array_cycles(MatmulKernel(batch, rows, reduction, columns, 0, 0), machine) == max(busy)


def test_weight_folds_by_hand(tpu: Machine) -> None:
    """512 x 512 x 768: 2 x 3 output tiles on two cores are three waves, each of two folds of 256 rows."""
    assert array_cycles(MatmulKernel(1, 512, 512, 768, 0, 0), tpu) == 3 * 2 * 256
    assert array_cycles(MatmulKernel(1, 8, 512, 768, 0, 0), tpu) == 2 * 2 * 256


def test_few_rows_run_on_the_vector_lanes(tpu: Machine) -> None:
    one = compute_us(MatmulKernel(1, 1, 4096, 4096, 0, 0), tpu)
    assert one == pytest.approx(4096 * 4096 / 2048 / 3502, rel=1e-3)
    assert compute_us(MatmulKernel(1, 64, 4096, 4096, 0, 0), tpu) == pytest.approx(
        16 * 8 * 256 / 0.922 / 3502, rel=1e-3
    )


def test_one_tile_does_not_overlap_and_many_do(tpu: Machine) -> None:
    """Half of VMEM is 64 MiB: below it loading and computing add up, with 10 times as much a tenth is seen."""
    for tiles in (1, 10):
        kernel = MatmulKernel(1, 4096, 4096, 4096, tiles * 2**26, 2**25)
        busy, moving = compute_us(kernel, tpu), transfer_us(kernel.dram_bytes, tpu)
        seen = max(busy, moving) + min(busy, moving) / tiles
        assert time_program([kernel], tpu).us == pytest.approx(2.0 + seen)


def test_cores_wait_for_stores(a100: Machine) -> None:
    """192 products of 2048 x 128 x 2048: writing 1.6 GB of scores stands behind the rest, which overlaps."""
    scores = matmul_kernel(2048, 128, 2048, 2, batch=192)
    assert scores.written_bytes == 2 * 192 * 2048 * 2048
    spec = load_arch("validation/a100", {"arch.kernels.stores": "overlapped"})
    overlapped, serial = (time_program([scores], machine).us for machine in (build_machine(spec), a100))
    busy, reading = compute_us(scores, a100), transfer_us(scores.dram_bytes - scores.written_bytes, a100)
    writing = transfer_us(scores.written_bytes, a100)
    assert writing == pytest.approx(2 * 192 * 2048**2 / 0.9 / 2039e3, rel=1e-3)
    tiles = (scores.dram_bytes - scores.written_bytes) / (20 * 2**20)
    assert serial == pytest.approx(21 + busy + reading / tiles + writing)
    assert overlapped < serial < overlapped + writing
    gelu = VectorKernel("elementwise", 10**9, 4 * 10**9)
    assert time_program([gelu], a100).us == pytest.approx(time_program([gelu], build_machine(spec)).us)


def test_a_program_is_launched_once(tpu: Machine, a100: Machine) -> None:
    kernel = matmul_kernel(256, 256, 256, 2)
    one, two = (time_program([kernel] * times, tpu).us for times in (1, 2))
    assert two - 2.0 == pytest.approx(2 * (one - 2.0))
    assert kernel.dram_bytes == 3 * 256 * 256 * 2
    softmax = VectorKernel("softmax", 10, 40)
    assert time_program([softmax], a100).bound == "latency"
    assert time_program([softmax], a100).us == pytest.approx(12.0, abs=0.01)
    assert time_program([softmax, kernel], a100).us > 21


def test_a_machine_without_kernels() -> None:
    with pytest.raises(ValueError, match="runs no kernels"):
        time_program([matmul_kernel(1, 1, 1, 1)], build_machine(load_arch("systolic_32x32")))


def test_a_simulation_runs_kernels(tpu: Machine) -> None:
    """A matmul that the memory holds whole crosses the pins once, so that the kernel is the one of its shapes."""
    spec = load_arch("validation/tpu_v6e")
    (op,) = simulate(spec, load_trace("matmul:1024x2048x512")).ops
    alone = time_program([matmul_kernel(1024, 2048, 512, 1)], tpu).us
    assert op.cycles == pytest.approx(alone * 3502, rel=1e-3)


def test_vector_ops_are_kernels_too() -> None:
    report = simulate(load_arch("validation/a100"), load_trace("bert_base"))
    softmax = next(op for op in report.ops if op.name.endswith("softmax"))
    assert softmax.cycles >= 12 * 1410
    assert report.peak_macs_per_cycle == 108 * 1024
    one = build_machine(load_arch("validation/a100", {"arch.kernels.cores": 1}))
    assert build_machine(load_arch("validation/a100")).area_mm2["array"] == pytest.approx(108 * one.area_mm2["array"])


@pytest.mark.parametrize("sets", [{}, {"arch.array.po": 3}, {"arch.vector_unit.lanes": 4096}])
@pytest.mark.parametrize("size", [1, 8, 64, 512])
def test_no_product_is_faster_than_the_arrays(sets: dict[str, object], size: int) -> None:
    """Also where there are more vector lanes than multipliers, and for products of next to nothing."""
    report = simulate(load_arch("validation/mi210", sets), load_trace(f"matmul:{size}x{size}x{size}"))
    machine = build_machine(load_arch("validation/mi210", sets))
    (op,) = report.ops
    assert op.compute_cycles >= max(1, size**3 / machine.peak_macs_per_cycle)
    assert op.cycles >= op.compute_cycles
