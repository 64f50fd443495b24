"""A report as a page for the terminal, 100 columns wide: rich renderables, printed by whoever asks."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from accelsim.report.report import OpRow, PhaseRow, Report, Row, StackUse

ENERGY_UNITS = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1.0, "pJ"))
TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
OPERANDS = ("ifmap", "weight", "kv", "bias", "codebook", "psum", "ofmap", "compute", "leakage")
"""Columns of the energy table, in the order data flows; operands not named here follow."""
TOP_OPS = 10
BITS_PER_MIB = 8 * 2**20
OP_WIDTH = 38
BAR_WIDTH = 20
RULED = box.Box("    \n    \n ── \n    \n ── \n ── \n    \n    \n")
"""Lines under the head and above the sums, nowhere else."""


def render(report: Report, header: Sequence[tuple[str, str]]) -> RenderableType:
    """The whole report under `header` (label and text; the first line is the title)."""
    parts: list[RenderableType] = [_pairs(header), _mac_line(report), Text(), _totals(report)]
    parts += [Text(), _energy_table(report), _block_table(report)]
    parts += [_op_table(report), _bound_table(report), _stall_table(report)]
    if report.weights:
        parts.append(_weight_table(report))
    if report.infeasible:
        parts.append(_infeasible(report))
    if report.unknown_ops:
        rows = [(function, module, f"{count:,}") for function, module, count in report.unknown_ops]
        parts.append(table("Unknown ops, in no number above", ("function", "module", ">times"), rows))
    return Group(*parts)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], sums: int = 0) -> RenderableType:
    """A titled table; a column named `>x` is `x`, aligned right. The last `sums` rows stand apart."""
    grid = Table(box=RULED, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="")
    for number, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        # What a line is about is never cut: the other columns wrap instead.
        grid.add_column(Text(column.removeprefix(">")), justify=justify, no_wrap=number == 0, overflow="fold")
    lines = list(rows)
    for line in lines[: len(lines) - sums]:
        grid.add_row(*map(Text, line))
    if sums:
        grid.add_section()
    for line in lines[len(lines) - sums :]:
        grid.add_row(*map(Text, line))
    return Group(Text(title, style="bold"), grid, Text())


def count_text(value: int) -> str:
    """`11,174,215,680`."""
    return f"{value:,}"


def share_text(part: float, whole: float) -> str:
    """`12.3%`; a trace of something is `<0.1%`, nothing at all `0%`."""
    share = part / whole if whole else 0.0
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{share:.1%}" if share else "0%"


def scaled_text(value: float, units: Sequence[tuple[float, str]]) -> str:
    """A value in the largest unit that keeps it at 1 or more, 4 significant digits: `1.012 mJ`."""
    size, unit = _unit(value, units)
    return f"{significant(value / size)} {unit}"


def significant(value: float, digits: int = 4) -> str:
    """`1,012`, `12.35`, `0.001235`."""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def _unit(value: float, units: Sequence[tuple[float, str]]) -> tuple[float, str]:
    return next((unit for unit in units if value >= unit[0]), units[-1])


def _pairs(pairs: Iterable[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in pairs:
        grid.add_row(Text(label), Text(text))
    return grid


def _mac_line(report: Report) -> Text:
    """The trace's MACs against an independent count, or why there is none."""
    verdict = report.mac_check
    line = Text()
    line.append("MACs: ", style="bold")
    line.append(verdict, style={"equal": "bold green", "differ": "bold red", "not checked": "bold yellow"}[verdict])
    oracle = "none" if report.oracle_macs is None else f"{report.oracle_macs:,}"
    line.append(f"  {report.trace_macs:,} in the trace, {oracle} by the oracle\n      ({report.oracle_method})")
    return line


def _totals(report: Report) -> Table:
    totals = report.totals
    parts = (totals.energy_pj, totals.energy_on_chip_pj, totals.leakage_energy_pj)
    energy = [scaled_text(pj, ENERGY_UNITS) for pj in parts]
    assumed = [share_text(share, 1) for share in (totals.assumed_energy_share, totals.assumed_area_share)]
    of_peak = share_text(totals.macs, totals.cycles * report.peak_macs_per_cycle)
    pairs = [
        ("energy", f"{energy[0]}, of which on chip {energy[1]}, leakage {energy[2]}"),
        ("time", f"{totals.cycles:,} cycles, {scaled_text(totals.latency_s, TIME_UNITS)}{_prefetched(report)}"),
        *(_speeds(report, of_peak) if totals.complete else [("INCOMPLETE", _incomplete(report))]),
        ("area", _area(report)),
        *([("DRAM", _dram(report))] if any(row.level == "dram" for row in report.rows) else []),
        *([("stack", _stack(report.stack))] if report.stack is not None else []),
        ("psums", f"{share_text(totals.psum_energy_share, 1)} of the energy; {_schemes(report)}"),
        ("assumed", f"{assumed[0]} of the energy and {assumed[1]} of the area rest on assumed constants"),
    ]
    return _pairs(pairs)


def _area(report: Report) -> str:
    text = f"{significant(report.totals.area_mm2)} mm2, without DRAM"
    if report.chips > 1:
        text += f"; {report.chips} chips"
    if report.tiers:
        tiers = ", ".join(f"{row.tier} {significant(row.area_mm2)}" for row in report.tiers)
        text += f"; tiers of a chip: {tiers}; its footprint {significant(report.footprint_mm2)} mm2"
    return text


def _stack(use: StackUse) -> str:
    """What the weights take of it, and what putting them there once takes: no part of the sums above."""
    room = f"{use.bits / BITS_PER_MIB:.4g} of {use.capacity_bits / BITS_PER_MIB:.4g} MiB hold weights"
    if not use.bits:
        return room
    written = (
        f"written once in {scaled_text(use.write_s, TIME_UNITS)} with {scaled_text(use.write_energy_pj, ENERGY_UNITS)}"
    )
    worn = "" if use.endurance_writes is None else f"; cells survive {use.endurance_writes:,.0f} writes"
    return f"{room}, {written}{worn}"


def _prefetched(report: Report) -> str:
    saved = sum(op.prefetch_saved_cycles for op in report.ops)
    return f"; {saved:,} more without weight prefetch" if saved else ""


def _dram(report: Report) -> str:
    """What the energy in DRAM went to: `38.66 mJ: activation 0.8%, columns 60.4%, I/O 36.8%, background 2.0%`."""
    words = {"activate": "activation", "io": "I/O", "leakage": "background"}
    parts: dict[str, list[float]] = {name: [] for name in ("activation", "columns", "I/O", "background")}
    for row in report.rows:
        if row.level == "dram":
            parts[words.get(row.action, "columns")].append(row.energy_pj)
    sums = {name: math.fsum(energies) for name, energies in parts.items()}
    whole = math.fsum(sums.values())
    shares = ", ".join(f"{name} {share_text(pj, whole)}" for name, pj in sums.items())
    return f"{scaled_text(whole, ENERGY_UNITS)}: {shares}"


def _speeds(report: Report, of_peak: str) -> list[tuple[str, str]]:
    totals = report.totals
    several = len(report.phases) > 1
    return [
        *(("throughput", _throughput(phase, several)) for phase in report.phases if phase.latency_s),
        ("speed", f"{significant(totals.tops)} TOPS, {of_peak} of the array's peak"),
        ("efficiency", f"{significant(totals.tops_per_w)} TOPS/W at {significant(totals.power_mw)} mW, DRAM included"),
    ]


def _incomplete(report: Report) -> str:
    """Why there is no throughput: some of the work was never done."""
    skipped = share_text(report.totals.skipped_macs, report.trace_macs)
    return f"{len(report.infeasible):,} ops with {skipped} of the MACs do not run here (below); all sums leave them out"


def _schemes(report: Report) -> str:
    """How partial sums are stored, and in how many ops: `int8 gs1 in 85 ops, int8 gs1 inactive in 12`."""
    ops = Counter(op.psum_scheme for op in report.ops if op.psum_scheme)
    text = ", ".join(f"{name} in {count:,} op{'s' * (count > 1)}" for name, count in sorted(ops.items()))
    return f"stored as {text}" if ops else "none stored"


def _throughput(phase: PhaseRow, several: bool) -> str:
    """Inferences per second where a phase is one, tokens per second where it makes them."""
    size = f"{phase.tokens:,} token{'s' * (phase.tokens > 1)} x batch {phase.batch}"
    if phase.kind == "encode":
        text = f"{significant(phase.batch / phase.latency_s)} inferences/s ({size})"
    else:
        text = f"{significant(phase.tokens_per_s)} tokens/s ({size}, context {phase.context:,})"
    name = f"{phase.name}: " if several or phase.name != phase.kind else f"{phase.kind} "
    if several:
        text += f"; {scaled_text(phase.energy_pj, ENERGY_UNITS)} in {scaled_text(phase.latency_s, TIME_UNITS)}"
    return name + text


def operand_of(row: Row) -> str:
    """The operand column of a row: its operand, `leakage`, or `compute` where nothing is moved."""
    if row.action == "leakage":
        return "leakage"
    return "compute" if row.operand in ("", "lut") else row.operand


def energy_by_block(report: Report) -> dict[str, dict[str, float]]:
    """Energy, pJ, by block and by `operand_of`, blocks in the report's order."""
    cells: dict[str, dict[str, list[float]]] = {block.block: defaultdict(list) for block in report.blocks}
    for row in report.rows:
        cells.setdefault(row.block, defaultdict(list))[operand_of(row)].append(row.energy_pj)
    return {block: {name: math.fsum(parts) for name, parts in line.items()} for block, line in cells.items()}


def operands_in(energy: dict[str, dict[str, float]]) -> list[str]:
    """The operands that carry energy, in the order of `OPERANDS`."""
    found = {name for line in energy.values() for name, pj in line.items() if pj > 0}
    return [name for name in OPERANDS if name in found] + sorted(found - set(OPERANDS))


def _energy_table(report: Report) -> RenderableType:
    energy = energy_by_block(report)
    names = operands_in(energy)
    whole = report.totals.energy_pj
    size, unit = _unit(whole, ENERGY_UNITS)

    def cell(pj: float) -> str:
        return "-" if pj == 0 else f"{pj / size:,.2f}" if pj >= 0.005 * size else "<0.01"

    def line(label: str, cells: dict[str, float]) -> tuple[str, ...]:
        total = math.fsum(cells.values())
        return (label, *(cell(cells.get(name, 0.0)) for name in names), cell(total), share_text(total, whole))

    totals = {name: math.fsum(cells.get(name, 0.0) for cells in energy.values()) for name in names}
    rows = [line(block, cells) for block, cells in energy.items()]
    rows.append(line("total", totals))
    rows.append(("share", *(share_text(totals[name], whole) for name in names), share_text(whole, whole), ""))
    columns = ("block", *(f">{name}" for name in names), ">total", ">share")
    return table(f"Energy by block and operand, {unit}", columns, rows, sums=2)


def _block_table(report: Report) -> RenderableType:
    whole = report.totals.area_mm2
    leakage = math.fsum(block.leakage_mw for block in report.blocks)
    rows = []
    for block in report.blocks:
        on_die = block.die != "dram"
        area = (f"{block.area_mm2:.4f}", share_text(block.area_mm2, whole)) if on_die else ("-", "-")
        rest = "background power" if not on_die else "assumed area" if block.area_assumed else ""
        rows.append((block.block, *area, f"{block.leakage_mw:.3f}", share_text(block.leakage_mw, leakage), rest))
    rows.append(("total", f"{whole:.4f}", share_text(whole, whole), f"{leakage:.3f}", share_text(leakage, leakage), ""))
    columns = ("block", ">area mm2", ">share", ">leakage mW", ">share", "")
    return table("Area and leakage by block", columns, rows, sums=1)


@dataclass(frozen=True)
class OpGroup:
    """Ops that differ in nothing but the layer they belong to; `cycles` and `energy_pj` are of all."""

    name: str
    ops: tuple[OpRow, ...]
    cycles: int
    energy_pj: float


def op_groups(report: Report) -> list[OpGroup]:
    """The ops, equal ones of different layers as one group, in order of first appearance."""
    groups: dict[tuple[str, str, int, int, float], list[OpRow]] = defaultdict(list)
    for op in report.ops:
        groups[(op.phase, layerless(op.name), op.macs, op.cycles, op.energy_pj)].append(op)
    return [
        OpGroup(key[1], tuple(ops), sum(op.cycles for op in ops), math.fsum(op.energy_pj for op in ops))
        for key, ops in groups.items()
    ]


def layerless(name: str) -> str:
    """An op's name with its layer numbers blotted out: `encoder.layer.*.output.dense`."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def _op_table(report: Report) -> RenderableType:
    """The ops that matter most: by their share of the energy or of the cycles, whichever is larger."""
    totals = report.totals

    def weight(group: OpGroup) -> float:
        return max(group.energy_pj / (totals.energy_pj or 1), group.cycles / (totals.cycles or 1))

    groups = op_groups(report)
    several = len(report.phases) > 1
    rows = []
    for group in sorted(groups, key=weight, reverse=True)[:TOP_OPS]:
        first = group.ops[0]
        busy = share_text(first.macs, first.cycles * report.peak_macs_per_cycle) if first.macs else "-"
        name = f"{first.phase}: {group.name}" if several else group.name
        shares = (share_text(group.energy_pj, totals.energy_pj), share_text(group.cycles, totals.cycles))
        energy = scaled_text(group.energy_pj, ENERGY_UNITS)
        above = f"{first.energy_pj / first.energy_bound_pj:.2f}x" if first.energy_bound_pj else "-"
        rows.append((_tail(name), f"x{len(group.ops)}", energy, *shares, busy, above, first.bound_by))
    title = f"Largest ops: {len(rows)} of {len(groups)} kinds, equal ones of all layers together"
    return table(title, ("op", ">", ">energy", ">share", ">of cycles", ">of peak", ">of bound", "bound by"), rows)


def _tail(name: str) -> str:
    """The end of a long name: that is where ops differ."""
    return name if len(name) <= OP_WIDTH else "…" + name[-(OP_WIDTH - 1) :]


def _bound_table(report: Report) -> RenderableType:
    cycles: dict[str, int] = defaultdict(int)
    ops: dict[str, int] = defaultdict(int)
    for op in report.ops:
        cycles[op.bound_by] += op.cycles
        ops[op.bound_by] += 1
    whole = report.totals.cycles
    rows = []
    for name in sorted(cycles, key=lambda name: (-cycles[name], name)):
        bar = "█" * round(BAR_WIDTH * cycles[name] / whole) if whole else ""
        rows.append((name, count_text(cycles[name]), share_text(cycles[name], whole), count_text(ops[name]), bar))
    return table("What bound the cycles", ("bound by", ">cycles", ">share", ">ops", ""), rows)


def _stall_table(report: Report) -> RenderableType:
    """Every cycle once: computing, or waiting and what for."""
    cycles = {"computing": sum(op.compute_cycles for op in report.ops)}
    for op in report.ops:
        for reason, waited in op.stalls:
            cycles[reason] = cycles.get(reason, 0) + waited
    whole = report.totals.cycles
    rows = []
    for reason, part in cycles.items():
        bar = "█" * round(BAR_WIDTH * part / whole) if whole else ""
        rows.append((reason, count_text(part), share_text(part, whole), bar))
    return table("What the cycles were spent on", ("computing, or waiting for", ">cycles", ">share", ""), rows)


def _weight_table(report: Report) -> RenderableType:
    """Where weights live, those of all layers together, and the bits by store."""
    kinds: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in report.weights:
        kinds[layerless(row.weight), row.store].append(row.bits)
    stores = {row.store: sum(each.bits for each in report.weights if each.store == row.store) for row in report.weights}
    rows = [
        (_tail(name), f"x{len(bits)}", store, f"{sum(bits) / BITS_PER_MIB:,.2f}")
        for (name, store), bits in kinds.items()
    ]
    rows += [("all", "", store, f"{bits / BITS_PER_MIB:,.2f}") for store, bits in stores.items()]
    return table("Where weights live", ("weight", ">", "store", ">MiB"), rows, sums=len(stores))


def _infeasible(report: Report) -> RenderableType:
    """Ops that did not run, equal ones together: what they need, what there is, and what would help."""
    groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for row in report.infeasible:
        need = f"needs {row.demand:,} {row.unit}, {row.resource} has {row.bound:,} ({row.demand - row.bound:,} short)"
        groups[(layerless(row.op), need, row.lever)].append(row.macs)
    lines = [Text("Ops that cannot run here, in no number above", style="bold")]
    for (name, need, lever), macs in groups.items():
        lines.append(Text(f"  {name} x{len(macs)}, {sum(macs):,} MACs", style="yellow"))
        lines.append(Text(f"    {need}\n    would help: {lever}"))
    return Group(*lines, Text())
