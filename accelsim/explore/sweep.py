"""A sweep: one simulation per combination of values, as one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.errors import user_error
from accelsim.explore.points import Plan, plan
from accelsim.explore.pool import cores, run_points

if TYPE_CHECKING:
    import pandas as pd

    from accelsim.explore.point import Result

COSTS = (
    "energy_pj", "energy_on_chip_pj", "dynamic_energy_pj", "leakage_energy_pj", "psum_energy_pj", "cycles",
    "latency_s", "area_mm2", "power_mw", "tops", "tops_per_w", "psum_energy_share", "assumed_energy_share", "macs",
    "infeasible_ops",
)  # fmt: skip
WHOLE = ("cycles", "macs", "infeasible_ops")
OPERAND_SUFFIX = "_operand_energy_pj"
OPERAND_DRAM_SUFFIX = "_operand_dram_energy_pj"


def sweep(
    arch: str | Path,
    workloads: str | Path | Sequence[str | Path],
    over: Mapping[str, Sequence[object]],
    *,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Simulate every combination of the values in `over` (keys `arch.*`, `workload.*`) with every workload.

    One row per point, in product order whatever `processes` is (default: every core): arch, workload,
    the swept keys, the totals of the report, energy by block (`<block>_energy_pj`) and by operand
    (`<operand>_operand_energy_pj`, of which `<operand>_operand_dram_energy_pj` in DRAM), hashes,
    `status` (ok, infeasible, error) and `reason`. A point that cannot run whole has no costs.
    `progress` is told the points done and their number. Raises UserError, before anything runs, for a
    key or value that the schema does not have or a workload that does not exist.
    """
    if processes is not None and processes < 1:
        raise user_error("sweep", "processes", f"found {processes}", "at least 1, or None for every core")
    todo = plan(arch, workloads, over)
    return frame(todo, run_points(todo, processes or cores(), progress))


def frame(todo: Plan, results: Sequence[Result]) -> pd.DataFrame:
    """The results as a table, columns in the order that `sweep` promises."""
    import pandas as pd

    from accelsim.report.terminal import OPERANDS

    blocks = _names(result.blocks_pj for result in results)
    found = _names(result.operands_pj for result in results)
    operands = [name for name in OPERANDS if name in found] + sorted(set(found) - set(OPERANDS))
    columns: dict[str, list[object]] = {"arch": [todo.arch_name] * len(results)}
    columns["workload"] = [point.workload for point in todo.points]
    for number, key in enumerate(todo.keys):
        columns[key] = [point.sets[number][1] for point in todo.points]
    for name in COSTS:
        columns[name] = [result.costs.get(name) for result in results]
    for name in blocks:
        columns[f"{name}_energy_pj"] = [_part(result, result.blocks_pj, name) for result in results]
    for name in operands:
        columns[f"{name}{OPERAND_SUFFIX}"] = [_part(result, result.operands_pj, name) for result in results]
    for name in operands:
        columns[f"{name}{OPERAND_DRAM_SUFFIX}"] = [_part(result, result.operands_dram_pj, name) for result in results]
    for name in ("arch_hash", "workload_hash"):
        columns[name] = [result.hashes.get(name, "") for result in results]
    columns["status"] = [result.status for result in results]
    columns["reason"] = [result.reason for result in results]
    table = pd.DataFrame(columns)
    energies = [name for name in table.columns if name.endswith("_pj") or name in COSTS]
    # Missing costs leave whole numbers whole, and a column of nothing else is still one of numbers.
    return table.astype({name: "Int64" if name in WHOLE else "float64" for name in energies})


def _names(parts: Iterable[Mapping[str, float]]) -> list[str]:
    """Every name once, in order of first appearance."""
    return list(dict.fromkeys(name for part in parts for name in part))


def _part(result: Result, parts: Mapping[str, float], name: str) -> float | None:
    """Energy of a part; 0 where the point has none of it, nothing where the point has no costs."""
    return parts.get(name, 0.0) if result.status == "ok" else None
