"""Combinations that rule one another out among operating points, memory dies, units and chips."""

from __future__ import annotations

from collections.abc import Iterator

from accelsim.spec.clash import Clash, Rule
from accelsim.spec.models import AdderTreeArray, ArchSpec


def _has_a_supply(spec: ArchSpec) -> Iterator[Clash]:
    technology = spec.technology
    if technology.voltage_v is None and not technology.operating_points:
        yield Clash(("technology", "voltage_v"), "missing", "add voltage_v, or operating_points")


def _points_hold_the_clock(spec: ArchSpec) -> Iterator[Clash]:
    points, clock = spec.technology.operating_points, spec.technology.clock_mhz
    if not points or spec.technology.voltage_v is not None:
        return
    path = ("technology", "operating_points")
    clocks = [point.clock_mhz for point in points]
    if len(points) < 2 or sorted(set(clocks)) != clocks:
        yield Clash(path, f"clocks of {clocks} MHz", "give two points or more, in ascending order of the clock")
    elif not clocks[0] <= clock <= clocks[-1]:
        found = f"{clock:g} MHz is outside the operating points"
        yield Clash(("technology", "clock_mhz"), found, f"use {clocks[0]:g} to {clocks[-1]:g} MHz")


def _dies_fill_tiers(spec: ArchSpec) -> Iterator[Clash]:
    stack = spec.reram_stack
    if stack is not None and stack.dies % stack.tiers:
        found = f"{stack.dies} dies are not the same number on each of {stack.tiers} tiers"
        yield Clash(("reram_stack", "tiers"), found, "use a divisor of dies")


def _dies_hold_words(spec: ArchSpec) -> Iterator[Clash]:
    stack = spec.reram_stack
    if stack is None:
        return
    bits = stack.die_capacity_kib * 8192
    if bits % (stack.banks_per_die * stack.read_bits_per_cycle):
        found = f"{bits:g} bits are no whole words of {stack.read_bits_per_cycle} bits in {stack.banks_per_die} banks"
        yield Clash(("reram_stack", "die_capacity_kib"), found, "take whole words for each bank")


def _bumps_carry_the_ports(spec: ArchSpec) -> Iterator[Clash]:
    stack = spec.reram_stack
    if stack is not None and stack.bumps < stack.dies * stack.read_bits_per_cycle:
        width = stack.dies * stack.read_bits_per_cycle
        yield Clash(("reram_stack", "bumps"), f"{stack.bumps} bumps for ports of {width} bits", f"at least {width}")


def _placement_has_a_store(spec: ArchSpec) -> Iterator[Clash]:
    placed = [index for index, rule in enumerate(spec.placement) if rule.store == "reram"]
    if placed and spec.reram_stack is None:
        path = ("placement", placed[0], "store")
        yield Clash(path, "reram, and the spec has no reram_stack", "add reram_stack, or use dram")
    if placed and _is_searched(spec):
        fix = "use mapping.tiles: placed and a fixed dataflow, or place all weights in dram"
        yield Clash(("placement", placed[0], "store"), "a search of mappings knows no store but the DRAM", fix)


def _is_searched(spec: ArchSpec) -> bool:
    return spec.mapping.tiles == "searched" or spec.array.dataflow == "search"


def _fusion_suits_the_array(spec: ArchSpec) -> Iterator[Clash]:
    decoder = spec.codebook_decoder
    if decoder is None:
        return
    path = ("codebook_decoder", "tile_fusion")
    if decoder.tile_fusion == "none":
        if decoder.fused_share is not None:
            found = "has no effect without tile_fusion"
            yield Clash(("codebook_decoder", "fused_share"), found, "write tile_fusion: pairs, or remove fused_share")
    elif not isinstance(spec.array, AdderTreeArray):
        yield Clash(path, f"pairs on a {spec.array.kind}", "use an adder_tree, or tile_fusion: none")
    elif _is_searched(spec):
        yield Clash(path, "a search of mappings does not know fused tiles", "use tile_fusion: none, or do not search")


def _passes_suit_the_array(spec: ArchSpec) -> Iterator[Clash]:
    if isinstance(spec.array, AdderTreeArray) and spec.array.wide_operands == "passes" and _is_searched(spec):
        fix = "use refuse, or do not search"
        yield Clash(("array", "wide_operands"), "a search of mappings does not know passes", fix)


def _transform_is_a_power_of_two(spec: ArchSpec) -> Iterator[Clash]:
    unit = spec.rotation_unit
    if unit is not None and unit.points & (unit.points - 1):
        below = 1 << (unit.points.bit_length() - 1)
        found = f"{unit.points} is not a power of two"
        yield Clash(("rotation_unit", "points"), found, f"write {below} or {2 * below}")


def _chips_are_linked(spec: ArchSpec) -> Iterator[Clash]:
    if spec.system is not None and spec.system.chips > 1 and spec.system.link is None:
        yield Clash(("system", "link"), f"missing between {spec.system.chips} chips", "add link")


def _chips_run_ops_one_by_one(spec: ArchSpec) -> Iterator[Clash]:
    if spec.system is not None and spec.system.chips > 1 and spec.mapping.fusion != "none":
        yield Clash(("mapping", "fusion"), "ops are not fused over several chips", "write none, or system.chips: 1")


STACK_RULES: tuple[Rule, ...] = (
    Rule(("technology",), _has_a_supply),
    Rule(("technology",), _points_hold_the_clock),
    Rule(("reram_stack",), _dies_fill_tiers),
    Rule(("reram_stack",), _dies_hold_words),
    Rule(("reram_stack",), _bumps_carry_the_ports),
    Rule(("placement", "reram_stack", "array", "mapping"), _placement_has_a_store),
    Rule(("codebook_decoder", "array", "mapping"), _fusion_suits_the_array),
    Rule(("array", "mapping"), _passes_suit_the_array),
    Rule(("rotation_unit",), _transform_is_a_power_of_two),
    Rule(("system",), _chips_are_linked),
    Rule(("system", "mapping"), _chips_run_ops_one_by_one),
)
