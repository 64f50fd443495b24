"""rows x cols processing elements that pass operands (and partial sums) to their neighbours each cycle."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.hardware.block import Action, or_user
from accelsim.hardware.pe_array import PeArray, pe_area_mm2, pe_leakage_mw, pe_mac_energy_pj
from accelsim.hardware.technology import Process
from accelsim.spec import models


@dataclass(frozen=True, kw_only=True)
class Systolic(PeArray):
    """Skewed fill and drain. Output stationary: rows are m, columns n, the stream is k. Weight
    stationary: rows k, columns n, stream m. Input stationary: rows k, columns m, stream n."""

    rows: int
    cols: int
    overlapped_load: bool
    """The stationary operand of a fold loads while the previous fold streams."""
    trimmed_folds: bool
    """An edge fold takes the time of the rows and columns it uses, not of the whole array."""

    def fold_cycles(self, stream_length: int, rows_used: int, cols_used: int) -> int:
        """Cycles of one fold that streams `stream_length` values through the rows and columns it uses.

        Row r starts r cycles late and column c another c, so the last PE ends stream_length + R + C - 2
        cycles after the first began; in weight and input stationary the fold's `load_cycles` come
        before, unless loads overlap. With serial loads and full folds on square arrays this is
        SCALE-Sim: T + R + C - 2 (os), T + 2R + C - 2 (ws, is). ValueError outside the array.
        """
        if stream_length < 1:
            raise ValueError(f"{self.name}: a fold streams at least one value, not {stream_length}")
        rows, cols = self._extent(rows_used, cols_used)
        load = 0 if self.overlapped_load else self.load_cycles(rows_used, cols_used)
        return load + stream_length + rows + cols - 2

    def load_cycles(self, rows_used: int, cols_used: int) -> int:
        """Cycles to shift the stationary operand in, a row a cycle; 0 in output stationary.

        An overlapped load never outlasts the stream it hides behind (R <= T + R + C - 2), so only
        the first one of an idle array shows: the caller charges that one if it wants it.
        """
        rows, _ = self._extent(rows_used, cols_used)
        return 0 if self.dataflow == "output_stationary" else rows

    def _extent(self, rows_used: int, cols_used: int) -> tuple[int, int]:
        if not (1 <= rows_used <= self.rows and 1 <= cols_used <= self.cols):
            raise ValueError(f"{self.name}: {rows_used} x {cols_used} PEs do not fit {self.rows} x {self.cols}")
        return (rows_used, cols_used) if self.trimmed_folds else (self.rows, self.cols)


def build_systolic(spec: models.SystolicArray, process: Process) -> Systolic:
    """The array of a spec, named `array`."""
    macs = spec.rows * spec.cols
    # Of the operands one moves in weight and input stationary, both in output stationary.
    moving = 2 if spec.dataflow == "output_stationary" else 1
    computed = pe_mac_energy_pj(spec.operand_bits, spec.accumulator_bits, moving, process)
    energy = or_user(spec.mac_energy_pj, computed)
    return Systolic(
        name="array",
        actions={"mac": Action(energy, "mac")},
        area_mm2=or_user(spec.area_mm2, pe_area_mm2(spec.operand_bits, macs, process)),
        leakage_mw=or_user(spec.leakage_mw, pe_leakage_mw(spec.operand_bits, macs, process)),
        dataflow=spec.dataflow,
        operand_bits=spec.operand_bits,
        accumulator_bits=spec.accumulator_bits,
        spatial_reduction=spec.spatial_reduction,
        macs_per_cycle=macs,
        outputs_per_cycle=spec.cols,
        rows=spec.rows,
        cols=spec.cols,
        overlapped_load=spec.weight_load == "overlapped",
        trimmed_folds=spec.ragged_fold == "trimmed",
    )
