"""What a machine could do at best, as rows of `accelsim explain`."""

from __future__ import annotations

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.machine import Array, Machine
from accelsim.hardware.pe_grid import PeGrid

FS_PER_NS = 1_000_000
PORT_COLUMNS = ("buffer", ">reads", ">array takes", ">writes", ">array gives", "limits")


def peak_rows(machine: Machine) -> list[tuple[str, str, str]]:
    """Compute, memory, and the intensity at which one hides the other."""
    per_byte = machine.dram.fs_per_byte
    bytes_per_cycle = float(machine.period_fs / per_byte)
    macs = machine.peak_macs_per_cycle
    return [
        ("array", f"{macs:,}", "MAC / cycle"),
        ("array", f"{machine.peak_tops:.4g}", "TOPS"),
        ("DRAM after row misses", f"{float(FS_PER_NS / per_byte):.4g}", "GB/s"),
        ("DRAM after row misses", f"{bytes_per_cycle:.4g}", "byte / cycle"),
        ("ridge point", f"{macs / bytes_per_cycle:.4g}", "MAC / DRAM byte, above it the array is the limit"),
        *_stack_rows(machine),
        *((file.name, f"{file.capacity_bits:,}", f"bit in each of {file.pes:,} PEs") for file in machine.registers),
        ("area", f"{machine.total_area_mm2:.4g}", "mm2, without DRAM"),
        ("leakage", f"{sum(machine.leakage_mw.values()):.4g}", "mW, DRAM background included"),
    ]


def _stack_rows(machine: Machine) -> list[tuple[str, str, str]]:
    """Bandwidth and room of a stacked memory, if there is one."""
    stack = machine.reram_stack
    if stack is None:
        return []
    mib = stack.capacity_bits / (8 * 2**20)
    return [(stack.name, f"{stack.peak_gb_per_s:.4g}", "GB/s"), (stack.name, f"{mib:,.4g}", "MiB")]


def port_rows(machine: Machine) -> list[tuple[str, ...]]:
    """Per memory: what its ports give and take in a cycle, and what the busy array asks of them.

    The array asks the innermost memory of each operand. Its side is at native psum width and with no
    operand reused between cycles, so it is the most that can be asked; what stays in the array asks
    for less.
    """
    ifmap, weight, psum_reads, psum_writes = _array_bits(machine.array)
    asked = (
        (machine.ifmap_buffer, ifmap, 0),
        (machine.weight_buffer, weight, 0),
        (machine.psum_buffer, psum_reads, psum_writes),
    )
    rows = []
    for buffer in machine.memories:
        takes = sum(reads for memory, reads, _ in asked if memory is buffer)
        gives = sum(writes for memory, _, writes in asked if memory is buffer)
        short = [
            name
            for name, rate, need in (
                ("read", buffer.read_bits_per_cycle, takes),
                ("write", buffer.write_bits_per_cycle, gives),
            )
            if rate < need
        ]
        verdict = f"{' and '.join(short)} port can stall the array" if short else "none"
        rates = (buffer.read_bits_per_cycle, takes, buffer.write_bits_per_cycle, gives)
        rows.append((buffer.name, *(f"{bits:,}" for bits in rates), verdict))
    return rows


def _array_bits(array: Array) -> tuple[int, int, int, int]:
    """Bits in a cycle: ifmap in, weight in, psum in, psum or ofmap out."""
    out = array.outputs_per_cycle * array.accumulator_bits
    psum = (0, 0) if array.dataflow == "output_stationary" else (out, out)  # ofmaps leave once per reduction
    if isinstance(array, AdderTree):
        ifmap, weight = array.po * array.pci, array.pci * array.pco
    elif isinstance(array, PeGrid):
        ifmap, weight = array.values_per_cycle("ifmap"), array.values_per_cycle("weight")
    elif array.dataflow == "input_stationary":  # the inputs load a row of columns, the weights stream by rows
        ifmap, weight = array.cols, array.rows
    else:
        ifmap, weight = array.rows, array.cols
    return ifmap * array.operand_bits, weight * array.operand_bits, *psum
