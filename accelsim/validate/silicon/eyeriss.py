"""Eyeriss on AlexNet and VGG-16: latency, buffer accesses, chip power and DRAM traffic under the mapping of Table III.

Latency, accesses and DRAM traffic have no constant fitted. Power has two, fitted on CONV1 and CONV3: a factor on what
a PE's multiply-accumulate takes, and what clock, control and leakage take together. A zero input gates the multiplier
and the read of its weight (`array.zero_gating`). Buffer accesses are inputs and psums on their buses, inputs written
once as they come from DRAM, and finished outputs read. DRAM traffic is compressed as `dram.run_length` says; zeros of
an output are assumed to be those of the next layer's input. Roofline: MACs / active PEs; beside power, the straight
line in the share of zeros through the two layers that power is fitted on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.hardware.machine import Machine, build_machine
from accelsim.hardware.pe_grid import PeGrid
from accelsim.spec import load_arch
from accelsim.validate.measured import Constant, Limit, MeasuredRun, Measurement
from accelsim.validate.silicon import tables
from accelsim.validate.silicon.row_stationary import PassCounts, Passes, RowStationaryConv, count_passes
from accelsim.validate.silicon.tables import Line

FITTED = ("CONV1", "CONV3")
VALUE_BYTES = 2
MB = 1e6
VGG: dict[str, Passes] = {
    "CONV1-1": Passes(m=64, n=1, e=13, p=16, q=1, r=1, t=4),
    "CONV3-1": Passes(m=32, n=1, e=13, p=16, q=4, r=1, t=4),
}
"""Not published: ours, of Table III's kind (four sets of 3 x 13, as the active PEs say)."""


@dataclass(frozen=True)
class Layer:
    """A measured layer, its counts, and the share of its inputs, and of the next one's, that are zero."""

    name: str
    measured: Line
    conv: RowStationaryConv
    mapping: Passes
    counts: PassCounts
    zeros: float
    zeros_out: float

    @property
    def inputs(self) -> int:
        """Values of the padded inputs."""
        return self.conv.images * self.conv.groups * self.conv.channels * self.conv.inputs**2

    @property
    def outputs(self) -> int:
        return self.conv.images * self.conv.groups * self.conv.filters * self.conv.outputs**2


def measurement() -> Measurement:
    """All runs."""
    machine = build_machine(load_arch("validation/eyeriss"))
    alexnet = _layers(machine, "AlexNet", {row["layer"]: _mapping(row) for row in tables.lines("eyeriss_mapping")})
    vgg = _layers(machine, "VGG-16", VGG)
    power = fitted_power(alexnet, machine)
    runs = [run for layer in alexnet for run in _runs(layer, "AlexNet", machine, power)]
    runs += [run for layer in vgg for run in _runs(layer, OURS, machine, power)]
    constants = (
        Constant("energy of a PE's MAC", power.scale, "of ours", " and ".join(FITTED)),
        Constant("clock, control and leakage", power.clock_mw, "mW", " and ".join(FITTED)),
    )
    return Measurement(tuple(runs), constants, LIMITS, (CAUTION,))


CAUTION = (
    "CONV3's buffer accesses are 1.4 times the measured ones under Table III's own numbers, which give those of CONV4 "
    "and CONV5 closely; why is not known. Zeros of the last layer's outputs are taken as half. Beside power stands the "
    "straight line in the share of zeros through the same two layers: the model does no better, for clock, control and "
    "leakage, which are fitted, are more than half of it."
)

OURS = "VGG-16, mapping ours"
LIMITS = (
    Limit("AlexNet", "latency", 5.2, None, 12.0),
    Limit("AlexNet", "active PEs", 0.0),
    Limit("AlexNet", "buffer accesses", 10.5, None, 15.0),
    Limit("AlexNet", "power", 8.5, None, 20.0),
    Limit("AlexNet", "DRAM traffic", 7.1),
    Limit(OURS, "latency", 21.5),
    Limit(OURS, "active PEs", 0.0),
    Limit(OURS, "buffer accesses", 23.5),
    Limit(OURS, "power", 10.6),
    Limit(OURS, "DRAM traffic", 25.0),
)


def mac_pj(machine: Machine, zeros: float) -> float:
    """Energy of a PE for one MAC by our tables, multiplier and weight gated for the share of zero inputs."""
    files = {file.holds[0]: file.actions for file in machine.registers}
    gated = machine.array.actions["mac"].energy_pj.value + files["weight"]["read"].energy_pj.value
    psum = sum(files["output"][action].energy_pj.value for action in ("read", "write"))
    working = 1 - zeros if isinstance(machine.array, PeGrid) and machine.array.zero_gating else 1.0
    return gated * working + files["ifmap"]["read"].energy_pj.value + psum


def buffer_mj(layer: Layer, machine: Machine) -> float:
    """Energy of the global buffer, 64-bit words: inputs in and out, psums out and in, finished outputs out."""
    counts, words = layer.counts, machine.array.operand_bits / 64
    moved = (
        (machine.ifmap_buffer, "write", layer.inputs), (machine.ifmap_buffer, "read", counts.ifmap_values),
        (machine.psum_buffer, "write", counts.psum_writes),
        (machine.psum_buffer, "read", counts.psum_reads + layer.outputs),
    )  # fmt: skip
    return sum(values * buffer.actions[action].energy_pj.value for buffer, action, values in moved) * words / 1e9


@dataclass(frozen=True)
class FittedPower:
    """The factor on a PE's MAC and the milliwatts of the clock that meet both fitted layers; and the line through
    their measured power, mW, in the share of zeros."""

    scale: float
    clock_mw: float
    line: tuple[float, float]

    def on_line(self, zeros: float) -> float:
        """Power by the line alone, mW."""
        return self.line[0] + self.line[1] * zeros


def fitted_power(layers: Sequence[Layer], machine: Machine) -> FittedPower:
    """What both layers of `FITTED` give."""
    rows, wanted, measured = [], [], []
    for layer in layers:
        if layer.name in FITTED:
            ms = float(layer.measured["processing_latency_ms"])
            rows.append([layer.conv.macs * mac_pj(machine, layer.zeros) / 1e6 / ms, 1.0])
            measured.append((layer.zeros, float(layer.measured["power_mW"])))
            wanted.append(float(layer.measured["power_mW"]) - 1e3 * buffer_mj(layer, machine) / ms)
    scale, clock_mw = np.linalg.solve(np.array(rows), np.array(wanted))
    (zeros, low), (more, high) = measured
    slope = (high - low) / (more - zeros)
    return FittedPower(float(scale), float(clock_mw), (low - slope * zeros, slope))


def _layers(machine: Machine, network: str, mappings: dict[str, Passes]) -> list[Layer]:
    rows = [row for row in tables.lines("eyeriss_layers") if row["network"] == network and row["layer"] in mappings]
    zeros = [float(row["zeros_in_ifmaps_pct"]) / 100 for row in rows]
    layers = []
    for row, zero, after in zip(rows, zeros, (*zeros[1:], 0.5), strict=True):
        groups = int(row["groups"])
        conv = RowStationaryConv(
            int(row["batch_N"]), groups, int(row["in_ch_per_group"]), int(row["out_ch_M"]) // groups,
            int(row["filter_R"]), int(row["ofmap_E"]), int(row["ifmap_H_padded"]), int(row["stride"]),
        )  # fmt: skip
        mapping = mappings[row["layer"]]
        counts = count_passes(conv, mapping, machine)
        layers.append(Layer(row["layer"], row, conv, mapping, counts, zero, after))
    return layers


def _mapping(row: Line) -> Passes:
    return Passes(*(int(row[letter]) for letter in "mnepqrt"))


def _runs(layer: Layer, subset: str, machine: Machine, power: FittedPower) -> Iterator[MeasuredRun]:
    counts, conv = layer.counts, layer.conv
    ms = counts.cycles * machine.period_fs / 1e12
    pes = layer.mapping.active_pes(conv)
    roofline = conv.macs / pes * machine.period_fs / 1e12
    fitted = layer.name in FITTED and subset == "AlexNet"
    accesses = layer.inputs + counts.ifmap_values + counts.psum_reads + counts.psum_writes + layer.outputs
    dynamic_mj = power.scale * conv.macs * mac_pj(machine, layer.zeros) / 1e9 + buffer_mj(layer, machine)
    power_mw = 1e3 * dynamic_mj / ms + power.clock_mw
    for quantity, unit, column, ours, line in (
        ("latency", "ms", "processing_latency_ms", ms, roofline),
        ("active PEs", "PEs", "active_PEs", float(pes), None),
        ("buffer accesses", "MB", "gbuf_access_MB", accesses * VALUE_BYTES / MB, None),
        ("power", "mW", "power_mW", power_mw, power.on_line(layer.zeros)),
        ("DRAM traffic", "MB", "dram_access_MB", _dram_mb(layer, machine), None),
    ):
        measured = float(layer.measured[column])
        yield MeasuredRun(
            subset, layer.name, quantity, unit, measured, ours, line, "compute" if quantity == "latency" else "",
            fitted and quantity == "power",
        )  # fmt: skip


def _dram_mb(layer: Layer, machine: Machine) -> float:
    """Weights for every reload, inputs as often as the buffer's filters change, outputs once; maps compressed."""
    conv, counts = layer.conv, layer.counts
    weights = conv.groups * conv.filters * conv.channels * conv.taps**2 * counts.filter_reloads
    inputs = layer.inputs * counts.ifmap_refetches
    bits, code = machine.array.operand_bits, machine.dram.run_length
    widths = [bits if code is None else float(code.width(bits, zeros)) for zeros in (layer.zeros, layer.zeros_out)]
    return (weights * bits + inputs * widths[0] + layer.outputs * widths[1]) / 8 / MB
