"""ZigZag's best mappings beside ours, on one accelerator (`equal_tree`).

First its own mappings, loop for loop, through our counts: values moved per memory and operand, energy,
cycles. Then our best mapping beside its best, both counted by us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.closed_form import closed_form
from accelsim.mapping.nest import Mapping
from accelsim.mapping.placement import Infeasible, buffer_of
from accelsim.mapping.problem import OPERANDS, OperandName, Problem
from accelsim.mapping.search.result import Objective
from accelsim.mapping.search.search import search
from accelsim.validate.equal_tree import (
    DRAM_PJ_PER_BIT,
    INPUT_BITS,
    LANES,
    OUTPUT_BITS,
    READ_PJ_PER_BIT,
    WRITE_PJ_PER_BIT,
    arch_spec,
)
from accelsim.validate.explicit import Cost, cost_of
from accelsim.validate.recording import Record, Recording
from accelsim.validate.row import Row
from accelsim.validate.zigzag_nest import NAMES, nest_of, problem_of

OPERAND_ROWS: dict[OperandName, tuple[str, ...]] = {
    "ifmap": ("ifmap",),
    "weight": ("weight",),
    "output": ("psum", "ofmap"),
}
SRAM_WAYS = {"read": ("rd_out_to_low", "rd_out_to_high"), "write": ("wr_in_by_high", "wr_in_by_low")}
DRAM_WAYS = {"read": ("rd_out_to_low",), "write": ("wr_in_by_low",)}
"""Its directions of each action of a memory."""
SEARCH_TOLERANCE = 2e-3
SUM_PCT = 1e-9
"""Room for adding the same energies in another order."""
FIRST_VISITS = "ZigZag charges reads of psums for an output's first visit too, which finds none"
RAGGED = "ZigZag charges parts of words at ragged edges; ours end in whole ones"
CLOSED = "our search takes the least closed-form time; the engine's, shown here, also waits for whole tiles"
OVERLAP = "ZigZag lets a transfer overlap the work on the tile it brings; our array waits for whole tiles"


def rows(recording: Recording) -> Iterator[Row]:
    """Every number of the recording beside ours."""
    machine = build_machine(arch_spec())
    theirs: dict[tuple[str, str], Cost] = {}
    for record in recording.rows:
        problem = problem_of(str(record["layer"]))
        counted = cost_of(problem, nest_of(record, problem, machine), machine)
        theirs[str(record["layer"]), str(record["objective"])] = counted
        yield from _value_rows(record, counted, machine)
        yield from _energy_rows(record, problem, counted)
        array = float(record["array_cycles"])
        yield Row("zigzag", _case(record), "array cycles", "cycles", array, counted.timing.compute_cycles, 0.0)
        yield Row("zigzag", _case(record), "cycles", "cycles", float(record["cycles"]), counted.cycles, None, OVERLAP)
    for layer in dict.fromkeys(str(record["layer"]) for record in recording.rows):
        yield from _best_rows(layer, theirs[layer, "energy"], theirs[layer, "latency"], machine)
        nests = [nest_of(record, problem_of(layer), machine) for record in recording.rows if record["layer"] == layer]
        yield _best_time_row(layer, nests, machine)


def _case(record: Record) -> str:
    return f"{record['layer']}, {record['objective']}"


def _value_rows(record: Record, ours: Cost, machine: Machine) -> Iterator[Row]:
    for operand in OPERANDS:
        buffer = buffer_of(machine, operand).name
        for memory, block, ways in (("sram", buffer, SRAM_WAYS), ("dram", "dram", DRAM_WAYS)):
            for action in ways:
                theirs = _moved(record, operand, memory, action)
                mine = ours.values(block, OPERAND_ROWS[operand], action)
                if theirs or mine:
                    what = f"{operand} {memory} {action}s"
                    yield Row("zigzag", _case(record), what, "values", theirs, mine, 0.0)


def _moved(record: Record, operand: OperandName, memory: str, action: str) -> int:
    ways = (SRAM_WAYS if memory == "sram" else DRAM_WAYS)[action]
    return sum(int(record.get(f"{NAMES[operand]}_{memory}_{way}", 0)) for way in ways)


def _energy_rows(record: Record, problem: Problem, ours: Cost) -> Iterator[Row]:
    """ZigZag's printed energy, and the energy of the values it says it moves."""
    ragged = any(problem.extent(dim) % LANES for dim in (problem.reduction[-1], problem.column))
    tolerance, note = (None, RAGGED) if ragged else (SUM_PCT, "")
    yield Row("zigzag", _case(record), "energy of its values", "pJ", _energy(record), ours.energy_pj, tolerance, note)
    printed = float(record["energy_pj"])
    yield Row("zigzag", _case(record), "energy", "pJ", printed, ours.energy_pj, None, FIRST_VISITS)


def _energy(record: Record) -> float:
    """MACs, and each value moved at its width and the memory's energy per bit."""
    energy = float(record["mac_pj"])
    for operand in OPERANDS:
        bits = OUTPUT_BITS if operand == "output" else INPUT_BITS
        for action, sram_pj in (("read", READ_PJ_PER_BIT[operand]), ("write", WRITE_PJ_PER_BIT[operand])):
            energy += bits * sram_pj * _moved(record, operand, "sram", action)
            energy += bits * DRAM_PJ_PER_BIT * _moved(record, operand, "dram", action)
    return energy


def _best_rows(layer: str, least_energy: Cost, least_cycles: Cost, machine: Machine) -> Iterator[Row]:
    """Our search's best beside their best, both counted by us. Ours keeps two slots for an input of several tiles."""
    problem = problem_of(layer)
    free = replace(machine, array=replace(machine.array, dataflow="search"))
    kinds: tuple[tuple[str, str, Objective, Callable[[Cost], float]], ...] = (
        ("best energy", "pJ", "energy", lambda cost: cost.energy_pj),
        ("best cycles", "cycles", "latency", lambda cost: cost.cycles),
    )
    for what, unit, objective, value in kinds:
        theirs = min(value(least_energy), value(least_cycles))
        found = search(problem, free, objective, tolerance=SEARCH_TOLERANCE)
        if isinstance(found, Infeasible):
            raise ValueError(f"{layer}: nothing fits {found.resource}")
        ours = value(cost_of(problem, found.mapping, free))
        # What the search makes least is energy by exact counts, and time by the closed form.
        claimed = objective == "energy"
        note = "" if claimed else CLOSED
        yield Row("zigzag", layer, what, unit, theirs, ours, 0.0 if claimed else None, note, one_sided=True)


def _best_time_row(layer: str, nests: Sequence[Mapping], machine: Machine) -> Row:
    """The time that the search makes least: the closed form's, of our best and of its nests."""
    problem = problem_of(layer)
    free = replace(machine, array=replace(machine.array, dataflow="search"))
    found = search(problem, free, "latency", tolerance=SEARCH_TOLERANCE)
    if isinstance(found, Infeasible):
        raise ValueError(f"{layer}: nothing fits {found.resource}")
    theirs = min(closed_form(problem, nest, free).latency_fs for nest in nests)
    return Row("zigzag", layer, "best time by the closed form", "fs", theirs, found.latency_fs, 0.0, one_sided=True)
