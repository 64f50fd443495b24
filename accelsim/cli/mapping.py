"""`accelsim map`: the mappings of a workload's ops, as a table and as a file to replay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelsim.cli.common import check_outputs, progress_bar, say_if_compiling, searches, set_option, show, wrote

if TYPE_CHECKING:
    from rich.console import RenderableType

    from accelsim.map_workload import MappedOps

EPILOG = """\b
Examples:
  accelsim map apsq_edge_ws bert_base --set arch.array.dataflow=search --out mapping.yaml
  accelsim simulate apsq_edge_ws bert_base --set arch.array.dataflow=search --mapping mapping.yaml
  accelsim map apsq_edge_ws matmul:128x768x3072 --set arch.mapping.tiles=searched --set arch.mapping.objective=latency
  accelsim map validation/gemmini_16x16 matmul:128x768x768 --out mapping.yaml \\
      --loops "L3[WIO] K48 - L2[WI] K16X - L1[O] C48 P16 C16X - L0[W] P8"

\b
Keys that matter here:
  arch.array.dataflow=search         any loop order (adder_tree)
  arch.mapping.tiles=searched        the best tiles that keep the dataflow's operand in the array
  arch.mapping.objective             energy, latency or edp
  arch.mapping.search_budget         mappings counted (a bound counts as 8) per op before the best is taken
  arch.mapping.search_tolerance      how far from the best still counts as proved

"proved" says that no mapping of the map space is better by more than the gap; "budget" that the budget was
spent first, "orders" that all orders tried are done but the op has more, "limits" that tile sizes with too
many kinds of tiles were left out; "placed" mappings are not searched. Searches are kept under
$XDG_CACHE_HOME/accelsim/mappings; ACCELSIM_MAPPING_CACHE=off leaves the disk alone.

--loops takes Timeloop's short form: levels from DRAM inwards, the operands (W, I, O) each holds, its loops as
a dim (R S P Q C K N) and trips, X where spatial; a matmul has rows P, reduction C and columns K. Tiles are
double buffered where two fit. Where ops are kernels or a host's commands, time follows from the tiles of DRAM's loops
alone, accesses and energy from all of them, and there is no closed form to show."""


@click.command("map", epilog=EPILOG)
@click.argument("arch")
@click.argument("workload")
@click.option("--out", "out_path", type=click.Path(path_type=Path), metavar="F.yaml", help="Write the mappings.")
@click.option("--loops", metavar="TEXT", help="The mapping of the workload's one matmul or conv, as a line of loops.")
@set_option("arch.array.dataflow=search")
def map_(arch: str, workload: str, out_path: Path | None, loops: str | None, overrides: tuple[str, ...]) -> None:
    """Map every matmul and conv of WORKLOAD on ARCH."""
    check_outputs(((out_path, (".yaml", ".yml")),), (arch, workload))
    from accelsim.errors import user_error
    from accelsim.map_workload import map_as_given, map_workload
    from accelsim.mapping.mapping_file import save_mappings
    from accelsim.spec import load_arch, split_overrides
    from accelsim.workload import load_trace, workload_overrides

    arch_sets, workload_sets = split_overrides(overrides)
    spec = load_arch(arch, arch_sets)
    trace = workload_overrides(load_trace(workload), workload_sets)
    if loops is not None:
        file, groups = map_as_given(spec, trace, loops)
    else:
        say_if_compiling(searches(spec), engine=False)
        with progress_bar("mapping") as progress:
            file, groups = map_workload(spec, trace, progress)
    show(*_page(groups, "placed" if loops is None else "given"))
    if out_path is not None:
        if not file.mappings:
            raise user_error(str(out_path), "--out", "not written: no op can be mapped", "see the table above")
        save_mappings(file, out_path)
        wrote(out_path)


def _page(groups: list[MappedOps], unsearched: str) -> list[RenderableType]:
    from accelsim.mapping.placement import Infeasible
    from accelsim.report.terminal import ENERGY_UNITS, TIME_UNITS, count_text, scaled_text, table

    rows, failed = [], []
    for group in groups:
        name, times = group.ops[0].partition("/")[2], f"x{len(group.ops)}"
        if isinstance(group.found, Infeasible):
            why = group.found
            failed.append((name, times, why.resource, why.found, why.lever))
            continue
        costs = ("-", "-")
        if group.cost is not None:
            energy, seconds = group.cost.energy_pj, group.cost.latency_fs / 1e15
            costs = (scaled_text(energy, ENERGY_UNITS), scaled_text(seconds, TIME_UNITS))
        search = group.found.search
        if search is None:
            rows.append((name, times, *costs, unsearched, "", ""))
        else:
            ended = (search.stop_reason, f"{search.gap:.2%}", count_text(search.counted))
            rows.append((name, times, *costs, *ended))
    columns = ("op", ">", ">energy", ">time", "stopped", ">gap at most", ">mappings")
    page = [table(f"Mappings of {len(rows)} kinds of op, by the closed form", columns, rows)]
    if failed:
        page.append(table("Ops that cannot be mapped", ("op", ">", "resource", "found", "what to change"), failed))
    return page
