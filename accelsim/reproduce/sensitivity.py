"""How the APSQ savings move with the numbers that were never published, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from accelsim.reproduce.apsq import SCHEMES, Setting, energy_rows

SRAM_PJ_PER_BIT = 0.78125
"""Of the default arch: the DRAM to SRAM ratio is set through the DRAM's energy."""

KNOBS: dict[str, tuple[tuple[float, Setting], ...]] = {
    "DRAM / SRAM energy": tuple(
        (ratio, Setting(f"DRAM/SRAM {ratio:g}", (("arch.dram.energy_pj_per_bit", ratio * SRAM_PJ_PER_BIT),)))
        for ratio in (8.0, 15.0, 26.0, 40.0, 60.0)
    ),
    "psum buffer, KiB": tuple(
        (kib, Setting(f"psum buffer {kib:g} KiB", (("arch.buffers.psum_ofmap.capacity_kib", kib),)))
        for kib in (64.0, 128.0, 256.0, 512.0, 1024.0)
    ),
    "MAC energy, pJ": tuple(
        (energy, Setting(f"MAC {energy:g} pJ", (("arch.array.mac_energy_pj", energy),)))
        for energy in (0.0, 0.11, 0.23, 0.3, 0.46)
    ),
    "depthwise, 0 or 1": (
        (0.0, Setting("depthwise layers left out", depthwise=False)),
        (1.0, Setting("depthwise layers counted")),
    ),
    "refetch, 0 or 1": (
        (0.0, Setting("operands fetched once", refetch=False)),
        (1.0, Setting("operands fetched again")),
    ),
}


@dataclass(frozen=True)
class SensitivityRow:
    """Saving of APSQ INT8 gs 1 over INT32 with one knob at `value`, the others at their defaults."""

    knob: str
    value: float
    model: str
    dataflow: str
    counting: str
    saving: float
    psum_share_int32: float


SETTINGS = tuple((knob, value, setting) for knob, settings in KNOBS.items() for value, setting in settings)


def sensitivity_rows(progress: Callable[[int, int], None] | None = None) -> list[SensitivityRow]:
    """Every knob's values for every model, dataflow and counting; `progress` is told (done, all)."""
    pair = {name: SCHEMES[name] for name in ("INT32", "INT8 gs1")}
    rows = []
    for done, (knob, value, setting) in enumerate(SETTINGS, start=1):
        energies = energy_rows(setting, schemes=pair)
        for wide, narrow in zip(energies[::2], energies[1::2], strict=True):
            rows.append(
                SensitivityRow(knob, value, wide.model, wide.dataflow, wide.counting, narrow.saving, wide.psum_share)
            )
        if progress is not None:
            progress(done, len(SETTINGS))
    return rows
