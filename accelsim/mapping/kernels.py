"""Time of ops that run as kernels on many cores: their waves of output tiles, and what of the traffic overlaps.

A matmul's output is cut into tiles that the cores take wave by wave, each tile with its whole reduction. Bytes cross
the DRAM's pins once. Loading and computing overlap from tile to tile of a double-buffered memory: of n tiles that
fill half of it the first one's load, or the last one's computation, is seen whole, so that a program takes

    launch + max(compute, transfer) + min(compute, transfer) / n,      n = max(1, bytes / (memory / 2))

Where `stores` are serial, cores write a matmul's tiles once they have computed them, and wait: `transfer` and `bytes`
are then of what is read, and the time of what is written adds (as in LLMCompass, H. Zhang et al., ISCA 2024).
A matmul of so few rows that the vector lanes (at most as many as the array multiplies at once) finish before the
array runs on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Machine
from accelsim.hardware.systolic import Systolic
from accelsim.spec.offload import Kernels

Function = Literal["softmax", "normalize", "elementwise"]
Bound = Literal["compute", "dram", "latency"]
US_PER_FS = 1e-9


@dataclass(frozen=True)
class MatmulKernel:
    """`batch` matmuls of rows x reduction by reduction x columns; bytes of what it reads and writes in DRAM, and of
    these what it writes."""

    batch: int
    rows: int
    reduction: int
    columns: int
    dram_bytes: int
    written_bytes: int


@dataclass(frozen=True)
class VectorKernel:
    """A function of `elements` values, `passes` operations each."""

    function: Function
    elements: int
    dram_bytes: int
    passes: int = 1


Kernel = MatmulKernel | VectorKernel


@dataclass(frozen=True)
class KernelTime:
    """Microseconds, and what bounds them: `latency` where launching takes more than half."""

    us: float
    bound: Bound


def matmul_kernel(rows: int, reduction: int, columns: int, bytes_per_value: int, batch: int = 1) -> MatmulKernel:
    """A matmul whose operands and result are in DRAM."""
    read, written = batch * (rows * reduction + reduction * columns), batch * rows * columns
    return MatmulKernel(batch, rows, reduction, columns, bytes_per_value * (read + written), bytes_per_value * written)


def time_program(program: Sequence[Kernel], machine: Machine) -> KernelTime:
    """Time of kernels launched as one, the dearest of their launches. ValueError for a machine without kernels."""
    kernels = _kernels(machine)
    compute = transfer = alone = 0.0
    for kernel in program:
        last = kernel.written_bytes if kernels.stores == "serial" and isinstance(kernel, MatmulKernel) else 0
        beside = kernel.dram_bytes - last
        busy, moving, after = compute_us(kernel, machine), transfer_us(beside, machine), transfer_us(last, machine)
        compute, transfer = compute + busy, transfer + moving + after
        alone += max(busy, moving) + min(busy, moving) / max(1.0, beside / (kernels.overlap_kib * 1024 / 2)) + after
    launch = max(launch_us(kernel, kernels) for kernel in program)
    bound: Bound = "compute" if compute > transfer else "dram"
    return KernelTime(launch + alone, "latency" if launch > alone else bound)


def compute_us(kernel: Kernel, machine: Machine) -> float:
    """Time of the cores by themselves."""
    kernels, lanes = _kernels(machine), machine.vector_unit.lanes
    period_us = machine.period_fs * US_PER_FS
    if isinstance(kernel, VectorKernel):
        return kernel.elements * kernel.passes / (kernels.cores * lanes) * period_us
    macs = kernel.batch * kernel.rows * kernel.reduction * kernel.columns
    on_lanes = macs / (kernels.cores * min(lanes, machine.array.macs_per_cycle))
    on_arrays = array_cycles(kernel, machine) / kernels.peak_efficiency
    return min(on_lanes, on_arrays) * period_us


def array_cycles(kernel: MatmulKernel, machine: Machine) -> int:
    """Cycles of all waves of output tiles, arrays at their peak."""
    kernels, array = _kernels(machine), machine.array
    rows, columns = min(kernels.tile_rows, kernel.rows), min(kernels.tile_cols, kernel.columns)
    tiles = kernel.batch * -(-kernel.rows // rows) * -(-kernel.columns // columns)
    waves = -(-tiles // kernels.cores)
    if isinstance(array, AdderTree):
        return waves * -(-rows // array.po) * -(-columns // array.pco) * -(-kernel.reduction // array.pci)
    if isinstance(array, Systolic) and array.dataflow == "weight_stationary":
        # The next weights come in, a row a cycle, behind the rows that stream.
        folds = -(-kernel.reduction // array.rows) * -(-columns // array.cols)
        return waves * folds * max(rows, array.rows)
    raise ValueError(f"{machine.name}: kernels run on adder trees or weight-stationary systolic arrays")


def transfer_us(dram_bytes: int, machine: Machine) -> float:
    """Time of so many bytes across the DRAM's pins."""
    return dram_bytes * float(machine.dram.fs_per_byte) * US_PER_FS


def launch_us(kernel: Kernel, kernels: Kernels) -> float:
    """Fixed cost of launching a kernel."""
    if isinstance(kernel, MatmulKernel):
        return kernels.launch.matmul_us
    by_function = {"softmax": kernels.launch.softmax_us, "normalize": kernels.launch.normalize_us}
    return by_function.get(kernel.function, kernels.launch.elementwise_us)


def _kernels(machine: Machine) -> Kernels:
    if machine.kernels is None:
        raise ValueError(f"{machine.name} runs no kernels: its spec says nothing of them")
    return machine.kernels
