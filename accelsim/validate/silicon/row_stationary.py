"""A conv in processing passes of a row-stationary grid, under a mapping that is given.

Words of Eyeriss (JSSC 2017, Section IV and Table III): a set of R x e PEs computes e rows of one output plane; a PE
keeps p filters' and q channels' rows of weights; r sets take other channels, t sets other filters. One pass is n
images, p t filters, q r channels and e rows, and takes

    load of its weights, then max(compute, inputs in, psums in, psums out), each over the bus of its port

    compute = n p q E R cycles: every PE a multiply-accumulate a cycle. Psums of m filters stay in the buffer
    from one pass over channels to the next: read in every one but the first, written in every one.

Inputs cross their bus in every pass; weights are loaded again for other images and rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware.machine import Machine


@dataclass(frozen=True)
class RowStationaryConv:
    """A conv of `groups`: images, channels and filters of one group, square taps and outputs, stride, padded inputs."""

    images: int
    groups: int
    channels: int
    filters: int
    taps: int
    outputs: int
    inputs: int
    stride: int

    @property
    def macs(self) -> int:
        """Of all groups."""
        return self.images * self.groups * self.channels * self.filters * (self.taps * self.outputs) ** 2


@dataclass(frozen=True)
class Passes:
    """The mapping, in the letters of the paper's Table III."""

    m: int
    n: int
    e: int
    p: int
    q: int
    r: int
    t: int

    def active_pes(self, conv: RowStationaryConv) -> int:
        """PEs of all sets."""
        return conv.taps * self.e * self.r * self.t


@dataclass(frozen=True)
class PassCounts:
    """Of a whole conv: core cycles; values that cross the buses; and `filter_reloads`, how often weights come in."""

    cycles: int
    passes: int
    ifmap_values: int
    psum_reads: int
    psum_writes: int
    filter_reloads: int
    ifmap_refetches: int


def count_passes(conv: RowStationaryConv, mapping: Passes, machine: Machine) -> PassCounts:
    """Cycles and traffic. ValueError for a mapping that the grid or its scratchpads cannot hold."""
    _check(conv, mapping, machine)
    images, rows = -(-conv.images // mapping.n), -(-conv.outputs // mapping.e)
    filters = -(-conv.filters // (mapping.p * mapping.t))
    channels = -(-conv.channels // (mapping.q * mapping.r))
    passes = conv.groups * images * rows * filters * channels
    strip = (mapping.e - 1) * conv.stride + conv.taps
    ifmap = mapping.n * mapping.q * mapping.r * strip * conv.inputs
    weights = mapping.p * mapping.t * mapping.q * mapping.r * conv.taps**2
    psums = mapping.n * mapping.p * mapping.t * mapping.e * conv.outputs
    compute = mapping.n * mapping.p * mapping.q * conv.outputs * conv.taps
    word = machine.array.operand_bits
    ports = (machine.ifmap_buffer, ifmap), (machine.psum_buffer, psums)
    streams = max(-(-values * word // buffer.read_bits_per_cycle) for buffer, values in ports)
    out = -(-psums * word // machine.psum_buffer.write_bits_per_cycle)
    load = -(-weights * word // machine.weight_buffer.read_bits_per_cycle)
    kept = conv.groups * images * rows * filters
    return PassCounts(
        cycles=passes * (load + max(compute, streams, out)),
        passes=passes,
        ifmap_values=passes * ifmap,
        psum_reads=(passes - kept) * psums,
        psum_writes=passes * psums,
        filter_reloads=images * rows,
        ifmap_refetches=-(-conv.filters // mapping.m),
    )


def _check(conv: RowStationaryConv, mapping: Passes, machine: Machine) -> None:
    rows_cols = machine.array.macs_per_cycle
    if mapping.active_pes(conv) > rows_cols:
        raise ValueError(f"{mapping.active_pes(conv)} PEs of {rows_cols}")
    words = {"ifmap": mapping.q * conv.taps, "weight": mapping.p * mapping.q * conv.taps, "output": mapping.p}
    for file in machine.registers:
        (operand,) = file.holds
        room = file.capacity_bits // file.word_bits
        if words[operand] > room:
            raise ValueError(f"{words[operand]} words in the {file.name} of {room}")
