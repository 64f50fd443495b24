"""Register files inside the processing elements of an array: small, and one in every PE.

A file of flip-flops: writing clocks the bits of one word, reading drives one multiplexer a bit at each
level of a binary tree. Decoders and wires are left out (assumed). A file of SRAM cells is CACTI's, far
below the capacities that its table has. What the multiplier itself latches is part of a MAC's energy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from accelsim.hardware import sram_table
from accelsim.hardware.arithmetic import (
    UM2_PER_MM2,
    cell_area_um2,
    logic_leakage_mw,
    mux2_energy_pj,
    register_energy_pj,
)
from accelsim.hardware.block import Action, Block, Cost, or_user, total
from accelsim.hardware.sram import BITS_PER_KIB, OperandName, sram_leakage_mw
from accelsim.hardware.technology import Process
from accelsim.spec import models

_OPERANDS: dict[str, OperandName] = {"ifmap": "ifmap", "weight": "weight", "psum": "output"}


@dataclass(frozen=True, kw_only=True)
class RegisterFile(Block):
    """Actions `read` and `write`, each one access of `word_bits` in one PE; area and leakage are of all PEs'."""

    holds: tuple[OperandName, ...]
    capacity_bits: int
    """Capacity in one PE."""
    word_bits: int
    pes: int

    def words_per_value(self, bits: int) -> int:
        """Accesses that move one value: a PE takes and gives single values, wide ones in several words."""
        return -(-bits // self.word_bits)

    def room_bits(self, values: int, bits: int) -> int:
        """Bits that `values` values take in one PE, as many to a word as fit whole."""
        if bits > self.word_bits:
            return values * self.words_per_value(bits) * self.word_bits
        return -(-values // (self.word_bits // bits)) * self.word_bits


def build_register_files(spec: models.PeGridArray, process: Process) -> tuple[RegisterFile, ...]:
    """The files of a spec's PEs, named `ifmap_registers`, `weight_registers`, `psum_registers`, `shared_registers`."""
    files = spec.registers
    pes = spec.rows * spec.cols
    own = {"ifmap": files.ifmap, "weight": files.weight, "psum": files.psum}
    built = [_built(name, file, (name,), pes, process) for name, file in own.items() if file is not None]
    if files.shared is not None:
        built.append(_built("shared", files.shared, files.shared.holds, pes, process))
    return tuple(built)


def _built(name: str, spec: models.RegisterFile, holds: tuple[str, ...], pes: int, process: Process) -> RegisterFile:
    given = {"read": spec.read_energy_pj_per_bit, "write": spec.write_energy_pj_per_bit}
    one = (_sram if spec.cells == "sram" else _flip_flops)(spec, process)
    computed = {"read": one.read_pj, "write": one.write_pj}
    return RegisterFile(
        name=f"{name}_registers",
        actions={
            kind: Action(or_user(None if per_bit is None else per_bit * spec.word_bits, computed[kind]), "access")
            for kind, per_bit in given.items()
        },
        area_mm2=or_user(spec.area_mm2, one.area_mm2.scaled(pes, f"x {pes} PEs")),
        leakage_mw=or_user(spec.leakage_mw, one.leakage_mw.scaled(pes, f"x {pes} PEs")),
        holds=tuple(operand for held, operand in _OPERANDS.items() if held in holds),
        capacity_bits=spec.capacity_bits,
        word_bits=spec.word_bits,
        pes=pes,
    )


@dataclass(frozen=True)
class _OneFile:
    """Costs of the file of one PE; energies per access."""

    read_pj: Cost
    write_pj: Cost
    area_mm2: Cost
    leakage_mw: Cost


def _flip_flops(spec: models.RegisterFile, process: Process) -> _OneFile:
    area = _area_mm2(spec, process)
    return _OneFile(_read_energy_pj(spec, process), _write_energy_pj(spec, process), area, logic_leakage_mw(area))


def _sram(spec: models.RegisterFile, process: Process) -> _OneFile:
    kib, word = spec.capacity_bits / BITS_PER_KIB, spec.word_bits
    read, write = (sram_table.access_energy_pj(kind, kib, word, process) for kind in ("read", "write"))
    return _OneFile(read, write, sram_table.area_mm2(kib, word, process), sram_leakage_mw(kib))


def _read_energy_pj(spec: models.RegisterFile, process: Process) -> Cost:
    words = spec.capacity_bits // spec.word_bits
    levels = math.ceil(math.log2(words)) if words > 1 else 0
    why = f"x {spec.word_bits} b x {levels} levels of a tree over {words} words, decoder and wires left out"
    return mux2_energy_pj(process).scaled(spec.word_bits * levels, why, "assumed")


def _write_energy_pj(spec: models.RegisterFile, process: Process) -> Cost:
    why = f"x {spec.word_bits} b, other words clock gated, decoder and wires left out"
    return register_energy_pj(process).scaled(spec.word_bits, why, "assumed")


def _area_mm2(spec: models.RegisterFile, process: Process) -> Cost:
    """Area in one PE: a flip-flop a bit, and the read tree, which has one multiplexer less than words for each bit."""
    muxes = spec.capacity_bits - spec.word_bits
    parts = [
        cell_area_um2("register_bit", process).scaled(spec.capacity_bits, f"x {spec.capacity_bits} b"),
        cell_area_um2("mux2", process).scaled(muxes, f"x {muxes}"),
    ]
    return total(parts, "flip-flops and read tree").scaled(1 / UM2_PER_MM2, "um2 to mm2")
