"""The validations that need no peer: within their tolerances, and able to fail."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import pytest

from accelsim.hardware.machine import build_machine
from accelsim.mapping.traffic import mac_flows
from accelsim.validate import published, roofline, walked
from accelsim.validate.datasets import DATASETS
from accelsim.validate.machines import adder_tree
from accelsim.validate.random_nests import nest_of


def test_walk() -> None:
    rows = list(walked.rows())
    assert [row for row in rows if not row.ok or row.tolerance_pct != 0] == []
    assert len({row.case.split()[0] for row in rows}) == walked.CASES
    kinds = Counter(row.case.split()[1] for row in rows)
    assert min(kinds["matmul"], kinds["conv"]) > 1000
    moved = Counter(row.case.split(": ")[1] for row in rows)
    assert moved["dram psum read"] > 50
    assert moved["psum_engine psum requantise"] > 50
    assert list(walked.rows()) == rows


def test_walk_notices_a_wrong_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_more(*arguments: object) -> object:
        first, *rest = mac_flows(*arguments)  # type: ignore[arg-type]
        return (dataclasses.replace(first, count=first.count + 1), *rest)

    monkeypatch.setattr(walked, "mac_flows", one_more)
    machine = build_machine(adder_tree())
    problem, nest = nest_of(random.Random(1), 6)
    rows = list(walked._flow_rows("case", problem, walked.buffered(nest, machine), machine))
    assert [row.what for row in rows if not row.ok] == ["actions"]


def test_rooflines() -> None:
    rows = list(roofline.rows())
    assert len(rows) == len(roofline.CASES)
    assert all(0 <= row.deviation_pct <= roofline.TOLERANCE_PCT for row in rows)
    bandwidth = [row.deviation_pct for row in rows if "bandwidth" in row.what]
    assert max(bandwidth) < 0.01
    assert all(float(row.case.split()[-4]) >= 20 for row in rows)


def test_published() -> None:
    rows = {(row.what, row.case): row for row in published.rows()}
    assert all(row.ok for row in rows.values())
    assert rows["SRAM access", "256 KiB, 28 nm, CACTI 7"].deviation_pct == pytest.approx(0, abs=0.2)
    assert rows["APSQ engine area", "28 nm, DAC 2025"].deviation_pct == pytest.approx(31.3, abs=0.5)
    assert sum(row.tolerance_pct is None for row in rows.values()) == len(rows) - 2


def test_names_are_distinct() -> None:
    assert len({dataset.name for dataset in DATASETS}) == len(DATASETS)
