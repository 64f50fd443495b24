"""Between the weight buffer and the array: indices in, values of codebook entries out; and tile fusion.

A lane selects one of the `entries` values of a codebook, (entries - 1) x value_bits two-to-one multiplexers, and
latches it. Under tile fusion two blocks alike that feed the same outputs share one product, (A0 + A1) x B: the
entry is read once, its MACs are halved, and the inputs are added before (one bit wider). It is legal only where
both blocks have one codebook and one scale, as blocks of one row of a `CodebookScheme` have.

The share of blocks that find a partner depends on the indices. For n blocks of a row that share a codebook of E
entries, drawn evenly and independently, the pairs are E x E[floor(c / 2)] with c ~ Bin(n, 1 / E), that is

    (n - E (1 - (1 - 2 / E)^n) / 2) / 2

(E[floor(c / 2)] = (E[c] - P(c odd)) / 2). A codebook whose entries are all used twice reaches the half.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from accelsim.hardware.arithmetic import (
    UM2_PER_MM2,
    add_area_um2,
    add_energy_pj,
    cell_area_um2,
    logic_leakage_mw,
    mux2_energy_pj,
    register_energy_pj,
)
from accelsim.hardware.block import Action, Block, or_user, total
from accelsim.hardware.technology import Process
from accelsim.schemes import CodebookScheme
from accelsim.spec import stacked

SHARE_DENOMINATOR = 10**6


@dataclass(frozen=True, kw_only=True)
class CodebookDecoder(Block):
    """Actions `decode` per value and `preadd` per pair of inputs."""

    values_per_cycle: int
    entries: int
    value_bits: int
    fuses: bool
    given_share: Fraction | None
    """The share of blocks with a partner that the spec gives."""

    def cycles(self, values: int) -> int:
        """Cycles to decode so many values."""
        return -(-values // self.values_per_cycle)

    def fused_pairs(self, scheme: CodebookScheme, rows: int, cols: int) -> Fraction:
        """Pairs of blocks that share a product, over all blocks of a (rows, cols) weight: 0 to 1/2."""
        if not self.fuses:
            return Fraction(0)
        if self.given_share is not None:
            return self.given_share / 2
        return pairs_of_even_indices(scheme, rows, cols)


def build_codebook_decoder(spec: stacked.CodebookDecoder, input_bits: int, process: Process) -> CodebookDecoder:
    """The decoder of a spec, named `codebook_decoder`, for inputs of `input_bits`."""
    mux2 = (spec.entries - 1) * spec.value_bits
    register, wire = register_energy_pj(process), mux2_energy_pj(process)
    decode = total(
        [wire.scaled(mux2, f"x {mux2} mux2"), register.scaled(spec.value_bits, f"x {spec.value_bits} register bits")],
        "select and latch",
    )
    lane = [
        cell_area_um2("mux2", process).scaled(mux2, f"x {mux2} mux2"),
        cell_area_um2("register_bit", process).scaled(spec.value_bits, f"x {spec.value_bits} register bits"),
    ]
    if spec.tile_fusion == "pairs":
        lane.append(add_area_um2(input_bits + 1, process))
    computed = total(lane, "lane").scaled(spec.values_per_cycle / UM2_PER_MM2, f"x {spec.values_per_cycle} lanes")
    area = or_user(spec.area_mm2, computed)
    share = None if spec.fused_share is None else Fraction(repr(spec.fused_share))
    return CodebookDecoder(
        name="codebook_decoder",
        actions={
            "decode": Action(or_user(spec.energy_pj_per_value, decode), "value"),
            "preadd": Action(or_user(spec.preadd_energy_pj, add_energy_pj(input_bits + 1, process)), "addition"),
        },
        area_mm2=area,
        leakage_mw=or_user(spec.leakage_mw, logic_leakage_mw(area)),
        values_per_cycle=spec.values_per_cycle,
        entries=spec.entries,
        value_bits=spec.value_bits,
        fuses=spec.tile_fusion == "pairs",
        given_share=share,
    )


def pairs_of_even_indices(scheme: CodebookScheme, rows: int, cols: int) -> Fraction:
    """Expected pairs over all blocks where indices are drawn evenly and independently, to a millionth.

    Blocks pair within a row of blocks that share a codebook. Groups run on from one row of blocks into the next.
    """
    across, down = cols // scheme.block_cols, rows // scheme.block_rows
    pairs = 0.0
    for together, runs in _runs_of_one_codebook(across, down, scheme.group).items():
        odd = (1 - (1 - 2 / scheme.entries) ** together) / 2
        pairs += runs * (together - scheme.entries * odd) / 2
    return Fraction(round(pairs / (across * down) * SHARE_DENOMINATOR), SHARE_DENOMINATOR)


@lru_cache(maxsize=1024)
def _runs_of_one_codebook(across: int, down: int, group: int | None) -> Counter[int]:
    """How many stretches of so many blocks of a row have one codebook, by their length."""
    if group is None:
        return Counter({across: down})
    runs: Counter[int] = Counter()
    for row in range(down):
        first = min(-row * across % group, across)
        whole, rest = divmod(across - first, group)
        runs.update({first: 1, rest: 1} if first != rest else {first: 2})
        runs[group] += whole
    del runs[0]
    return runs
