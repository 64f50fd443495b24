"""Register files in a PE grid: counts and demands against a run of every MAC, and small cases counted by hand."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings

from accelsim.functional import run
from accelsim.hardware.machine import Machine, build_machine
from accelsim.hardware.sram import OperandName
from accelsim.mapping.copies import largest_in_pe
from accelsim.mapping.count import tiling
from accelsim.mapping.dataflow import map_fixed
from accelsim.mapping.fit import misfit
from accelsim.mapping.mapping_file import check_mapping
from accelsim.mapping.nest import REGISTERS, Loop, Mapping, Node, Spatial, Store
from accelsim.mapping.nest_text import from_lines, to_lines
from accelsim.mapping.placement import Infeasible
from accelsim.mapping.problem import OPERANDS, Problem, conv_problem, matmul_problem
from accelsim.mapping.registers import register_demands
from accelsim.mapping.traffic import mac_flows
from accelsim.program.mac import mac_program
from accelsim.schemes import PsumScales, PsumScheme
from accelsim.workload.trace import ConvDims, MatmulDims
from tests.reference.cases import arch, drawn, machine_of, problem_of
from tests.reference.integers import direct, tensors
from tests.reference.registers import GridRun

BUFFERS: dict[OperandName, str] = {"ifmap": "ifmap_buffer", "weight": "weight_buffer", "output": "psum_buffer"}
UNROLL = {
    "matmul": {"rows": ({"dim": "n"},), "cols": ({"dim": "k"},)},
    "conv": {"rows": ({"dim": "r"}, {"dim": "k"}), "cols": ({"dim": "p"},)},
}
FILES = {
    "own": {
        "ifmap": {"capacity_bits": 4096, "word_bits": 8},
        "weight": {"capacity_bits": 4096, "word_bits": 16},
        "psum": {"capacity_bits": 4096, "word_bits": 32},
    },
    "shared": {"shared": {"holds": ("ifmap", "weight", "psum"), "capacity_bits": 4096, "word_bits": 16}},
    "inputs shared": {
        "shared": {"holds": ("ifmap", "weight"), "capacity_bits": 4096, "word_bits": 16},
        "psum": {"capacity_bits": 4096, "word_bits": 32},
    },
    "psum only": {"psum": {"capacity_bits": 4096, "word_bits": 16}},
}  # fmt: skip


@cache
def _machine(files: str = "own", dataflow: str = "row_stationary", rows: int = 3, cols: int = 4) -> Machine:
    array = {"kind": "pe_grid", "dataflow": dataflow, "rows": rows, "cols": cols, "unroll": UNROLL}
    return build_machine(arch(array | {"registers": FILES[files], "operand_bits": 16}))


def _with_capacity(machine: Machine, bits: int) -> Machine:
    files = (dataclasses.replace(file, capacity_bits=file.word_bits * bits) for file in machine.registers)
    return dataclasses.replace(machine, registers=tuple(files))


def _nest(rng: random.Random, size: int) -> tuple[Problem, Mapping, Machine]:
    """Loops whose steps are multiples of the ones inside them, memories and registers anywhere among them."""
    problem = problem_of(rng, size, ("nested",))
    machine = _machine(rng.choice(list(FILES)))
    nodes: list[Node] = []
    for dim, extent in problem.extents:
        step, position = rng.randint(1, extent), len(nodes)
        while step < extent and rng.random() < 0.8:
            position = rng.randint(0, position)
            nodes.insert(position, Loop(dim, step))
            step *= rng.randint(2, 3)
    for operand in OPERANDS:
        at = rng.randint(0, len(nodes))
        if machine.register_file(operand) is not None and rng.random() < 0.85:
            nodes.insert(at, Store(operand, REGISTERS))
        nodes.insert(rng.randint(0, at), Store(operand, BUFFERS[operand], rng.random() < 0.5))
    nodes = [*(Store(operand, "dram") for operand in OPERANDS), *nodes]
    return problem, Mapping((*nodes, *(Store(operand, "array") for operand in OPERANDS))), machine


Case = tuple[Problem, Mapping, Machine]


def _flows(problem: Problem, mapping: Mapping, machine: Machine) -> dict[tuple[str, str, str], tuple[int, int]]:
    flows = mac_flows(problem, mapping, machine)
    return {(flow.block, flow.operand, flow.action): (flow.values, flow.bits_moved) for flow in flows}


def _bits(problem: Problem, machine: Machine, operand: OperandName) -> int:
    widths = {"ifmap": problem.ifmap_bits, "weight": problem.weight_bits, "output": machine.array.accumulator_bits}
    return widths[operand]


def _check_accesses(problem: Problem, mapping: Mapping, machine: Machine, ran: GridRun) -> None:
    flows = _flows(problem, mapping, machine)
    for operand, kept in ran.kept.items():
        file = machine.register_file(operand) if kept.in_registers else None
        name = "psum" if operand == "output" else operand
        if file is None:
            assert not any(key[1] == name and key[0].endswith("registers") for key in flows)
            continue
        words = len(range(0, _bits(problem, machine, operand), file.word_bits))
        for action, values in (("write", kept.writes), ("read", kept.reads)):
            assert flows.get((file.name, name, action), (0, 0)) == (values, values * words * file.word_bits)
    for operand in ("ifmap", "weight"):
        assert flows.get((BUFFERS[operand], operand, "read"), (0, 0))[0] == sum(ran.kept[operand].stays)
    output = ran.kept["output"]
    assert flows.get(("array", "psum", "pass"), (0, 0))[0] == output.passes
    array = tiling(problem, "output", mapping.array_loops("output"))
    assert array.again() == sum(output.returns)
    assert array.total() == sum(output.stays)


def _words(values: int, bits: int, word_bits: int) -> int:
    """Words that hold values laid out one after the other, none in parts of two words that it could be whole in."""
    words, room = 0, 0
    for _ in range(values):
        if bits > word_bits:
            words += len(range(0, bits, word_bits))
        elif room < bits:
            words, room = words + 1, word_bits - bits
        else:
            room -= bits
    return words


def test_accesses_of_random_nests_equal_the_run() -> None:
    """1,500 matmuls and convs, operands in registers or not; and the most that one PE holds."""
    seen: Counter[str] = Counter()

    @settings(max_examples=1500, deadline=None, derandomize=True)
    @given(drawn(_nest))
    def check(case: Case) -> None:
        problem, mapping, machine = case
        ran = GridRun(problem, mapping)
        _check_accesses(problem, mapping, machine, ran)
        needed = dict.fromkeys((file.name for file in machine.registers), 0)
        for operand, kept in ran.kept.items():
            file = machine.register_file(operand)
            if kept.in_registers and file is not None:
                bits = _bits(problem, machine, operand)
                needed[file.name] += _words(kept.most_in_pe, bits, file.word_bits) * file.word_bits
                seen[operand] += 1
                seen["several in a PE"] += kept.most_in_pe > 1
                seen["window"] += operand == "ifmap" and problem.conv is not None and kept.most_in_pe > 1
                seen["psums come back"] += operand == "output" and sum(kept.returns) > 0
                seen["passed on"] += operand == "output" and kept.passes > 0
            depth = len(mapping.array_loops(operand))
            assert largest_in_pe(problem, operand, mapping.loops, depth) == kept.most_in_pe
        assert register_demands(problem, mapping, machine) == needed
        for file in machine.registers:
            for capacity in (needed[file.name] - 1, needed[file.name]):
                files = (dataclasses.replace(f, capacity_bits=capacity) if f is file else f for f in machine.registers)
                sized = dataclasses.replace(machine, registers=tuple(files))
                found = misfit(problem, mapping, sized)
                if needed[file.name]:
                    assert (found is not None and found.resource == file.name) == (capacity < needed[file.name])

    check()
    assert min(seen.values()) >= 100, seen


def test_executed_nests_count_the_same() -> None:
    """Outputs exact, and every access of the execution that of the closed form: 500 random nests."""

    @settings(max_examples=500, deadline=None, derandomize=True)
    @given(drawn(lambda rng, size: (*_nest(rng, size), rng)))
    def check(case: tuple[Problem, Mapping, Machine, random.Random]) -> None:
        problem, mapping, machine, rng = case
        problem = dataclasses.replace(problem, psum=PsumScheme(32))
        ifmap, weight, bias = tensors(problem, rng, 3)
        execution = run(problem, mapping, machine, ifmap, weight, bias)
        assert np.array_equal(execution.outputs, direct(problem, ifmap, weight, bias))
        counted = {key: dataclasses.astuple(access) for key, access in execution.accesses.items()}
        flows = mac_flows(problem, mapping, machine)
        assert counted == {
            (f.block, f.operand, f.action): (f.count, f.values, f.bits_useful, f.bits_moved) for f in flows
        }

    check()


def _visits(problem: Problem, mapping: Mapping) -> tuple[int, int]:
    """Most visits of an output to what the array holds of it, and to its memory."""
    nests = (mapping.array_loops("output"), mapping.loops_above("output", "psum_buffer"))
    visits, held = (tiling(problem, "output", loops).most_visits for loops in nests)
    return visits, held


def _grouped(rng: random.Random, size: int) -> tuple[Problem, Mapping, Machine, random.Random]:
    """Psums in groups, preferably in a nest whose memory lets them go unfinished: drawn up to 200 times."""
    for _ in range(200):
        problem, mapping, machine = _nest(rng, size)
        visits, held = _visits(problem, mapping)
        if visits > held > 1:
            break
    return dataclasses.replace(problem, psum=PsumScheme(8, group_size=rng.randint(2, 4))), mapping, machine, rng


def test_executed_groups_of_psums_count_the_same() -> None:
    """Steps of a group are visits of the registers: accesses of the execution, the closed form and the program's
    transfers agree on 400 random nests, many whose groups leave the memory unfinished."""
    seen: Counter[str] = Counter()

    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(drawn(_grouped))
    def check(case: tuple[Problem, Mapping, Machine, random.Random]) -> None:
        problem, mapping, machine, rng = case
        visits, held = _visits(problem, mapping)
        scales = PsumScales(problem.psum, (0,) * (visits if visits > 1 else 0))
        ifmap, weight, bias = tensors(problem, rng, 3)
        execution = run(problem, mapping, machine, ifmap, weight, bias, scales)
        counted = {key: dataclasses.astuple(access) for key, access in execution.accesses.items()}
        flows = {
            (f.block, f.operand, f.action): (f.count, f.values, f.bits_useful, f.bits_moved)
            for f in mac_flows(problem, mapping, machine)
        }
        assert counted == flows
        queues = {queue.name: queue for queue in mac_program(problem, mapping, machine).program.queues}
        read = int(queues["load_psum"].bits.sum()) if "load_psum" in queues else 0
        assert read == flows.get(("dram", "psum", "read"), (0, 0, 0, 0))[2]
        if visits > held > 1:
            seen["in registers" if mapping.store("output", REGISTERS) else "in the array"] += 1

    check()
    assert min(seen["in registers"], seen["in the array"]) >= 30, seen


def _placed(rng: random.Random, size: int) -> tuple[Problem, Machine, str]:
    """A grid that unrolls anything in any dataflow, with registers and buffers of a few words."""
    spec, machine = machine_of(rng, ("pe_grid",))
    files = [dataclasses.replace(file, pes=1) for file in _machine(rng.choice(list(FILES))).registers]
    files = [dataclasses.replace(file, capacity_bits=file.word_bits * rng.randint(4, 24)) for file in files]
    return problem_of(rng, size, ("nested",)), dataclasses.replace(machine, registers=tuple(files)), spec.mapping.spill


def test_placed_registers_fit_and_are_counted_like_the_run() -> None:
    """Any dataflow on any grid: legal, within every PE, counted right, executed with the same counts, replayable."""
    seen: Counter[str] = Counter()

    @settings(max_examples=700, deadline=None, derandomize=True)
    @given(drawn(lambda rng, size: (*_placed(rng, size), rng)))
    def check(case: tuple[Problem, Machine, str, random.Random]) -> None:
        problem, machine, spill, rng = case
        problem = dataclasses.replace(problem, psum=PsumScheme(32))
        mapping = map_fixed(problem, machine, "bypass" if spill == "bypass" else "through")
        seen["infeasible"] += isinstance(mapping, Infeasible)
        if isinstance(mapping, Infeasible):
            assert isinstance(map_fixed(problem, dataclasses.replace(machine, registers=()), "through"), Infeasible)
            return
        assert check_mapping(problem, mapping, machine) is None
        assert from_lines(to_lines(mapping)) == mapping
        ran = GridRun(problem, mapping)
        for operand, kept in ran.kept.items():
            file = machine.register_file(operand)
            if kept.in_registers and file is not None:
                words = _words(kept.most_in_pe, _bits(problem, machine, operand), file.word_bits)
                assert words * file.word_bits <= file.capacity_bits
                seen[f"{operand}, {machine.array.dataflow}"] += 1
        stored = {kept.in_registers for kept in ran.kept.values()}
        if any(stored):
            for operand, kept in ran.kept.items():
                file = machine.register_file(operand) if kept.in_registers else None
                if file is not None:
                    name = "psum" if operand == "output" else operand
                    flows = _flows(problem, mapping, machine)
                    assert flows.get((file.name, name, "read"), (0, 0))[0] == kept.reads
                    assert flows.get((file.name, name, "write"), (0, 0))[0] == kept.writes
        ifmap, weight, bias = tensors(problem, rng, 3)
        execution = run(problem, mapping, machine, ifmap, weight, bias)
        assert np.array_equal(execution.outputs, direct(problem, ifmap, weight, bias))
        counted = {key: (access.values, access.bits_moved) for key, access in execution.accesses.items()}
        assert counted == _flows(problem, mapping, machine)
        program = mac_program(problem, mapping, machine)
        assert program.work.macs == problem.macs

    check()
    assert all(seen[f"{operand}, row_stationary"] >= 30 for operand in OPERANDS), seen
    assert seen["infeasible"] >= 20, seen


def test_ports_see_what_is_counted() -> None:
    """With ports of a word a cycle, the cycles of all instructions together are the words of the closed form:
    some 900 random matmuls, registers above and below the memories of other operands."""
    seen: Counter[str] = Counter()

    @settings(max_examples=1800, deadline=None, derandomize=True)
    @given(drawn(_nest))
    def check(case: Case) -> None:
        problem, mapping, machine = case
        if problem.conv is not None:
            return
        problem = dataclasses.replace(problem, psum=PsumScheme(32))
        cycles = Counter(dict(mac_program(problem, mapping, machine).work.port_cycles))
        counts = {(f.block, f.operand, f.action): f.count for f in mac_flows(problem, mapping, machine)}
        for operand in ("ifmap", "weight"):
            assert cycles[f"{BUFFERS[operand]} read"] == counts[BUFFERS[operand], operand, "read"]
        psum = machine.psum_buffer
        tiles = tiling(problem, "output", mapping.array_loops("output"))
        again = tiles.again(lambda values: psum.accesses(values, 32))
        assert cycles["psum_buffer read"] == again
        assert cycles["psum_buffer write"] == again + counts["psum_buffer", "ofmap", "write"]
        steps = max(len(mapping.loops_above(operand, BUFFERS[operand])) for operand in OPERANDS)
        for operand in OPERANDS:
            seen[operand] += len(mapping.array_loops(operand)) < steps

    check()
    assert min(seen.values()) >= 30, seen


def _conv(c: int = 2, k: int = 2) -> Problem:
    """3 x 3 taps on 6 x 6 inputs of `c` channels, `k` filters: 4 x 4 outputs each; no padding."""
    return conv_problem(ConvDims(1, 1, c, k, 6, 6, 3, 3), 8, 8, 8, PsumScheme(32), "nested")


def _stored(loops: tuple[Loop, ...], depths: dict[OperandName, int]) -> Mapping:
    nodes: list[Node] = [Store(operand, level) for operand in OPERANDS for level in ("dram", BUFFERS[operand])]
    for position in range(len(loops) + 1):
        nodes += [Store(operand, REGISTERS) for operand, depth in depths.items() if depth == position]
        nodes += loops[position : position + 1]
    return Mapping((*nodes, *(Store(operand, "array") for operand in OPERANDS)))


def test_a_register_tile_by_hand() -> None:
    """A kernel row to each of 3 PE rows, an output row to each of 4 columns; 2 channels, then 2 filters, 3 taps
    and 4 pixels inside a PE.

    A channel's input rows are 6 x 6 = 36 values, read once for both filters; each of the 12 PEs takes a
    row of 6 of them. Weights are 2 filters x 3 taps in a PE, 18 for all and the same in all 4 columns.
    Psums are 2 x 4 in a PE and leave once the second channel is done.
    """
    loops = (Loop("c", 1), Loop("k", 1), Loop("s", 1), Loop("q", 1))
    mapping, machine = _stored(loops, {"output": 0, "ifmap": 1, "weight": 1}), _machine()
    problem = _conv()
    flows = {key: values for key, (values, _) in _flows(problem, mapping, machine).items()}
    assert flows["ifmap_buffer", "ifmap", "read"] == 2 * 36
    assert flows["ifmap_registers", "ifmap", "write"] == 2 * 12 * 6
    assert flows["ifmap_registers", "ifmap", "read"] == problem.macs == 2 * 2 * 9 * 16
    assert flows["weight_buffer", "weight", "read"] == 2 * 18
    assert flows["weight_registers", "weight", "write"] == 2 * 18 * 4
    assert flows["weight_registers", "weight", "read"] == problem.macs
    assert flows["psum_registers", "psum", "write"] == flows["psum_registers", "psum", "read"] == problem.macs
    assert ("psum_buffer", "psum", "write") not in flows
    assert flows["psum_buffer", "ofmap", "write"] == 2 * 16
    assert flows["array", "psum", "pass"] == 2 * 16 * (3 - 1)
    assert register_demands(problem, mapping, machine) == {
        "ifmap_registers": 6 * 8, "weight_registers": 48, "psum_registers": 8 * 32,
    }  # fmt: skip


def test_without_registers_for_psums_they_leave_with_every_tap() -> None:
    """The same nest: 2 x 3 visits an output but the last come back, and every visit is passed down 3 PEs."""
    loops = (Loop("c", 1), Loop("k", 1), Loop("s", 1), Loop("q", 1))
    problem, machine = _conv(), _machine()
    flows = _flows(problem, _stored(loops, {"ifmap": 1, "weight": 1}), machine)
    assert flows["psum_buffer", "psum", "write"][0] == 32 * (6 - 1)
    assert flows["array", "psum", "pass"][0] == 32 * 6 * (3 - 1)


def test_a_psum_that_comes_back_is_a_write_and_a_read_more() -> None:
    """Psum registers below the filters: a tile comes back for the second channel, to one PE of each output."""
    loops = (Loop("c", 1), Loop("k", 1), Loop("s", 1), Loop("q", 1))
    problem, machine = _conv(), _machine()
    flows = _flows(problem, _stored(loops, {"output": 2}), machine)
    assert flows["psum_registers", "psum", "write"][0] == problem.macs + 32
    assert flows["psum_registers", "psum", "read"][0] == problem.macs + 32
    assert flows["psum_buffer", "psum", "read"][0] == 32


def test_row_stationary_fills_the_registers() -> None:
    """12 ifmap values of 8 b: with 3 taps, 2 channels of 4 pixels; then both filters, for which psums have room."""
    machine = _with_capacity(_machine(), 12)
    mapping = map_fixed(_conv(), machine, "through")
    assert isinstance(mapping, Mapping)
    flows = {key: values for key, (values, _) in _flows(_conv(), mapping, machine).items()}
    assert flows["ifmap_buffer", "ifmap", "read"] == 2 * 36
    assert flows["weight_buffer", "weight", "read"] == 36
    assert ("psum_buffer", "psum", "write") not in flows
    assert flows["array", "psum", "pass"] == 32 * 2


def test_registers_may_not_be_dealt_unevenly() -> None:
    """A mapping of steps 3 and 2 along a window's dim says so instead of being counted."""
    machine = _machine(cols=2)
    problem = _conv(1, 1)
    loops = (Loop("p", 3), Loop("p", 2), Loop("s", 1), Loop("q", 1))
    mapping = _stored(loops, {"ifmap": 0})
    mapping = Mapping((*mapping.nodes, Spatial("r", 3), Spatial("p", 2)))
    wrong = check_mapping(problem, mapping, machine)
    assert isinstance(wrong, str)
    assert "a step of 3 deals p unevenly to 2 PEs" in wrong
    with pytest.raises(ValueError, match="unevenly"):
        largest_in_pe(problem, "ifmap", mapping.loops, 0)


def test_wider_values_take_several_words() -> None:
    (psums,) = _machine("psum only").registers
    assert (psums.words_per_value(32), psums.words_per_value(16), psums.room_bits(3, 32)) == (2, 1, 96)
    shared = _machine("shared").registers[0]
    assert (shared.words_per_value(8), shared.room_bits(3, 8), shared.room_bits(3, 5)) == (1, 32, 16)


def test_a_matmul_in_registers() -> None:
    """5 x 6 x 7 on 3 rows of n and 4 columns of k: the second chunk of k waits for all 5 rows of m in the PEs."""
    problem = matmul_problem(MatmulDims(1, 1, 5, 6, 7), 8, 8, 8, PsumScheme(32))
    loops = (Loop("n", 3), Loop("k", 4), Loop("m", 1))
    flows = {key: v for key, (v, _) in _flows(problem, _stored(loops, {"output": 1}), _machine()).items()}
    assert ("psum_buffer", "psum", "write") not in flows
    assert flows["array", "psum", "pass"] == 5 * 7 * (4 - 1)  # the second chunk of k works on 2 of the same 4 PEs
    assert flows["psum_registers", "psum", "write"] == 5 * 6 * 7
