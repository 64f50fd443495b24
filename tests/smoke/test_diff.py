"""`accelsim diff`: equal reports, moved numbers, entries of one side, and files that are no report."""

from __future__ import annotations

import copy
import csv
import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from accelsim import UserError, load_arch, load_trace, simulate
from accelsim.cli import cli
from accelsim.cli.common import WIDTH
from accelsim.report.diff import CSV_COLUMNS, Change, diff_csv, diff_reports
from accelsim.workload import workload_overrides

Document = dict[str, Any]


def invoke(*args: str | Path) -> Result:
    return CliRunner().invoke(cli, ["diff", *map(str, args)])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """BERT-base with psums of 32 and of 8 bits."""
    folder = tmp_path_factory.mktemp("reports")
    arch, trace = load_arch("apsq_edge_ws"), load_trace("bert_base")
    paths = {}
    for bits in ("32", "8"):
        paths[bits] = folder / f"int{bits}.json"
        simulate(arch, workload_overrides(trace, {"workload.psum.bits": bits})).save(paths[bits])
    return paths


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "report.json"
    simulate(load_arch("apsq_edge_ws"), load_trace("matmul:16x64x32")).save(path)
    return path


def changed(path: Path, folder: Path, change: Callable[[Document], object]) -> Path:
    """A copy of a report after `change`."""
    document = copy.deepcopy(json.loads(path.read_text()))
    change(document)
    (folder / "changed.json").write_text(json.dumps(document))
    return folder / "changed.json"


def test_equal_reports_exit_0(saved: dict[str, Path]) -> None:
    result = invoke(saved["8"], saved["8"])
    assert result.exit_code == 0
    assert result.stdout == "the reports are equal\n"


def test_layout_and_order_of_keys_are_no_difference(small: Path, tmp_path: Path) -> None:
    def shuffle(document: Document) -> None:
        for key in reversed(list(document)):
            document[key] = document.pop(key)

    assert diff_reports(small, changed(small, tmp_path, shuffle)) == []


def test_what_moved_is_shown_provenance_first_and_exits_1(saved: dict[str, Path]) -> None:
    result = invoke(saved["32"], saved["8"])
    assert result.exit_code == 1, result.output
    heads = re.findall(r"^(Provenance|Totals|Phases|Blocks|Ops|Rows)\b", result.stdout, re.MULTILINE)
    assert heads == ["Provenance", "Totals", "Phases", "Blocks", "Ops", "Rows"]
    assert re.search(r"^energy_pj +[\d,]+ +[\d,]+ +-[\d,]+ +-25\.\d%$", result.stdout, re.MULTILINE)
    assert re.search(r"\.output\.dense +x12 .*psums int32", result.stdout)
    assert "10 of 80 kinds (--all shows every one)" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= WIDTH
    assert len(invoke(saved["32"], saved["8"], "--all").stdout) > len(result.stdout)


def test_energy_changes_are_sorted_and_add_up(saved: dict[str, Path]) -> None:
    entries = diff_reports(saved["32"], saved["8"])
    (total,) = (c.amount for e in entries if (e.section, e.name) == ("totals", "energy_pj") for c in e.changes)
    assert total is not None
    assert total < 0
    for section in ("phases", "blocks", "ops", "rows"):
        moved = [entry.energy_change_pj for entry in entries if entry.section == section]
        assert moved == sorted(moved, key=abs, reverse=True)
        assert math.fsum(moved) == pytest.approx(total, rel=1e-6)


def test_swapping_the_reports_turns_every_sign(saved: dict[str, Path]) -> None:
    there = {(e.section, e.name): e.energy_change_pj for e in diff_reports(saved["32"], saved["8"])}
    back = {(e.section, e.name): -e.energy_change_pj for e in diff_reports(saved["8"], saved["32"])}
    assert there == back


def test_csv_has_every_change(saved: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "moved.csv"
    result = invoke(saved["32"], saved["8"], "--csv", path)
    assert result.exit_code == 1
    entries = diff_reports(saved["32"], saved["8"])
    assert path.read_text() == diff_csv(entries)
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert len(rows) == sum(len(entry.changes) for entry in entries)
    assert tuple(rows[0]) == CSV_COLUMNS
    assert rows[0]["section"] == "provenance"
    row = next(row for row in rows if row["name"] == "energy_pj")
    assert float(row["b"]) - float(row["a"]) == float(row["change"])


def test_one_changed_op_is_told_alone(small: Path, tmp_path: Path) -> None:
    def change(document: Document) -> None:
        document["ops"][0] |= {"cycles": document["ops"][0]["cycles"] + 50, "bound_by": "magic"}

    (entry,) = diff_reports(small, changed(small, tmp_path, change))
    assert (entry.section, entry.name, entry.energy_change_pj) == ("ops", "encode matmul", 0)
    assert {c.field: c.amount for c in entry.changes} == {"cycles": 50, "bound_by": None}
    result = invoke(small, tmp_path / "changed.json")
    assert result.exit_code == 1
    assert re.search(r"same +same +cycles \+25\.1%, bound by latency -> magic", result.stdout)


@pytest.mark.parametrize(
    ("section", "name"),
    [("ops", "encode matmul"), ("rows", "encode matmul dram ifmap read"), ("blocks", "lut_unit")],
)
def test_what_only_one_report_has_is_told(section: str, name: str, small: Path, tmp_path: Path) -> None:
    def drop(document: Document) -> None:
        place = {"ops": 0, "rows": 0, "blocks": 5}[section]
        document[section].pop(place)

    other = changed(small, tmp_path, drop)
    for a, b, side in ((small, other, "a"), (other, small, "b")):
        entry = next(entry for entry in diff_reports(a, b) if entry.section == section)
        assert (entry.name, entry.only_in) == (name, side)
        assert (entry.energy_change_pj < 0) == (side == "a")
        assert f"only in {side.upper()}" in invoke(a, b).stdout


def test_equal_names_are_told_apart(small: Path, tmp_path: Path) -> None:
    other = changed(small, tmp_path, lambda document: document["ops"].append(document["ops"][0]))
    (entry,) = diff_reports(small, other)
    assert (entry.name, entry.only_in) == ("encode matmul #2", "b")
    other = changed(small, tmp_path, lambda document: document["rows"].append(document["rows"][0]))
    row = diff_reports(small, other)[-1]
    assert {change.field: change.percent for change in row.changes}["energy_pj"] == pytest.approx(100)


def test_sections_of_other_kinds_count_too(small: Path, tmp_path: Path) -> None:
    def add(document: Document) -> None:
        document["unknown_ops"].append(["aten.odd", "head", 3])
        document["infeasible"].append({"phase": "encode", "op": "fc", "macs": 4, "demand": 9, "bound": 8})
        document["macs"]["oracle"] = None

    entries = diff_reports(small, changed(small, tmp_path, add))
    assert [entry.section for entry in entries] == ["macs", "infeasible", "unknown_ops"]
    result = invoke(small, tmp_path / "changed.json")
    assert "aten.odd" in result.stdout
    assert "only in B" in result.stdout


def test_a_change_in_numbers() -> None:
    assert (Change("x", 4, 5).amount, Change("x", 4, 5).percent) == (1, 25)
    assert (Change("x", 0, 5).amount, Change("x", 0, 5).percent) == (5, None)
    assert Change("x", None, 5).amount is None
    assert Change("x", True, 5).amount is None
    assert Change("x", "a", "b").percent is None


MALFORMED: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", ":1:1: file: not JSON"),
    "cut off": ('{"schema_version": 1,\n"totals": {', ":2:12: file: not JSON"),
    "binary": (b"\x89PNG\r\n\xff", "not JSON in UTF-8"),
    "a list": ("[1]", "not a report: no object at its top"),
    "another object": ('{"a": 1}', "not a report: it has no schema_version"),
    "a spec's schema": ('{"schema_version": 1, "$defs": {}}', "not a report: it has no totals"),
    "not finite": ('{"schema_version": NaN}', "NaN is no finite number"),
    "infinite": ('{"schema_version": 1e999}', "1e999 is no finite number"),
    "endless": ('{"schema_version": ' + "9" * 5000 + "}", "a number of 5000 digits"),
    "nested too deep": ("[" * 100_000, "nested too deep"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_file_that_is_no_report(case: str, small: Path, tmp_path: Path) -> None:
    data, answer = MALFORMED[case]
    path = tmp_path / "bad.json"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    for pair in ((small, path), (path, small)):
        result = invoke(*pair)
        assert result.exit_code == 2, result.output
        assert f"{path}" in result.stderr
        assert answer in result.stderr
        assert "fix: " in result.stderr
        assert "Traceback" not in result.output


def _set(section: str, value: object) -> Callable[[Document], object]:
    return lambda document: document.__setitem__(section, value)


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        (_set("schema_version", 2), "schema_version: found 2"),
        (_set("schema_version", "1"), 'schema_version: found "1"'),
        (_set("ops", {}), "ops: not a list"),
        (_set("totals", []), "totals: not an object"),
        (_set("rows", [3]), "rows[0]: not an object"),
        (lambda document: document["ops"][0].pop("name"), "ops[0].name: missing, or no text"),
        (lambda document: document["rows"][2].__setitem__("block", 7), "rows[2].block: missing, or no text"),
        (lambda document: document["rows"][1].__setitem__("energy_pj", "7"), "rows[1].energy_pj: no number"),
        (lambda document: document.pop("rows"), "rows: missing"),
    ],
)
def test_a_report_with_a_part_out_of_place(
    change: Callable[[Document], object], answer: str, small: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=re.escape(answer)):
        diff_reports(small, changed(small, tmp_path, change))


@pytest.mark.parametrize(
    ("args", "answer"),
    [
        (("missing.json",), "missing.json: file: No such file"),
        ((".",), ".: file: Is a directory"),
        (("{small}", "--csv", "moved.txt"), "use .csv"),
        (("{small}", "--csv", "missing/moved.csv"), "mkdir -p missing"),
        ((), "Missing argument 'B.json'"),
    ],
)
def test_mistakes_exit_2(
    args: tuple[str, ...], answer: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(small, *(arg.format(small=small) for arg in args))
    assert result.exit_code == 2, result.output
    assert answer in result.stderr
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_help_tells_the_exit_codes() -> None:
    assert "0 the reports are equal, 1 they differ, 2" in invoke("--help").stdout
