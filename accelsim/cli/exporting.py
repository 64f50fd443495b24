"""`accelsim trace`: from a PyTorch model to a workload file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from accelsim.cli.common import check_outputs, missing, set_option, wrote
from accelsim.errors import UserError, user_error

if TYPE_CHECKING:
    from accelsim.workload import PhaseKind, Trace

EPILOG = """\b
Examples:
  accelsim trace bert-base --seq 128 --out bert.trace.json.gz
  accelsim trace llama2-7b --seq 2048 --out prefill.trace.json.gz
  accelsim trace llama2-7b --phase decode --context 2048 --out decode.trace.json.gz

The model is built from its config without weights; nothing is downloaded. Needs PyTorch:
pip install accelsim-codesign[torch]. For a model of your own use workloads.export_trace in Python."""


@click.command(epilog=EPILOG)
@click.argument("model")
@click.option("--seq", type=click.IntRange(1), help="Tokens an encode or prefill handles.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Sequences side by side.")
@click.option("--phase", type=click.Choice(("encode", "prefill", "decode")), help="Default: the model's first.")
@click.option("--context", type=click.IntRange(1), help="Tokens in the KV cache before the one a decode adds.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="F.json.gz", help="The trace file.")
@set_option("workload.psum.bits=8")
def trace(
    model: str, seq: int | None, batch: int, phase: PhaseKind | None, context: int | None, out: Path,
    overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Write the trace of MODEL: its operations, their sizes and order."""
    check_outputs([(out, (".json", ".json.gz"))])
    from accelsim.spec import split_overrides
    from accelsim.workload import workload_overrides, write_trace

    arch_sets, workload_sets = split_overrides(overrides)
    if arch_sets:
        raise user_error("override", next(iter(arch_sets)), "this command has no accelerator", "leave it out")
    made = workload_overrides(_build(model, seq, batch, phase, context), workload_sets)
    write_trace(made, out)
    _tell(made)
    wrote(out)


def _build(model: str, seq: int | None, batch: int, phase: PhaseKind | None, context: int | None) -> Trace:
    try:
        from workloads.registry import MODELS, build
    except ModuleNotFoundError as error:
        raise _no_torch(error) from None
    entry = MODELS.get(model.lower().replace("_", "-"))
    phase = phase or (entry.phases[0] if entry else "encode")
    try:
        # A model that does not exist is answered before the sizes of one that does.
        tokens = _tokens(phase, seq, context) if entry else 1
        return build(model, seq=tokens, batch=batch, phase=phase)
    except ModuleNotFoundError as error:
        raise _no_torch(error) from None


def _tokens(phase: PhaseKind, seq: int | None, context: int | None) -> int:
    """The one size that `build` asks for: new tokens, or for a decode the tokens before its one."""
    if phase == "decode":
        if context is None:
            raise missing("--context", "a decode needs it", "give the tokens in the KV cache, like --context 2048")
        if seq not in (None, 1):
            raise user_error("command line", "--seq", f"a decode adds one token, not {seq}", "leave --seq out")
        return context
    if seq is None:
        raise missing("--seq", f"{phase} needs it", "give the number of tokens, like --seq 128")
    if context is not None:
        raise user_error("command line", "--context", f"{phase} has none", "leave it out, or use --phase decode")
    return seq


def _no_torch(error: ModuleNotFoundError) -> UserError:
    """The answer to a missing torch or transformers; any other missing module is our own bug."""
    name = (error.name or "").partition(".")[0]
    if name not in ("torch", "transformers"):
        raise error
    return user_error("accelsim trace", name, "not installed", "pip install accelsim-codesign[torch]")


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
