"""The notebook runs, shows its figures and says what its numbers say; the pair and the picture are fresh."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib.image import imread

from accelsim.cli import cli
from tests.reference.notebooks import Executed, check_figures, check_pair, execute

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
SOURCE = FOLDER / "energy_breakdown.py"
PICTURE = FOLDER / "psum_bits.png"
TABLE = FOLDER / "psum_bits.csv"
SWEEP = (
    "sweep", "apsq_edge_ws", "bert_base", "--over", "workload.psum.bits=4,6,8,12,16,32",
    "--over", "arch.array.dataflow=weight_stationary,input_stationary,output_stationary",
)  # fmt: skip
FRAMES = ("energy_mj", "cycles", "widths", "share", "groups")
FIGURES = 5
BITS = [4, 6, 8, 12, 16, 32]
DRAWN_WITH = "3.11.2"
"""The matplotlib that drew the picture: another one shifts text by a pixel or two."""


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return execute("energy_breakdown", FRAMES, tmp_path_factory.mktemp("notebook"))


@pytest.fixture(scope="module")
def tables(executed: Executed) -> dict[str, pd.DataFrame]:
    return executed[1]


def test_pair_is_in_sync_and_without_outputs() -> None:
    check_pair("energy_breakdown")


def test_every_figure_is_shown_and_nothing_is_warned_of(executed: Executed) -> None:
    check_figures(executed[0], FIGURES)


def test_every_figure_names_its_units() -> None:
    labels = re.findall(r'[xy]label="([^"]+)"', SOURCE.read_text())
    plain = {"group size"}
    assert {label for label in labels if not re.search(r"\(.+\)|cycles", label)} == plain


def test_text_on_blocks_and_cycles(tables: dict[str, pd.DataFrame]) -> None:
    blocks = tables["energy_mj"].sum(axis=1)
    assert list(blocks.nlargest(2).index) == ["dram", "psum_buffer"]
    assert blocks["psum_buffer"] > blocks.drop(["dram", "psum_buffer"]).sum()
    assert tables["energy_mj"].loc["dram"].idxmax() == "ifmap"
    cycles = tables["cycles"]
    assert cycles.loc["output.dense"].idxmax() == "dram"
    assert cycles.loc["output.dense"].sum() == pytest.approx(3 * cycles.loc["intermediate.dense"].sum(), rel=0.15)


def test_text_on_widths(tables: dict[str, pd.DataFrame]) -> None:
    widths = tables["widths"]
    assert set(widths["status"]) == {"ok"}
    keys = ("workload.psum.bits", "arch.array.dataflow")
    psum, energy = (
        widths.pivot(index=keys[0], columns=keys[1], values=name) for name in ("psum_energy_pj", "energy_pj")
    )
    assert list(psum.index) == BITS
    assert (psum["output_stationary"] == 0).all()
    assert energy["output_stationary"].nunique() == 1
    for flow in ("weight_stationary", "input_stationary"):
        assert (psum[flow].diff().dropna() > 0).all()
        assert (tables["share"][flow].diff().dropna() > 0).all()
    assert list(energy.idxmin(axis=1)) == ["weight_stationary"] * 3 + ["output_stationary"] * 3
    drawn = [name for name in widths.columns if re.fullmatch(r"[a-z]+_operand_energy_pj", name)]
    parts = widths[drawn].drop(columns=["bias_operand_energy_pj", "constant_operand_energy_pj"]).sum(axis=1)
    assert np.allclose(parts, widths["energy_pj"], rtol=1e-12)


def test_text_on_groups(tables: dict[str, pd.DataFrame]) -> None:
    groups = tables["groups"]
    in_dram = groups["psum_operand_dram_energy_pj"]
    assert list(in_dram > 0) == [False, False, True, True]
    assert groups["energy_pj"][2] == pytest.approx(groups["energy_pj"][1], rel=0.01)
    assert groups["psum_energy_pj"][2] == groups["psum_energy_pj"][1]
    assert (groups["energy_pj"][[3, 4]] > 2 * groups["energy_pj"][2]).all()
    assert (in_dram[[3, 4]] > 0.9 * (groups["energy_pj"][[3, 4]] - groups["energy_pj"][2])).all()


def test_picture_is_what_the_command_draws(tmp_path: Path) -> None:
    fresh = tmp_path / PICTURE.name
    result = CliRunner().invoke(cli, [*SWEEP, "--plot", str(fresh), "--out", str(tmp_path / TABLE.name)])
    assert result.exit_code == 0, result.output
    outputs = ("--plot", "notebooks/psum_bits.png", "--out", "notebooks/psum_bits.csv")
    stale = "draw it again: accelsim " + " ".join(SWEEP + outputs)
    old, new = (pd.read_csv(path) for path in (TABLE, tmp_path / TABLE.name))
    hashes = ["arch_hash", "workload_hash"]
    pd.testing.assert_frame_equal(old.drop(columns=hashes), new.drop(columns=hashes), rtol=1e-9, obj=stale)
    assert PICTURE.stat().st_size < 150_000
    assert imread(PICTURE).shape == imread(fresh).shape, stale
    if matplotlib.__version__ == DRAWN_WITH:
        assert fresh.read_bytes() == PICTURE.read_bytes(), stale
