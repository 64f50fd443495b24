"""Combinations of values, each fine alone, that no hardware can have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, get_args

from accelsim.spec.clash import Clash, Rule
from accelsim.spec.dram import DramPreset
from accelsim.spec.models import (
    AdderTreeArray,
    ArchSpec,
    Buffer,
    ConvUnroll,
    MappingRules,
    MatmulUnroll,
    PeGridArray,
    RegisterFile,
)
from accelsim.spec.offload_checks import OFFLOAD_RULES
from accelsim.spec.stack_checks import STACK_RULES
from accelsim.spec.words import DataPath
from accelsim.spec.zero_checks import ZERO_RULES

MAX_MULTIPLIERS = 1 << 30
"""Above what a 300 mm wafer (70,686 mm2) holds at 66 um2 each; it also keeps counts far inside 64 bits."""
FO4_PS_PER_NM = 0.36
"""Delay of a fan-out-of-4 inverter, ps per nm of drawn gate length (Ho, Mai, Horowitz, The Future of Wires)."""
BLOCK_NAMES = (
    "array",
    "registers",
    "ifmap_registers",
    "weight_registers",
    "psum_registers",
    "shared_registers",
    "ifmap_buffer",
    "weight_buffer",
    "psum_buffer",
    "psum_engine",
    "lut_unit",
    "vector_unit",
    "dram",
    "reram",
    "bump_field",
    "rotation_unit",
    "codebook_decoder",
    "link",
)
"""What a memory may not be called."""
MIN_PERIOD_FO4 = 4
"""A flip-flop alone takes about three FO4 delays; no clock period leaves less than one more for logic."""


def _dram_has_a_bandwidth(spec: ArchSpec) -> Iterator[Clash]:
    if spec.dram.bandwidth_gb_per_s is None and spec.dram.timing is None:
        fix = "add bandwidth_gb_per_s (10^9 bytes per second), or timing: the preset of a speed grade"
        yield Clash(("dram", "bandwidth_gb_per_s"), "missing", fix)


def _dram_preset_is_of_its_kind(spec: ArchSpec) -> Iterator[Clash]:
    dram = spec.dram
    if dram.timing is not None and dram.timing.split("_")[0] != dram.kind:
        right = [name for name in get_args(DramPreset) if name.startswith(f"{dram.kind}_")]
        fix = f"write kind: {dram.timing.split('_')[0]}" + (f", or timing: {' or '.join(right)}" if right else "")
        yield Clash(("dram", "timing"), f"{dram.timing} is no {dram.kind}", fix)


def _dram_keys_need_a_preset(spec: ArchSpec) -> Iterator[Clash]:
    for key in ("channels", "bytes_between_turnarounds"):
        if getattr(spec.dram, key) is not None and spec.dram.timing is None:
            yield Clash(
                ("dram", key), "there is no dram.timing that it could belong to", f"add timing, or remove {key}"
            )


def _dram_bandwidth_is_given_once(spec: ArchSpec) -> Iterator[Clash]:
    dram = spec.dram
    if dram.timing is not None and None not in (dram.channels, dram.bandwidth_gb_per_s):
        found = f"{dram.channels} channels of {dram.timing} have a bandwidth, and bandwidth_gb_per_s is another"
        yield Clash(("dram", "channels"), found, "remove channels, or write bandwidth_gb_per_s: null")


def _dram_efficiency_is_given_once(spec: ArchSpec) -> Iterator[Clash]:
    if None not in (spec.dram.bytes_between_turnarounds, spec.dram.row_hit_efficiency):
        fix = "remove one of the two, or write it as null"
        yield Clash(("dram", "bytes_between_turnarounds"), "has no effect beside row_hit_efficiency", fix)


def _burst_is_a_power_of_two(spec: ArchSpec) -> Iterator[Clash]:
    burst = spec.dram.burst_bytes
    if burst is not None and burst & (burst - 1):
        below = 1 << (burst.bit_length() - 1)
        yield Clash(("dram", "burst_bytes"), f"{burst} is not a power of two", f"write {below} or {2 * below}")


class OnChip(NamedTuple):
    """A memory or buffer of the spec, where it stands, and the operands it holds."""

    path: DataPath
    buffer: Buffer
    holds: tuple[str, ...]


def _on_chip(spec: ArchSpec) -> Iterator[OnChip]:
    for index, memory in enumerate(spec.memories):
        yield OnChip(("memories", index), memory, memory.holds)
    for name, buffer in spec.buffers:
        if buffer is not None:
            yield OnChip(("buffers", name), buffer, (name.removesuffix("_ofmap"),))


def _every_operand_has_a_memory(spec: ArchSpec) -> Iterator[Clash]:
    held = {operand for memory in _on_chip(spec) for operand in memory.holds}
    homeless = [name for name, _ in spec.buffers if name.removesuffix("_ofmap") not in held]
    if homeless:
        path = ("buffers", *homeless) if len(homeless) == 1 else ("buffers",)
        operands = " or ".join(name.removesuffix("_ofmap") for name in homeless)
        found = f"no memory on chip holds {operands}"
        yield Clash(
            path, found, f"add {', '.join(f'buffers.{name}' for name in homeless)}, or name them in a memory's holds"
        )


def _memory_names_are_free(spec: ArchSpec) -> Iterator[Clash]:
    taken = list(BLOCK_NAMES)
    for index, memory in enumerate(spec.memories):
        if memory.name in taken:
            found = f"{memory.name} is the name of another block"
            yield Clash(("memories", index, "name"), found, f"not one of {', '.join(taken)}")
        taken.append(memory.name)


def _memory_lists_an_operand_once(spec: ArchSpec) -> Iterator[Clash]:
    for index, memory in enumerate(spec.memories):
        once = list(dict.fromkeys(memory.holds))
        if len(once) < len(memory.holds):
            found = f"[{', '.join(memory.holds)}] has duplicates"
            yield Clash(("memories", index, "holds"), found, f"write [{', '.join(once)}]")


def _buffer_holds_a_burst(spec: ArchSpec) -> Iterator[Clash]:
    burst = spec.dram.burst_bytes or 0  # one that is left out is smaller than any buffer
    for path, buffer, _ in _on_chip(spec):
        if buffer.capacity_kib * 1024 < burst:
            found = f"{buffer.capacity_kib:g} KiB cannot hold one DRAM burst of {burst} bytes"
            yield Clash((*path, "capacity_kib"), found, "enlarge it, or lower dram.burst_bytes")


def _capacity_is_whole_words(spec: ArchSpec) -> Iterator[Clash]:
    for path, buffer, _ in _on_chip(spec):
        words = buffer.capacity_kib * 8192 / buffer.word_bits / buffer.banks
        if words != int(words):
            each = f" in each of {buffer.banks} banks" if buffer.banks > 1 else ""
            found = f"{buffer.capacity_kib:g} KiB is {words:.2f} words of {buffer.word_bits} bits{each}"
            nearest = max(1, round(words)) * buffer.banks * buffer.word_bits / 8192
            yield Clash((*path, "capacity_kib"), found, f"take whole words, for example {nearest:.12g} KiB")


def _port_is_narrower_than_its_buffer(spec: ArchSpec) -> Iterator[Clash]:
    for path, buffer, _ in _on_chip(spec):
        for key in ("read_bits_per_cycle", "write_bits_per_cycle"):
            rate, capacity = getattr(buffer, key), int(buffer.capacity_kib * 8192)
            if rate > capacity:
                found = f"{rate} bits per cycle is more than the buffer holds ({capacity} bits)"
                yield Clash((*path, key), found, f"at most {capacity}")


def _word_holds_an_operand(spec: ArchSpec) -> Iterator[Clash]:
    bits = spec.array.operand_bits
    for path, buffer, holds in _on_chip(spec):
        if buffer.word_bits < bits and set(holds) & {"ifmap", "weight"}:
            found = f"a value of array.operand_bits = {bits} bits would straddle words of {buffer.word_bits}"
            yield Clash((*path, "word_bits"), found, f"at least {bits}, or lower array.operand_bits")


def _word_holds_a_psum(spec: ArchSpec) -> Iterator[Clash]:
    bits = spec.array.accumulator_bits
    for path, buffer, holds in _on_chip(spec):
        if buffer.word_bits < bits and "psum" in holds:
            found = f"a partial sum of array.accumulator_bits = {bits} bits would straddle words of {buffer.word_bits}"
            yield Clash((*path, "word_bits"), found, f"at least {bits}, or lower array.accumulator_bits")


def _accumulator_holds_a_product(spec: ArchSpec) -> Iterator[Clash]:
    bits, product = spec.array.accumulator_bits, 2 * spec.array.operand_bits
    if bits < product:
        found = f"{bits} bits cannot hold a product of two {spec.array.operand_bits}-bit operands ({product} bits)"
        yield Clash(("array", "accumulator_bits"), found, f"at least {product}, or lower array.operand_bits")


def _engine_lists_are_ascending(spec: ArchSpec) -> Iterator[Clash]:
    if spec.psum_engine is None:
        return
    for key in ("bits", "group_sizes"):
        values = getattr(spec.psum_engine, key)
        right = sorted(set(values))
        if list(values) != right:
            what = "has duplicates" if len(right) < len(values) else "is not in ascending order"
            yield Clash(("psum_engine", key), f"{list(values)} {what}", f"write {right}")


def _engine_narrows(spec: ArchSpec) -> Iterator[Clash]:
    if spec.psum_engine is None:
        return
    wide = [bits for bits in spec.psum_engine.bits if bits >= spec.array.accumulator_bits]
    if wide:
        found = f"{wide} is not narrower than array.accumulator_bits = {spec.array.accumulator_bits}"
        yield Clash(("psum_engine", "bits"), found, "list only widths below the accumulator's")


def _clock_leaves_time_for_logic(spec: ArchSpec) -> Iterator[Clash]:
    technology = spec.technology
    limit_mhz = 1e6 / (MIN_PERIOD_FO4 * FO4_PS_PER_NM * technology.node_nm)
    if technology.clock_mhz > limit_mhz:
        found = f"{technology.clock_mhz:g} MHz leaves less than {MIN_PERIOD_FO4} gate delays a cycle"
        fix = f"at most {limit_mhz:.0f} MHz at technology.node_nm = {technology.node_nm:g}"
        yield Clash(("technology", "clock_mhz"), found, fix)


def _array_can_be_built(spec: ArchSpec) -> Iterator[Clash]:
    array = spec.array
    sides = (array.po, array.pci, array.pco) if isinstance(array, AdderTreeArray) else (array.rows, array.cols)
    count = 1
    for side in sides:
        count *= side
    if count > MAX_MULTIPLIERS:
        found = f"{' x '.join(map(str, sides))} = {count} multipliers are more than a wafer holds"
        yield Clash(("array",), found, f"at most {MAX_MULTIPLIERS} in all")


def _unrolling_fits(spec: ArchSpec) -> Iterator[Clash]:
    for path, side, pes in _unrolled_sides(spec):
        dims = [unrolled.dim for unrolled in side]
        twice = sorted({dim for dim in dims if dims.count(dim) > 1})
        if twice:
            yield Clash(path, f"{', '.join(twice)} stands here twice", "give each dim one entry a side")
        width = math.prod(unrolled.width or 1 for unrolled in side)
        if width > pes:
            found = f"{' x '.join(str(unrolled.width) for unrolled in side if unrolled.width)} = {width} PEs of {pes}"
            yield Clash(path, found, f"widths that multiply to at most array.{path[-1]} = {pes}")


def _row_stationary_unrolls_rows(spec: ArchSpec) -> Iterator[Clash]:
    if not isinstance(spec.array, PeGridArray) or spec.array.dataflow != "row_stationary":
        return
    for side, dim in (("rows", "r"), ("cols", "p")):
        dims = [unrolled.dim for unrolled in getattr(spec.array.unroll.conv, side)]
        if dim not in dims:
            found = f"row_stationary unrolls {dim} of a conv over the {side}, and here is only {', '.join(dims)}"
            fix = f"add {dim}, or choose another array.dataflow"
            yield Clash(("array", "unroll", "conv", side), found, fix)


def _unrolled_sides(spec: ArchSpec) -> Iterator[tuple[DataPath, tuple[MatmulUnroll | ConvUnroll, ...], int]]:
    array = spec.array
    if isinstance(array, PeGridArray):
        for name, sides in (("matmul", array.unroll.matmul), ("conv", array.unroll.conv)):
            yield ("array", "unroll", name, "rows"), sides.rows, array.rows
            yield ("array", "unroll", name, "cols"), sides.cols, array.cols


def _register_files(spec: ArchSpec) -> Iterator[tuple[DataPath, RegisterFile, tuple[str, ...]]]:
    if isinstance(spec.array, PeGridArray):
        files = spec.array.registers
        path = ("array", "registers")
        for name, own in (("ifmap", files.ifmap), ("weight", files.weight), ("psum", files.psum)):
            if own is not None:
                yield (*path, name), own, (name,)
        if files.shared is not None:
            yield (*path, "shared"), files.shared, files.shared.holds


def _registers_hold_an_operand_once(spec: ArchSpec) -> Iterator[Clash]:
    taken: list[str] = []
    for path, _, holds in _register_files(spec):
        for operand in holds:
            if operand in taken:
                fix = f"leave {operand} out of one of the two" if holds.count(operand) == 1 else "name it once"
                yield Clash((*path, "holds"), f"registers of {operand} stand here for the second time", fix)
            taken.append(operand)


def _registers_are_whole_words(spec: ArchSpec) -> Iterator[Clash]:
    for path, file, _ in _register_files(spec):
        if file.capacity_bits % file.word_bits:
            found = f"{file.capacity_bits} bits are {file.capacity_bits / file.word_bits:.2f} words of {file.word_bits}"
            nearest = max(1, round(file.capacity_bits / file.word_bits)) * file.word_bits
            yield Clash((*path, "capacity_bits"), found, f"take whole words, for example {nearest}")


def _registers_hold_a_value(spec: ArchSpec) -> Iterator[Clash]:
    for path, file, holds in _register_files(spec):
        wide = {name: spec.array.accumulator_bits if name == "psum" else spec.array.operand_bits for name in holds}
        words = sum(-(-bits // file.word_bits) for bits in wide.values())
        if file.capacity_bits < words * file.word_bits:
            each = ", ".join(f"{name} of {bits} bits" for name, bits in wide.items())
            found = f"{file.capacity_bits} bits cannot hold one value of each operand: {each}"
            yield Clash((*path, "capacity_bits"), found, f"at least {words * file.word_bits}")


ON_CHIP = ("memories", "buffers")


def _search_knows_the_array(spec: ArchSpec) -> Iterator[Clash]:
    array = spec.array
    if spec.mapping.tiles == "searched" and array.kind == "pe_grid":
        yield Clash(("mapping", "tiles"), "a pe_grid's mappings are not searched", "use placed")
    fixed = spec.mapping.tiles == "searched" and array.dataflow != "search" and spec.host is None
    if fixed and array.kind != "pe_grid" and array.spatial_reduction == "nested":
        found = f"nested convs are searched in any loop order, and {array.dataflow} asks for some"
        fix = "use flatten_crs or channels_only, or dataflow: search on an adder_tree"
        yield Clash(("array", "spatial_reduction"), found, fix)


def _strided_dma_knows_the_rows(spec: ArchSpec) -> Iterator[Clash]:
    array = spec.array
    if spec.strided_dma is not None and array.kind != "pe_grid" and array.spatial_reduction != "nested":
        found = f"{array.spatial_reduction} convs have no rows and columns of which a strided DMA could move runs"
        yield Clash(("strided_dma",), found, "write array.spatial_reduction: nested, or remove strided_dma")


def _search_keys_need_a_search(spec: ArchSpec) -> Iterator[Clash]:
    searched = spec.mapping.tiles == "searched" or spec.array.dataflow == "search"
    if searched and spec.host is None:
        return
    for key in ("objective", "search_budget", "search_tolerance"):
        if getattr(spec.mapping, key) == MappingRules.model_fields[key].default:
            continue
        if searched:
            yield Clash(("mapping", key), "has no effect: a host's tiles are searched for time", f"remove {key}")
            continue
        fix = "write mapping.tiles: searched" + (" or dataflow: search" if spec.array.kind == "adder_tree" else "")
        yield Clash(("mapping", key), "has no effect: nothing is searched", f"{fix}, or remove {key}")


RULES: tuple[Rule, ...] = (
    Rule(("dram",), _dram_has_a_bandwidth),
    Rule(("dram",), _dram_preset_is_of_its_kind),
    Rule(("dram",), _dram_keys_need_a_preset),
    Rule(("dram",), _dram_bandwidth_is_given_once),
    Rule(("dram",), _dram_efficiency_is_given_once),
    Rule(("dram",), _burst_is_a_power_of_two),
    Rule(ON_CHIP, _every_operand_has_a_memory),
    Rule(("memories",), _memory_names_are_free),
    Rule(("memories",), _memory_lists_an_operand_once),
    Rule((*ON_CHIP, "dram"), _buffer_holds_a_burst),
    Rule(ON_CHIP, _capacity_is_whole_words),
    Rule(ON_CHIP, _port_is_narrower_than_its_buffer),
    Rule((*ON_CHIP, "array"), _word_holds_an_operand),
    Rule((*ON_CHIP, "array"), _word_holds_a_psum),
    Rule(("array",), _accumulator_holds_a_product),
    Rule(("psum_engine",), _engine_lists_are_ascending),
    Rule(("psum_engine", "array"), _engine_narrows),
    Rule(("technology",), _clock_leaves_time_for_logic),
    Rule(("array",), _array_can_be_built),
    Rule(("array", "mapping", "host"), _search_knows_the_array),
    Rule(("array", "mapping", "host"), _search_keys_need_a_search),
    Rule(("strided_dma", "array"), _strided_dma_knows_the_rows),
    Rule(("array",), _unrolling_fits),
    Rule(("array",), _row_stationary_unrolls_rows),
    Rule(("array",), _registers_hold_an_operand_once),
    Rule(("array",), _registers_are_whole_words),
    Rule(("array",), _registers_hold_a_value),
    *STACK_RULES,
    *OFFLOAD_RULES,
    *ZERO_RULES,
)


def clashes(spec: ArchSpec, sections: frozenset[str]) -> list[Clash]:
    """Every clash between values of `sections`; the other sections of `spec` are not read."""
    return [clash for rule in RULES if sections.issuperset(rule.needs) for clash in rule.check(spec)]
