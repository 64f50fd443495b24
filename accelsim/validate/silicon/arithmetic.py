"""Area and energy of multipliers and adders by width: counted in cells, beside three sources and our own synthesis.

Each source's datapath is declared here, and one constant a source (its scale) is fitted on one width:

    BitFusion   two operands and an accumulator of 4 x the width in registers, 4 bits fitted; the source does not say
                how wide it is, and 3 x and 5 x come out within 17 % too
    LLM-FP4     registered adders and multipliers; accumulators of 24 bits (not found in the paper), INT4's MAC fitted
    Colonnade   a bit-serial adder of weight + 7 columns, a cycle an input bit, 4 x 4 bits fitted at each supply
    RTL         our Verilog in `tests/validation/rtl`, by Yosys to simple gates of the same areas; nothing fitted

"As charged" is what the simulator charges for BitFusion's MAC energy, scaled alike. SRAM is CACTI 7's table with the
point asked for left out: what its interpolation between capacities is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from accelsim.hardware import gates, sram_table
from accelsim.hardware.gates import Minifloat
from accelsim.hardware.interpolation import log_log
from accelsim.hardware.lut_gates import LutShape, gates_area_um2
from accelsim.hardware.pe_array import pe_mac_energy_pj
from accelsim.hardware.psum_engine import barrel_shifter_mux2
from accelsim.hardware.technology import Process
from accelsim.validate.measured import Constant, Limit, MeasuredRun, Measurement
from accelsim.validate.silicon import tables

CLOCK_MHZ = 500.0
FITTED_BITS = 4
ACCUMULATOR_WIDTHS, FP4_ACCUMULATOR_BITS, COLONNADE_GUARD_BITS = 4, 24, 7
AT_45 = Process(45.0, 0.9, CLOCK_MHZ)
MUX_UM2 = 1.862
NO_ADDER_CELLS = "Yosys builds full adders of simple gates (5.6 um2), where a library has a cell (4.3 um2)"


def measurement() -> Measurement:
    """All runs."""
    constants: list[Constant] = []
    runs = [*_bitfusion(constants), *_llm_fp4(constants), *_colonnade(constants), *_rtl()]
    return Measurement((*runs, *_sram_left_out()), tuple(constants), LIMITS)


LIMITS = (
    Limit("BitFusion PE", "area", 8.3, None, 15.0),
    Limit("BitFusion PE", "energy", 9.7, None, 15.0),
    Limit("BitFusion PE", "leakage", 9.2),
    Limit("BitFusion PE, as charged", "energy", 12.1),
    Limit("LLM-FP4, integers", "area", 6.5, None, 15.0),
    Limit("LLM-FP4, minifloats", "area", 14.2),
    Limit("Colonnade", "energy", 7.6),
    Limit("RTL by Yosys", "area", 16.5),
    Limit("SRAM, point left out", "read energy", 7.9),
    Limit("SRAM, point left out", "area", 4.3),
)


def _scaled(
    subset: str, quantity: str, unit: str, measured: dict[str, float], counted: dict[str, float], fitted: str,
    constants: list[Constant],
) -> Iterator[MeasuredRun]:  # fmt: skip
    """Counts times the scale that `fitted` has."""
    scale = measured[fitted] / counted[fitted]
    constants.append(Constant(f"{subset}, {quantity}", scale, f"{unit} a counted um2", fitted))
    for case, value in measured.items():
        yield MeasuredRun(
            subset, case, quantity, unit, value, scale * counted[case], None, fitted=case == fitted
        )  # fmt: skip


def _bitfusion(constants: list[Constant]) -> Iterator[MeasuredRun]:
    rows = {int(row["bits"]): row for row in tables.lines("bitfusion_pe")}
    counted = {f"{bits} bits": gates.mac_um2(bits, ACCUMULATOR_WIDTHS * bits) for bits in rows}
    fitted = f"{FITTED_BITS} bits"
    charged = {
        f"{bits} bits": pe_mac_energy_pj(bits, ACCUMULATOR_WIDTHS * bits, 2, AT_45).value for bits in rows
    }  # fmt: skip
    for subset, quantity, unit, column, counts in (
        ("BitFusion PE", "area", "um2", "area_um2", counted),
        ("BitFusion PE", "energy", "pJ", "dynamic_uW", counted),
        ("BitFusion PE", "leakage", "uW", "leakage_uW", counted),
        ("BitFusion PE, as charged", "energy", "pJ", "dynamic_uW", charged),
    ):
        by_cycle = CLOCK_MHZ if column == "dynamic_uW" else 1.0
        measured = {f"{bits} bits": float(row[column]) / by_cycle for bits, row in rows.items()}
        yield from _scaled(subset, quantity, unit, measured, counts, fitted, constants)


def _llm_fp4(constants: list[Constant]) -> Iterator[MeasuredRun]:
    integers: dict[str, Callable[[int], float]] = {
        "adder": gates.registered_adder_um2,
        "multiplier": gates.registered_multiplier_um2,
        "mac": lambda bits: gates.mac_um2(bits, FP4_ACCUMULATOR_BITS),
    }
    floats: dict[str, Callable[[Minifloat], float]] = {
        "adder": gates.float_adder_um2,
        "multiplier": gates.float_multiplier_um2,
        "mac": lambda number: gates.float_mac_um2(number, FP4_ACCUMULATOR_BITS),
    }
    formats = {"E2M1": Minifloat(2, 1), "E3M2": Minifloat(3, 2)}
    measured, counted = {}, {}
    for row in tables.lines("llm_fp4_units"):
        unit = row["unit"]
        for bits in (4, 6):
            measured[f"INT{bits} {unit}"] = float(row[f"INT{bits}"])
            counted[f"INT{bits} {unit}"] = integers[unit](bits)
        for name, number in formats.items():
            measured[f"{name} {unit}"] = float(row[name])
            counted[f"{name} {unit}"] = floats[unit](number)
    for run in _scaled("LLM-FP4, integers", "area", "um2", measured, counted, "INT4 mac", constants):
        yield run if run.case.startswith("INT") else _moved(run, "LLM-FP4, minifloats")


def _moved(run: MeasuredRun, subset: str) -> MeasuredRun:
    return MeasuredRun(subset, run.case, run.quantity, run.unit, run.measured, run.ours, None)


def _colonnade(constants: list[Constant]) -> Iterator[MeasuredRun]:
    for supply in ("0.6", "0.7", "0.8"):
        measured, counted = {}, {}
        for row in tables.lines("colonnade"):
            if row["supply_V"] == supply:
                bits = int(row["input_bits"]), int(row["weight_bits"])
                case = f"{bits[0]} x {bits[1]} bits, {supply} V"
                measured[case] = float(row["fJ_per_MAC"])
                counted[case] = float(gates.serial_mac_full_adders(*bits, COLONNADE_GUARD_BITS))
        fitted = f"4 x 4 bits, {supply} V"
        yield from _scaled("Colonnade", "energy", "fJ", measured, counted, fitted, constants)


def _rtl() -> Iterator[MeasuredRun]:
    """Our Verilog in simple gates beside the counts of the same datapaths."""
    for row in tables.lines("rtl_yosys"):
        sizes = {name: int(value) for name, value in (each.split("=") for each in row["parameters"].split())}
        case = f"{row['module']} {row['parameters']}"
        ours = _counted_um2(row["module"], sizes["BITS"], sizes.get("ACC", 0))
        cause = NO_ADDER_CELLS if row["module"] == "mac" else ""
        yield MeasuredRun("RTL by Yosys", case, "area", "um2", float(row["area_um2"]), ours, None, cause=cause)


def _counted_um2(module: str, bits: int, accumulator_bits: int) -> float:
    if module == "mac":
        return gates.mac_um2(bits, accumulator_bits)
    return _lut_um2(bits) if module == "lut_unit" else _requantiser_um2(bits, accumulator_bits)


def _lut_um2(bits: int) -> float:
    """The composed unit that `lut_unit.costs: composed` charges, 8 entries, at 45 nm."""
    return sum(cost.value for cost in gates_area_um2(LutShape(8, bits, bits, bits), AT_45).values())


def _requantiser_um2(bits: int, accumulator_bits: int) -> float:
    """Two shifters, an addition, rounding and saturation, as the psum engine counts them."""
    shifters = 2 * barrel_shifter_mux2(accumulator_bits)
    return (shifters + bits) * MUX_UM2 + 2 * gates.adder_um2(accumulator_bits)


def _sram_left_out() -> Iterator[MeasuredRun]:
    """Every inner capacity of each node at 64 bits, interpolated between its neighbours."""
    columns: tuple[tuple[sram_table.Column, str, str], ...] = (
        ("read_energy_pj", "read energy", "pJ"), ("area_mm2", "area", "mm2"),
    )  # fmt: skip
    for column, quantity, unit in columns:
        for node_nm, _ in sram_table.NOMINAL_V:
            points = sram_table.curve(column, node_nm, sram_table.BASE_WIDTH_BITS)
            for at, (kib, value) in enumerate(points[1:-1], start=1):
                others = (*points[:at], *points[at + 1 :])
                case = f"{kib:g} KiB, {node_nm:g} nm"
                ours = log_log(others, kib)
                yield MeasuredRun("SRAM, point left out", case, quantity, unit, value, ours, None)
