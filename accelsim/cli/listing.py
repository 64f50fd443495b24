"""`accelsim list` and `accelsim schema`: what there is, and what a file may hold."""

from __future__ import annotations

import json

import click

from accelsim.cli.common import array_text, show


@click.command("list", epilog="\b\nExample:\n  accelsim list")
def list_() -> None:
    """Shipped accelerators, workloads and language models by name."""
    from rich.text import Text

    from accelsim.report.terminal import count_text, table
    from accelsim.spec import load_arch
    from accelsim.spec.locate import measured_names, shipped_names
    from accelsim.workload import load_trace, shipped_workloads
    from accelsim.workload.template import shipped_templates

    specs = [(name, load_arch(name)) for name in shipped_names()]
    accelerators = [(name, spec.description, array_text(spec)) for name, spec in specs]
    traces = [(name, load_trace(name)) for name in shipped_workloads()]
    workloads = [
        (name, ", ".join(phase.name for phase in trace.phases), count_text(sum(len(p.ops) for p in trace.phases)),
         count_text(trace.macs))
        for name, trace in traces
    ]  # fmt: skip
    show(
        table("Accelerators", ("name", "description", "array"), accelerators),
        table("Workloads", ("name", "phases", ">ops", ">MACs"), workloads),
        Text("Any matmul is a workload too: matmul:MxKxN, for example matmul:128x768x3072."),
        Text(f"\nMeasured machines, as specs: {', '.join(measured_names())}"),
        Text(f"\nLanguage models for `accelsim decode`: {', '.join(shipped_templates())}"),
    )


@click.command(epilog="\b\nExamples:\n  accelsim schema > arch.schema.json\n  accelsim schema trace")
@click.argument("what", type=click.Choice(("arch", "trace")), default="arch")
def schema(what: str) -> None:
    """JSON schema of a spec (arch, the default) or a trace."""
    from accelsim.spec import ArchSpec
    from accelsim.workload import trace_json_schema

    click.echo(json.dumps(ArchSpec.model_json_schema() if what == "arch" else trace_json_schema(), indent=2))
