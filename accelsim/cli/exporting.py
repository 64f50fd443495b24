"""`accelsim trace`: from a PyTorch model to a workload file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelsim.cli.common import check_outputs, missing, no_torch, set_option, wrote
from accelsim.errors import Fault, UserError, user_error

if TYPE_CHECKING:
    from accelsim.workload import PhaseKind, Trace
    from accelsim.workload.template import TraceTemplate

PHASES = ("encode", "prefill", "decode", "verify")
EPILOG = """\b
Examples:
  accelsim trace bert-base --seq 128 --out bert.trace.json.gz
  accelsim trace llama2-7b --phase decode --context 4096 --out decode.trace.json.gz
  accelsim trace llama3-8b --phase verify --seq 5 --context 1024 --out verify.trace.json.gz
  accelsim trace segformer-b0 --size 512 --out segformer.trace.json.gz
  accelsim trace --config mixtral.json --seq 256 --out mixtral.trace.json.gz
  accelsim trace --module model.py:build --out mine.trace.json.gz
  accelsim trace --template --config mistral.json --out mistral.template.json.gz

Models: bert-base, llama-160m, llama-296m-like, llama2-7b, llama3-8b, vicuna-1b-like (--seq,
--context, or both for a verify); efficientvit-b1, efficientvit-b1-classifier, resnet-50,
segformer-b0, vit-b-16 (--size).

A --module function returns (module, inputs) and may build both on the meta device. No weights are
needed and nothing is downloaded. Needs PyTorch; in the checkout:
pip install -c constraints.txt -e '.[torch]'"""


@click.command(epilog=EPILOG)
@click.argument("model", required=False)
@click.option("--module", metavar="F.py:FUNCTION", help="A function of yours that returns (module, inputs).")
@click.option("--config", metavar="F.json", help="A HuggingFace config file.")
@click.option("--seq", type=click.IntRange(1), help="Tokens an encode, prefill or verify handles.")
@click.option("--context", type=click.IntRange(1), help="Tokens in the KV cache before those a decode or verify adds.")
@click.option("--size", type=click.IntRange(1), help="Height and width of an image, in pixels.")
@click.option("--batch", type=click.IntRange(1), help="Sequences or images side by side.  [default: 1]")
@click.option(
    "--phase", type=click.Choice(("encode", "prefill", "decode", "verify")), help="Default: the model's first."
)
@click.option(
    "--template", is_flag=True, help="Write a language model's template for `accelsim decode`: any tokens, any context."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="F.json.gz", help="The trace file.")
@set_option("workload.psum.bits=8")
def trace(
    model: str | None, module: str | None, config: str | None, seq: int | None, context: int | None,
    size: int | None, batch: int | None, phase: PhaseKind | None, template: bool, out: Path,
    overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Write the trace of MODEL, or of a model of your own: its operations, their sizes and order."""
    check_outputs([(out, (".json", ".json.gz"))], [config] if config else [])
    from accelsim.spec import split_overrides
    from accelsim.workload import workload_overrides, write_trace
    from accelsim.workload.template import TEMPLATE_SUFFIX

    arch_sets, workload_sets = split_overrides(overrides)
    if arch_sets:
        raise user_error("override", next(iter(arch_sets)), "this command has no accelerator", "leave it out")
    if template != out.name.endswith(TEMPLATE_SUFFIX):
        found = "a template under another suffix" if template else "the suffix of a template, and this writes a trace"
        fix = f"end the name in {TEMPLATE_SUFFIX}" if template else "name another, or give --template"
        raise user_error(str(out), "output", found, fix)
    if sum(source is not None for source in (model, module, config)) != 1:
        raise missing("MODEL", "needs one model", "give a name like bert-base, or --module, or --config; one of them")
    os.environ["HF_HUB_OFFLINE"] = "1"  # a config may name weights to fetch; a trace needs none
    try:
        import workloads

        if template:
            _refuse_with_template(seq, context, size, batch, phase, module, overrides)
            _write_template(workloads.template(model) if model else workloads.config_template(config or ""), out)
            return
        if module is not None:
            _refuse({"--seq": seq, "--context": context, "--size": size, "--batch": batch})
            made = workloads.trace_module(module, phase or "encode")
        else:
            build = workloads.trace_config if config is not None else workloads.build
            made = build(
                config or model or "", phase=phase, seq=seq, context=context, size=size, batch=batch or 1
            )  # fmt: skip
    except ModuleNotFoundError as error:
        raise no_torch("trace", "torch", error) from None
    made = workload_overrides(made, workload_sets)
    write_trace(made, out)
    _tell(made)
    wrote(out)


def _refuse_with_template(*given: object) -> None:
    if any(given):
        fix = "leave out --seq, --context, --size, --batch, --phase, --module and --set"
        raise user_error("command line", "--template", "is of any tokens and context, at widths chosen later", fix)


def _write_template(made: TraceTemplate, out: Path) -> None:
    from accelsim.report.files import write_whole
    from accelsim.workload.template import template_bytes

    write_whole(out, template_bytes(made))
    _tell_strays(made.trace)
    wrote(out)


def _refuse(sizes: dict[str, int | None]) -> None:
    fix = "leave it out; the function chooses its inputs"
    faults = [Fault("command line", 0, 0, name, "--module takes no sizes", fix) for name in sizes if sizes[name]]
    if faults:
        raise UserError(faults)


def _tell(made: Trace) -> None:
    ops = sum(len(phase.ops) for phase in made.phases)
    click.echo(f"{made.name}: {ops:,} ops, {made.macs:,} MACs")
    oracle = made.oracle
    verdict = "equal" if oracle.macs == made.macs else f"differ: {oracle.macs:,}"
    click.echo(f"oracle: {'not checked' if oracle.macs is None else verdict} ({oracle.method})")
    for op in made.unknown_ops:
        click.echo(f"unknown op, not in the MACs: {op.function} in {op.module or 'the model'} x{op.count}")
    if not made.unknown_ops:
        click.echo("unknown ops: none")
    _tell_strays(made)


def _tell_strays(made: Trace) -> None:
    strays = dict(made.provenance).get("config.keys_not_read")
    if strays:
        click.echo(f"config keys that the model does not read: {strays}")
