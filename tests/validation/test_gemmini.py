"""Gemmini's RTL cycles beside ours: what the deviations are today. Nothing is tuned to them.

The errors asserted are the measured ones: whoever moves the model is asked to state the new ones.
"""

from __future__ import annotations

import csv
import io
import math

import pandas as pd
import pytest

from accelsim.hardware.machine import Machine, build_machine
from accelsim.mapping.nest import Loop
from accelsim.validate import gemmini
from accelsim.validate.files import rows_csv
from accelsim.validate.gemmini_nest import nest_of, problem_of
from accelsim.validate.machines import gemmini as gemmini_spec
from accelsim.validate.recording import recorded
from accelsim.validate.row import Row

TEXT = "L3[WIO] Q4 C8 K8 P7 - L2[WI] N1 K4X - L1[O] K4 C2 Q14 C4X - L0[W] P8"


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(gemmini_spec(16))


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(gemmini.rows())


def test_a_mapping_as_a_nest(machine: Machine) -> None:
    problem = problem_of(TEXT, 1)
    extents = dict(problem.extents)
    assert [extents[dim] for dim in "nckpqrs"] == [1, 64, 128, 56, 56, 1, 1]
    mapping = nest_of(TEXT, problem, machine, keep_outputs=False)
    assert mapping.loops == (
        Loop("q", 14), Loop("c", 8), Loop("k", 16), Loop("p", 8),
        Loop("k", 4), Loop("c", 4), Loop("q", 1), Loop("p", 1),
    )  # fmt: skip
    assert [len(mapping.loops_above(o, f"{b}_buffer")) for o, b in (("ifmap", "ifmap"), ("output", "psum"))] == [4, 4]
    kept = nest_of(TEXT, problem, machine, keep_outputs=True)
    assert kept.loops == mapping.loops
    assert kept.loops_above("output", "psum_buffer") == ()
    assert str(kept).splitlines()[-2:] == [line for line in str(kept).splitlines() if "parallel" in line]


@pytest.mark.parametrize("text", ["L3[WIO] Q4", "L3[WIO] q4 - L2[WI] N1 - L1[O] N1 - L0[W] P8", ""])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"mapping|level"):
        problem_of(text, 1)


def test_every_row_is_compared_twice(rows: list[Row]) -> None:
    cycles = [row for row in rows if row.unit == "cycles"]
    assert len(cycles) == 2 * len(recorded("gemmini").rows) == 470
    assert all(row.tolerance_pct is None and row.note for row in cycles)
    assert len(list(csv.DictReader(io.StringIO(rows_csv(rows).decode())))) == len(rows) == 476


@pytest.mark.parametrize(
    ("reading", "error_pct", "median", "rank"),
    [("psums kept", 87.2, 0.705, 0.902), ("psums spilt", 112.0, 0.88, 0.904)],
)
def test_stated_errors(reading: str, error_pct: float, median: float, rank: float, rows: list[Row]) -> None:
    """Better in rank than a roofline, not in mean error: small products whose folds Gemmini runs back to back."""
    found = {row.what: row for row in rows if row.unit != "cycles" and row.what.endswith(reading)}
    assert found[f"mean abs. error, {reading}"].ours == pytest.approx(error_pct, abs=1.0)
    assert found[f"median ratio, {reading}"].ours == pytest.approx(median, abs=0.01)
    assert found[f"rank correlation, {reading}"].ours == pytest.approx(rank, abs=0.006)
    assert found[f"rank correlation, {reading}"].deviation_pct > 0
    pairs = [(row.ours, row.reference) for row in rows if row.unit == "cycles" and row.what.endswith(reading)]
    spearman = pd.DataFrame(pairs).corr(method="spearman").iloc[0, 1]
    assert found[f"rank correlation, {reading}"].ours == pytest.approx(spearman)


def test_errors_of_convs_with_psums_kept(rows: list[Row]) -> None:
    convs = [row.deviation_pct for row in rows if row.what == "conv cycles, psums kept"]
    assert sum(map(abs, convs)) / len(convs) == pytest.approx(45.0, abs=0.5)
    assert all(math.isfinite(deviation) for deviation in convs)
