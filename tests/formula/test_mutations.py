"""The hand counts are a check that can fail: three kinds of mutation in every block turn them red."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from accelsim.hardware.adder_tree import AdderTree
from accelsim.hardware.block import Action, Block
from accelsim.hardware.dram import Dram
from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping import traffic
from accelsim.mapping.count import Tiling, tiling
from accelsim.mapping.vector import VectorProblem
from accelsim.report.invariants import BrokenInvariant
from accelsim.spec.models import ArchSpec
from tests.formula.test_hand_counts import ADDER_TREE, COUNTS, SYSTOLIC, check_cycles, check_rows

BLOCKS = tuple(COUNTS)
SEEN = (AssertionError, BrokenInvariant)  # the report's own invariants may be faster than the hand counts
OPERAND_OF = {"ifmap_buffer": "ifmap", "weight_buffer": "weight", "psum_buffer": "output", "psum_engine": "output"}


def rebuild(monkeypatch: pytest.MonkeyPatch, change: Callable[[Machine], Machine]) -> None:
    def mutated(spec: ArchSpec) -> Machine:
        return change(build_machine(spec))

    monkeypatch.setattr("accelsim.simulation.build_machine", mutated)


def with_block(machine: Machine, name: str, change: Callable[[Any], Block]) -> Machine:
    if any(memory.name == name for memory in machine.memories):
        return machine.with_memory(change(machine.memory(name)))  # type: ignore[arg-type]
    field = next(
        field.name for field in dataclasses.fields(machine) if getattr(machine, field.name) is machine.block(name)
    )
    return dataclasses.replace(machine, **{field: change(machine.block(name))})


def doubled(block: Block) -> Block:
    actions = {
        name: Action(action.energy_pj.scaled(2, "mutated"), action.unit) for name, action in block.actions.items()
    }
    return dataclasses.replace(block, actions=actions)


def swapped(machine: Machine) -> Machine:
    return with_block(machine, "array", lambda array: dataclasses.replace(array, dataflow="input_stationary"))


@pytest.mark.parametrize("block", BLOCKS)
def test_doubled_energy_is_seen(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuild(monkeypatch, lambda machine: with_block(machine, block, doubled))
    with pytest.raises(AssertionError):
        check_rows(block)


@pytest.mark.parametrize("block", BLOCKS)
def test_doubled_leakage_is_seen(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(part: Block) -> Block:
        return dataclasses.replace(part, leakage_mw=part.leakage_mw.scaled(2, "mutated"))

    rebuild(monkeypatch, lambda machine: with_block(machine, block, leaky))
    with pytest.raises(AssertionError):
        check_rows(block)


@pytest.mark.parametrize("block", OPERAND_OF)
def test_one_tile_fewer_is_seen(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fewer(problem: Any, operand: str, loops: Any) -> Tiling:
        tiles = tiling(problem, operand, loops)  # type: ignore[arg-type]
        if operand != OPERAND_OF[block]:
            return tiles
        first, *rest = tiles.classes
        return Tiling((dataclasses.replace(first, tiles=first.tiles - 1), *rest))

    monkeypatch.setattr(traffic, "tiling", fewer)
    with pytest.raises(SEEN):
        check_rows(block)


def test_one_burst_fewer_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = Dram.moved_bits
    monkeypatch.setattr(Dram, "moved_bits", lambda self, bits: moved(self, bits) - 8 * self.burst_bytes)
    with pytest.raises(SEEN):
        check_rows("dram")


def test_one_array_step_fewer_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    cycles = AdderTree.cycles
    monkeypatch.setattr(AdderTree, "cycles", lambda self, steps, fills=1: cycles(self, steps, fills) - 1)
    with pytest.raises(AssertionError):
        check_cycles("adder_tree", ADDER_TREE)


@pytest.mark.parametrize("block", ["lut_unit", "vector_unit"])
def test_one_row_fewer_is_seen(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    operations = VectorProblem.operations

    def fewer(self: VectorProblem, work: Any) -> tuple[int, int]:
        return operations(dataclasses.replace(self, rows=self.rows - 1), work)

    monkeypatch.setattr(VectorProblem, "operations", fewer)
    with pytest.raises(AssertionError):
        check_rows(block)


@pytest.mark.parametrize("block", ["ifmap_buffer", "weight_buffer", "psum_buffer", "psum_engine", "dram"])
def test_swapped_stationarity_is_seen(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuild(monkeypatch, swapped)
    with pytest.raises(AssertionError):
        check_rows(block)


def test_swapped_stationarity_is_seen_in_array_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    rebuild(monkeypatch, swapped)
    with pytest.raises(AssertionError):
        check_cycles("systolic", SYSTOLIC)


@pytest.mark.parametrize("block", ["lut_unit", "vector_unit"])
def test_swapped_rows_and_columns_are_seen(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units without a stationary operand: what is per row and what per element changes places."""
    operations = VectorProblem.operations

    def transposed(self: VectorProblem, work: Any) -> tuple[int, int]:
        need = dataclasses.replace(
            work,
            vector_per_element=work.vector_per_row, vector_per_row=work.vector_per_element,
            lut_per_element=work.lut_per_row, lut_per_row=work.lut_per_element,
        )  # fmt: skip
        return operations(dataclasses.replace(self, rows=self.cols, cols=self.rows), need)

    monkeypatch.setattr(VectorProblem, "operations", transposed)
    with pytest.raises(AssertionError):
        check_rows(block)


def test_the_checks_are_green_without_a_mutation() -> None:
    for block in BLOCKS:
        check_rows(block)
    check_cycles("adder_tree", ADDER_TREE)
    check_cycles("systolic", SYSTOLIC)
