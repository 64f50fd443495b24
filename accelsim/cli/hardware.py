"""`accelsim area` and `accelsim explain`: what an accelerator is, before any workload runs on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelsim.cli.common import arch_overrides, array_text, check_outputs, set_option, show, technology_text, wrote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from accelsim.hardware.block import Cost
    from accelsim.hardware.dram_interface import Fact
    from accelsim.hardware.machine import Machine
    from accelsim.hardware.reram_stack import ReramStack
    from accelsim.spec.provenance import Value

BITS_PER_KIB = 8192

AREA_EPILOG = """\b
Examples:
  accelsim area apsq_edge_ws
  accelsim area apsq_edge_ws --set arch.array.po=32 --json area.json"""

EXPLAIN_EPILOG = """\b
Examples:
  accelsim explain apsq_edge_ws
  accelsim explain my_chip.yaml --set arch.technology.clock_mhz=800

Confidence, from strong to weak: user (your spec gives it), published, computed (by a tool such as
CACTI), third-party, derived (scaled or fitted), assumed."""


@click.command(epilog=AREA_EPILOG)
@click.argument("arch")
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="F.json", help="Save the table.")
@set_option("arch.array.po=32")
def area(arch: str, json_path: Path | None, overrides: tuple[str, ...]) -> None:
    """Area of ARCH by block, with sources."""
    check_outputs([(json_path, (".json",))], (arch,))
    from rich.text import Text

    from accelsim.hardware.machine import build_machine
    from accelsim.report.files import write_whole
    from accelsim.report.terminal import share_text, table
    from accelsim.spec import load_arch

    spec = load_arch(arch, arch_overrides(overrides))
    machine = build_machine(spec)
    whole = machine.total_area_mm2
    sources = Sources()
    rows: list[tuple[str, ...]] = [
        (block.name, f"{block.area_mm2.value:.4f}", share_text(block.area_mm2.value, whole), block.area_mm2.confidence,
         sources.number(block.area_mm2))
        for block in machine.blocks() if block.die != "dram"
    ]  # fmt: skip
    rows.append(("total", f"{whole:.4f}", share_text(whole, whole), "", ""))
    title = f"Area of {spec.name}: {technology_text(spec)}; {array_text(spec)}"
    columns = ("block", ">mm2", ">share", "confidence", "source")
    assumed = f"{share_text(_assumed_mm2(machine), whole)} of it rests on assumed constants. DRAM dies are not in it."
    show(table(title, columns, rows, sums=1), *_tier_parts(machine), Text(assumed), sources.text())
    if json_path is not None:
        write_whole(json_path, _area_json(spec.name, machine).encode())
        wrote(json_path)


@click.command(epilog=EXPLAIN_EPILOG)
@click.argument("arch")
@set_option("arch.technology.clock_mhz=800")
def explain(arch: str, overrides: tuple[str, ...]) -> None:
    """Values of ARCH with their origin, block constants, peaks."""
    from rich.text import Text

    from accelsim.cli.peaks import PORT_COLUMNS, peak_rows, port_rows
    from accelsim.hardware.machine import build_machine
    from accelsim.report.terminal import table
    from accelsim.spec import load_arch_resolved, resolved_rows

    resolved = load_arch_resolved(arch, arch_overrides(overrides))
    machine = build_machine(resolved.spec)
    leaves = [leaf for leaf in resolved_rows(resolved) if leaf[0] != "description"]  # the one long value
    # The file's name alone: its folder would break the lines of long keys.
    spec_rows = [(key, _value_text(value), origin.rsplit("/", 1)[-1]) for key, value, origin in leaves]
    sources = Sources()
    constants = _constant_rows(machine, sources)
    interface = _fact_rows(machine.dram.facts, sources)
    stack = machine.reram_stack
    columns = ("property", ">value", "unit", "confidence", "source")
    parts: list[RenderableType] = [
        Text(resolved.spec.description),
        table(f"Spec of {resolved.spec.name}", ("key", "value", "origin"), spec_rows),
        Text("A cost that is left out is computed from the technology tables:\n"),
        table("Constants", ("block", "constant", ">value", "unit", "confidence", "source"), constants),
        table(_dram_title(machine), columns, interface),
        *([] if stack is None else [table(_stack_title(stack), columns, _fact_rows(stack.facts, sources))]),
        sources.text(),
        Text(),
        table("Peaks", ("peak", ">value", "unit"), peak_rows(machine)),
        table("Ports, bits per core cycle", PORT_COLUMNS, port_rows(machine)),
        *_tier_parts(machine),
    ]
    show(*parts)


class Sources:
    """Footnotes: each distinct source gets one number, in order of first use."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, cost: Cost) -> str:
        """`[3]`."""
        return f"[{self._numbers.setdefault(cost.source, len(self._numbers) + 1)}]"

    def text(self) -> RenderableType:
        """The numbered list, wrapped."""
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        grid.add_column(justify="right")
        grid.add_column(overflow="fold")
        for source, number in self._numbers.items():
            grid.add_row(Text(f"[{number}]"), Text(source))
        return grid


def _tier_parts(machine: Machine) -> list[RenderableType]:
    """Area by tier and the footprint, where there is more than the logic die; and how many chips there are."""
    from rich.text import Text

    from accelsim.report.terminal import table

    parts: list[RenderableType] = []
    tiers, footprint = machine.tier_areas_mm2, machine.footprint_mm2
    if len(tiers) > 1:
        rows = [(name, f"{area:.4f}") for name, area in tiers.items()]
        rows.append(("footprint, the largest", f"{footprint:.4f}"))
        parts.append(table("Tiers of a chip, from below", ("tier", ">mm2"), rows, sums=1))
    chips = machine.system.chips
    if chips > 1:
        parts.append(Text(f"{chips} chips: {chips * machine.total_area_mm2:.4f} mm2, each as above.\n"))
    return parts


def _dram_title(machine: Machine) -> str:
    """What the DRAM's interface is derived from."""
    timing = machine.dram.timing
    return f"DRAM interface, {machine.dram.kind}" + (f": what the spec leaves out is {timing}'s" if timing else "")


def _stack_title(stack: ReramStack) -> str:
    return f"Stacked memory, {stack.technology}: {stack.dies} dies of {stack.die_capacity_bits // BITS_PER_KIB:,} KiB"


def _fact_rows(facts: Sequence[Fact], sources: Sources) -> list[tuple[str, ...]]:
    return [
        (fact.name, f"{fact.value.value:.4g}", fact.unit, fact.value.confidence, sources.number(fact.value))
        for fact in facts
    ]


def _constant_rows(machine: Machine, sources: Sources) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for block in machine.blocks():
        costs = [(name, action.energy_pj, f"pJ / {action.unit}") for name, action in block.actions.items()]
        if block.die != "dram":
            costs.append(("area", block.area_mm2, "mm2"))
        costs.append(("background" if block.die == "dram" else "leakage", block.leakage_mw, "mW"))
        for row, (name, cost, unit) in enumerate(costs):
            shown = block.name if row == 0 else ""
            rows.append((shown, name, f"{cost.value:.4g}", unit, cost.confidence, sources.number(cost)))
    return rows


def _assumed_mm2(machine: Machine) -> float:
    return sum(block.area_mm2.value for block in machine.blocks() if block.die != "dram" and block.area_mm2.assumed)


def _area_json(name: str, machine: Machine) -> str:
    blocks = [
        {"block": block.name, "area_mm2": block.area_mm2.value, "confidence": block.area_mm2.confidence,
         "source": block.area_mm2.source}
        for block in machine.blocks() if block.die != "dram"
    ]  # fmt: skip
    whole = machine.total_area_mm2
    totals = {"area_mm2": whole, "assumed_area_share": _assumed_mm2(machine) / whole}
    document: dict[str, object] = {"schema_version": 1, "arch": name, "totals": totals, "blocks": blocks}
    if machine.reram_stack is not None:
        document |= {"tiers_mm2": machine.tier_areas_mm2, "footprint_mm2": machine.footprint_mm2}
    if machine.system.chips > 1:
        document["chips"] = machine.system.chips
    return json.dumps(document, indent=1) + "\n"


def _value_text(value: Value) -> str:
    """As YAML would write it."""
    if value is None:
        return "left out"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
