"""What fusing ops saved, and why other ops were not fused, as lines of the terminal report."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from accelsim.report.report import GroupRow
from accelsim.report.terminal import ENERGY_UNITS, layerless, scaled_text, share_text, table

BITS_PER_MIB = 8 * 2**20
NAME_WIDTH = 40


def render_groups(groups: Sequence[GroupRow]) -> RenderableType:
    """Fused groups, equal ones of all layers together, then the candidates that run one by one."""
    parts: list[RenderableType] = []
    fused = _alike([row for row in groups if row.fused])
    if fused:
        columns = ("ops as one", ">", ">DRAM MiB", ">was", ">energy", ">saved", ">of cycles")
        parts.append(table("Fused groups, and what they save against their ops one by one", columns, map(_line, fused)))
    others = _alike([row for row in groups if not row.fused])
    if others:
        parts.append(Text("Ops that could run as one and do not", style="bold"))
    for rows in others:
        first = rows[0]
        short = f"{first.resource} has {first.bound:,} ({first.demand - first.bound:,} short)"
        if first.resource in ("dram", "energy"):
            short = f"one by one {first.bound:,} ({first.demand - first.bound:,} more)"
        parts.append(Text(f"  {layerless(first.name)} x{len(rows)}", style="yellow"))
        needs = f"needs {first.demand:,} {first.unit}, {short}"
        if first.resource == "mapping.fusion":  # not a lack of room: such a machine has no fused groups at all
            needs = first.unit
        parts.append(Text(f"    {needs}\n    would help: {first.lever}"))
    return Group(*parts, *([Text()] if others else []))


def _alike(groups: Sequence[GroupRow]) -> list[list[GroupRow]]:
    """Groups that differ in nothing but the layer they belong to, in order of first appearance."""
    found: dict[tuple[str, str, int, int, str, int], list[GroupRow]] = defaultdict(list)
    for row in groups:
        key = (row.phase, layerless(row.name), row.cycles, row.dram_bits, row.resource, row.demand)
        found[key].append(row)
    return list(found.values())


def _line(rows: Sequence[GroupRow]) -> tuple[str, ...]:
    energy, alone = (
        math.fsum(parts) for parts in zip(*((r.energy_pj, r.unfused_energy_pj) for r in rows), strict=True)
    )
    bits, bits_alone, cycles, cycles_alone = (
        sum(parts)
        for parts in zip(
            *((r.dram_bits, r.unfused_dram_bits, r.cycles, r.unfused_cycles) for r in rows), strict=True
        )
    )  # fmt: skip
    mib = (f"{amount / BITS_PER_MIB:,.2f}" for amount in (bits, bits_alone))
    return (
        _tail(layerless(rows[0].name)), f"x{len(rows)}", *mib,
        scaled_text(energy, ENERGY_UNITS), _saved(energy, alone), _saved(cycles, cycles_alone),
    )  # fmt: skip


def _tail(name: str) -> str:
    """The end of a long name: that is where groups differ."""
    return name if len(name) <= NAME_WIDTH else "…" + name[-(NAME_WIDTH - 1) :]


def _saved(now: float, before: float) -> str:
    return f"-{share_text(before - now, before)}" if now <= before else f"+{share_text(now - before, before)}"
