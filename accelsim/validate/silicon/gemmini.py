"""Gemmini's RTL in FireSim: single layers under explicit mappings, whole networks, and CNN layers of MoCA.

    explicit mappings  DOSA's loops on arrays of 4 to 64, memories oversized; three constants fitted on every tenth
                       16 x 16 row (`gemmini_fit`), all other rows and sizes predicted
    networks           DOSA's loops, and the tiles of Gemmini's own software, in 256 + 64 KiB
    MoCA               tiles by `command_tiles`, padding skipped as the machine does

Rooflines: max(MACs / PEs, DRAM bytes of the loops / 8) for mappings, MACs / PEs for networks,
max(MACs / PEs, weights / 16) for MoCA.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from accelsim.hardware.machine import Machine, build_machine
from accelsim.hardware.sram import OperandName
from accelsim.mapping import command_tiles
from accelsim.mapping.commands import DIMS, Commands, Dim, time_commands
from accelsim.spec import load_arch
from accelsim.validate.measured import Constant, Limit, MeasuredRun, Measurement
from accelsim.validate.silicon import tables
from accelsim.validate.silicon.gemmini_fit import EVERY
from accelsim.validate.silicon.gemmini_text import conv_commands, matmul_commands
from accelsim.validate.silicon.tables import Line

SIZES = (4, 8, 16, 32, 64)
GIVEN, OWN, MOCA = "networks, given mapping", "networks, own tiles", "MoCA CNN layers"
BEST = "networks, our tiles"
"""Predicted for the tiles that our model finds; measured is what Gemmini's own software took."""
EVEN_KERNEL = "kernels of 2 or 6: rows of inputs cost up to 20 times more than those of other layers; cause unknown"
WIDE_STRIDE = "rows of a tile in many pages: address translation is not modelled"
SHORT = "issue of single folds and latency inside a command are not modelled"


def measurement() -> Measurement:
    """All runs."""
    host, dma = machine_of(16).host, machine_of(16).dma
    assert host is not None
    assert dma is not None
    fitted_on = f"every tenth of {len(_rows(16))} rows of explicit mappings, 16 x 16"
    constants = (
        Constant("host.conv_issue_cycles", host.conv_issue_cycles, "cycles", fitted_on),
        Constant("host.matmul_issue_cycles", host.matmul_issue_cycles, "cycles", fitted_on),
        Constant("dma.latency_cycles", dma.latency_cycles, "cycles", fitted_on),
    )
    runs = (*_mapping_runs(), *_network_runs(), *_moca_runs())
    cautions = (
        "Cycles show that the runs took matmul tiles in units of the array's rows for every 16 values asked for, and "
        "ran convs on square images; both are read so. Default-tiler runs drift by 9 % with the state of the caches.",
        f"DOSA's own Timeloop is off by 27.2 % on '{GIVEN}'.",
    )
    return Measurement(runs, constants, LIMITS, cautions)


LIMITS = (
    *(
        Limit(f"{size}x{size} mappings", "cycles", error, rank, target)
        for size, error, rank, target in (
            (4, 25.5, 0.95, 27.6), (8, 24.0, 0.97, 31.1), (16, 21.1, 0.98, 28.2), (32, 22.5, 0.98, 26.4),
            (64, 29.9, 0.97, 32.7),
        )
    ),
    Limit(GIVEN, "cycles", 16.8, None, 26.0),
    Limit(OWN, "cycles", 28.0),
    Limit(BEST, "cycles", 33.9),
    Limit(MOCA, "cycles", 11.2, None, 12.0),
)  # fmt: skip


def machine_of(size: int) -> Machine:
    """Gemmini with size x size PEs."""
    return build_machine(load_arch(f"validation/gemmini_{size}x{size}"))


def fitting_rows() -> tuple[list[Commands], list[float], Machine]:
    """What the constants are fitted on: layers, measured cycles, and the machine."""
    rows = _rows(16)[::EVERY]
    return [_as_run(row) for row in rows], [float(row["rtl_cycles"]) for row in rows], machine_of(16)


def _rows(size: int) -> list[Line]:
    return [row for row in tables.lines("gemmini_mappings") if row["pe_dim"] == str(size)]


def _as_run(row: Line) -> Commands:
    if row["op"] == "conv":
        return conv_commands(row["mapping"], int(row["stride"]))
    return matmul_commands(row["mapping"], int(row.get("pe_dim", 16)))


def _mapping_runs() -> Iterator[MeasuredRun]:
    for size in SIZES:
        machine = machine_of(size)
        for at, row in enumerate(_rows(size)):
            layer = _as_run(row)
            time = time_commands(layer, machine)
            measured = float(row["rtl_cycles"])
            yield MeasuredRun(
                f"{size}x{size} mappings", f"{row['id']}: {row['op']} {row['mapping']}", "cycles", "cycles", measured,
                time.cycles, _mapping_roofline(layer, size), time.bound, size == 16 and at % EVERY == 0,
                _cause(row, time.cycles / measured),
            )  # fmt: skip


def _mapping_roofline(layer: Commands, size: int) -> float:
    """max(MACs / PEs, DRAM bytes / 8) of the layer as it ran: inputs and weights as often as the loops change them,
    outputs once."""
    total = layer.values("output", layer.extents)
    reads: tuple[tuple[OperandName, str], ...] = (("ifmap", "ncpqrs"), ("weight", "ckrs"))
    for operand, relevant in reads:
        times = 1
        for dim, trips in reversed(layer.loops):
            if times > 1 or dim in relevant:
                times *= trips
        total += times * layer.values(operand, layer.tile)
    return max(math.prod(layer.extents.values()) / size**2, total / 8)


def _cause(row: Line, ratio: float) -> str:
    """What is likely left out where we are far off."""
    if 0.6 < ratio < 1.6:
        return ""
    if row["R"] in ("2", "6") and ratio < 1:
        return EVEN_KERNEL
    return WIDE_STRIDE if ratio < 1 else SHORT


def _network_runs() -> Iterator[MeasuredRun]:
    machine = build_machine(load_arch("validation/gemmini_256k"))
    searched: dict[tuple[str, ...], Commands] = {}
    for row in tables.lines("gemmini_networks"):
        layer = tuple(row[key] for key in ("op", "C", "K", "N", "P", "Q", "R", "S", "stride"))
        own = _own_tiles(row, machine)
        if layer not in searched:
            searched[layer] = command_tiles.best_commands(own, machine)
        compute = int(row["macs"]) / machine.array.macs_per_cycle
        for subset, column, commands in (
            (GIVEN, "rtl_cycles_given_mapping", _as_run(row)),
            (OWN, "rtl_cycles_gemmini_default_tiler", own),
            (BEST, "rtl_cycles_gemmini_default_tiler", searched[layer]),
        ):
            time = time_commands(commands, machine)
            case = f"{row['network']} {' '.join(layer)}"
            yield MeasuredRun(
                subset, case, "cycles", "cycles", float(row[column]), time.cycles, compute, time.bound
            )  # fmt: skip


def _own_tiles(row: Line, machine: Machine) -> Commands:
    extents: dict[Dim, int] = {dim: int(row[dim.upper()]) for dim in DIMS}
    if row["op"] == "conv":
        return command_tiles.default_commands(extents, int(row["stride"]), machine)
    return command_tiles.matmul_commands(extents["p"], extents["k"], extents["c"], machine)


def _moca_runs() -> Iterator[MeasuredRun]:
    machine = build_machine(load_arch("validation/gemmini_moca"))
    for row in tables.lines("gemmini_moca"):
        time = time_commands(_moca_layer(row, machine), machine)
        macs = float(row["macs_excluding_padding"])
        roofline = max(macs / machine.array.macs_per_cycle, float(row["weight_bytes"]) / 16)
        measured = float(row["rtl_cycles_median_runs2to7"])
        cause = "first layers take 3 channels in another way" if row["in_ch"] in ("3", "3.0") else ""
        case = f"{row['network']} {row['layer']}"
        yield MeasuredRun(MOCA, case, "cycles", "cycles", measured, time.cycles, roofline, time.bound, cause=cause)


def _moca_layer(row: Line, machine: Machine) -> Commands:
    """A layer of one tap runs as a matmul of its pixels, any other as a conv."""
    if not row["kernel"] or int(float(row["kernel"])) == 1:
        rows, columns, reduction = (int(float(row[key])) for key in ("gemm_I", "gemm_J", "gemm_K"))
        return command_tiles.matmul_commands(rows, columns, reduction, machine)
    c, k, out, taps, stride = (int(float(row[key])) for key in ("in_ch", "out_ch", "out_dim", "kernel", "stride"))
    extents: dict[Dim, int] = {"n": 1, "c": c, "k": k, "p": out, "q": out, "r": taps, "s": taps}
    share = float(row["macs_excluding_padding"]) / (c * k * out**2 * taps**2)
    return replace(command_tiles.default_commands(extents, stride, machine), unpadded_share=share)
