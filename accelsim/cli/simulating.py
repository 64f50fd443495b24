"""`accelsim simulate`: one workload on one accelerator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelsim.cli.common import (
    array_text,
    check_outputs,
    say_if_compiling,
    searches,
    set_option,
    show,
    technology_text,
    wrote,
)

if TYPE_CHECKING:
    from accelsim.report import Report
    from accelsim.spec import ArchSpec

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
HASH_SHOWN = 12

EPILOG = """\b
Examples:
  accelsim simulate apsq_edge_ws bert_base
  accelsim simulate apsq_edge_ws bert_base --set workload.psum.bits=8 --set workload.psum.group_size=2
  accelsim simulate my_chip.yaml my_model.trace.json.gz --json report.json --plot report.png
  accelsim simulate systolic_32x32 matmul:128x768x3072 --set arch.dram.bandwidth_gb_per_s=51.2

ARCH is a shipped name or a .yaml file; WORKLOAD a shipped name, a trace file, or a single matmul
MxKxN (or BxMxKxN). 'accelsim list' shows what is shipped.

\b
Keys of --set:
  arch.KEY                   any key of the spec, as 'accelsim explain ARCH' lists them
  workload.psum.bits         stored width of partial sums in every matmul and conv; below 16: APSQ
  workload.psum.group_size   APSQ group size
  workload.zeros             share of zeros in all activations, for arch.dram.run_length and array.zero_gating

With arch.array.dataflow=search every matmul and conv gets its best mapping ('accelsim map --help')."""


@click.command(epilog=EPILOG)
@click.argument("arch")
@click.argument("workload")
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="F.json", help="Save the whole report.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), metavar="F.csv", help="Save the energy rows.")
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), metavar="F.png|svg|pdf", help="Draw the report.")
@click.option(
    "--mapping",
    "mapping_path",
    type=click.Path(path_type=Path),
    metavar="F.yaml",
    help="Replay the mappings of `accelsim map`.",
)
@set_option("workload.psum.bits=8")
def simulate(
    arch: str,
    workload: str,
    json_path: Path | None,
    csv_path: Path | None,
    plot_path: Path | None,
    mapping_path: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Energy, area and time of WORKLOAD on ARCH, and where they go."""
    outputs = ((json_path, (".json",)), (csv_path, (".csv",)), (plot_path, PLOT_SUFFIXES))
    check_outputs(outputs, (arch, workload, *([] if mapping_path is None else [str(mapping_path)])))
    from accelsim.errors import user_error
    from accelsim.spec import load_arch, split_overrides
    from accelsim.spec.zero_checks import uses_zeros
    from accelsim.workload import load_trace, workload_overrides
    from accelsim.workload.load import ZEROS_KEY

    arch_sets, workload_sets = split_overrides(overrides)
    spec = load_arch(arch, arch_sets)
    trace = workload_overrides(load_trace(workload), workload_sets)
    if ZEROS_KEY in workload_sets and not uses_zeros(spec):
        fix = "set arch.dram.run_length.run_bits=5, or arch.array.zero_gating=true on a pe_grid"
        raise user_error("override", ZEROS_KEY, "has no effect: this spec neither compresses nor gates zeros", fix)
    say_if_compiling(searches(spec) and mapping_path is None)
    from accelsim.mapping.mapping_file import load_mappings
    from accelsim.report.fusion import render_groups
    from accelsim.report.plot import save_plot
    from accelsim.report.terminal import render
    from accelsim.simulation import simulate as run

    report = run(spec, trace, None if mapping_path is None else load_mappings(mapping_path))
    show(render(report, _header(spec, report)))
    if report.groups:
        show(render_groups(report.groups))
    for path in (json_path, csv_path):
        if path is not None:
            report.save(path)
            wrote(path)
    if plot_path is not None:
        save_plot(report, plot_path)
        wrote(plot_path)


def _header(spec: ArchSpec, report: Report) -> list[tuple[str, str]]:
    """What ran, for the top of the terminal's report."""
    import accelsim

    origin = dict(report.provenance)
    return [
        ("accelsim", f"{accelsim.__version__}, {Path(accelsim.__file__).parent}"),
        ("accelerator", f"{spec.name} ({origin['arch_hash'][:HASH_SHOWN]})"),
        ("", f"{technology_text(spec)}; {array_text(spec)}"),
        ("workload", f"{origin['workload']} ({origin['workload_hash'][:HASH_SHOWN]})"),
    ]
