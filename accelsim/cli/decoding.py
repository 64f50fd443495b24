"""`accelsim decode`: a target and a draft model answering requests on one accelerator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from accelsim.cli.common import (
    check_outputs,
    missing,
    progress_bar,
    say_if_compiling,
    searches,
    set_option,
    show,
    wrote,
)

if TYPE_CHECKING:
    from rich.table import Table

    from accelsim.decoding.model import LanguageModel
    from accelsim.decoding.passes.tabulate import Passes
    from accelsim.decoding.policies import Policy
    from accelsim.decoding.serving import Serving

DRAFTING = ("vanilla", "tree", "pearl", "apsd")
PLOT_SUFFIXES = (".png", ".svg", ".pdf")
MAX_REQUESTS = 1_000_000
EPILOG = """\b
Examples:
  accelsim decode apsq_llm_ws --target llama2_7b --policy autoregressive
  accelsim decode apsq_llm_ws --target llama2_7b --draft llama_160m --policy vanilla --draft-length 5 --acceptance 0.8
  accelsim decode apsq_llm_ws --target vicuna_1b_like --draft llama_160m --policy apsd --draft-length 7 \\
      --acceptance runs:0.9,0.85 --prompts 32:512 --outputs ~200 --timeline round.json --gantt round.png

\b
--policy        autoregressive, vanilla, tree, pearl, apsd
--acceptance    0.8                       every draft token by itself
                0.7,0.1                   the draft's first, second ... candidate (what a tree needs)
                runs:0.9,0.85             after 0, 1 ... right tokens in a row
                F.acceptance.csv.gz       recorded from real models; with :greedy behind it, by rank
--draft-length  5, heuristic:FIRST:MOST or entropy:LIMIT_BITS:MOST
--prompts, --outputs   128, 32:512 (uniform) or ~200 (geometric of that mean)

Models are shipped names (llama_160m, llama_296m_like, llama2_7b, llama3_8b, vicuna_1b_like) or files of
your own, *.template.json.gz, written by `accelsim trace --template`."""


@click.command(epilog=EPILOG)
@click.argument("arch")
@click.option("--target", required=True, metavar="MODEL", help="The model whose answers are wanted.")
@click.option("--draft", metavar="MODEL", help="The model that drafts; autoregressive decoding has none.")
@click.option("--policy", "policy_name", default="vanilla", show_default=True, help="Who drafts when.")
@click.option("--acceptance", default="0.8", show_default=True, help="How often the target accepts the draft.")
@click.option("--draft-length", default="5", show_default=True, help="Tokens of a draft.")
@click.option("--short", type=click.IntRange(1, 64), default=2, show_default=True, help="apsd: its serial draft.")
@click.option("--tree", default="4,2,1", show_default=True, help="tree: candidates below each node, by depth.")
@click.option("--prompts", default="128", show_default=True, help="Prompt lengths, tokens.")
@click.option("--outputs", default="256", show_default=True, help="Answer lengths, tokens.")
@click.option("--requests", type=click.IntRange(1, MAX_REQUESTS), default=200, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of lengths and acceptance.")
@click.option("--weight-bits", type=click.IntRange(1, 64), default=4, show_default=True, help="Width of weights.")
@click.option("--activation-bits", type=click.IntRange(1, 64), default=8, show_default=True, help="Of activations.")
@click.option("--kv-bits", type=click.IntRange(1, 64), default=8, show_default=True, help="Of the KV cache.")
@click.option("--rotation/--no-rotation", default=False, help="Rotate the inputs of the target's down projections.")
@click.option("--draft-codebooks/--no-draft-codebooks", default=False, help="Two bits a weight in the draft's layers.")
@click.option(
    "--issue", type=click.Choice(("out-of-order", "pipelined", "in-order")), default="out-of-order",
    show_default=True, help="Whether queues may run ahead of each other; pipelined: in order, loads moved up.",
)  # fmt: skip
@click.option(
    "--interleave", type=click.Choice(("proportional", "verify_first", "draft_first")), default="proportional",
    show_default=True, help="The order of draft and verify side by side.",
)  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="F.json", help="Save the summary.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), metavar="F.csv", help="Save a row a request.")
@click.option(
    "--timeline", "timeline_path", type=click.Path(path_type=Path), metavar="F.json",
    help="Save a round as Chrome trace events (ui.perfetto.dev).",
)  # fmt: skip
@click.option("--gantt", "gantt_path", type=click.Path(path_type=Path), metavar="F.png|svg|pdf", help="Draw a round.")
@set_option("arch.dram.bandwidth_gb_per_s=12.8")
def decode(
    arch: str, target: str, draft: str | None, policy_name: str, acceptance: str, draft_length: str, short: int,
    tree: str, prompts: str, outputs: str, requests: int, seed: int, weight_bits: int, activation_bits: int,
    kv_bits: int, rotation: bool, draft_codebooks: bool, issue: str, interleave: str, json_path: Path | None,
    csv_path: Path | None, timeline_path: Path | None, gantt_path: Path | None, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Tokens per second and energy of a target model that decodes with a draft on ARCH."""
    files = (json_path, (".json",)), (csv_path, (".csv",)), (timeline_path, (".json",)), (gantt_path, PLOT_SUFFIXES)
    check_outputs(files, (arch, acceptance))
    from accelsim.cli.common import arch_overrides
    from accelsim.decoding.lengths import draw_lengths
    from accelsim.decoding.model import LanguageModel
    from accelsim.decoding.passes.tabulate import Passes, grid_of, tabulate
    from accelsim.decoding.policies import make_policy
    from accelsim.decoding.serving import check_ranks, serve
    from accelsim.decoding.words import acceptance_of, length_of, tree_of
    from accelsim.spec import load_arch
    from accelsim.workload.template import load_template

    _check_used(policy_name)
    policy = make_policy(policy_name, length_of(draft_length), short=short, widths=tree_of(tree))
    accepted = acceptance_of(acceptance)
    check_ranks(policy, accepted)
    asked = draw_lengths(prompts, requests, seed, "--prompts"), draw_lengths(outputs, requests, seed + 1, "--outputs")
    spec = load_arch(arch, arch_overrides(overrides))
    widths = (weight_bits, activation_bits, kv_bits)
    big = LanguageModel(load_template(target), *widths, rotation=rotation)
    small = _draft(draft, policy, widths, draft_codebooks)
    say_if_compiling(searches(spec))
    passes = Passes(spec, big, small, issue, interleave)  # type: ignore[arg-type]
    with progress_bar("running passes") as progress:
        costs = tabulate(passes, grid_of(policy, *asked), progress)
    served = serve(policy, accepted, costs, *asked, seed)
    show(_table(f"\n{target} with {draft or 'no draft'} on {spec.name}: {policy.name}, {issue} issue", served))
    for path in (json_path, csv_path):
        if path is not None:
            served.save(path)
            wrote(path)
    if timeline_path is not None or gantt_path is not None:
        middle = min(int((asked[0] + asked[1] // 2).mean()), int(costs.contexts[-1]))
        _draw(passes, policy, middle, timeline_path, gantt_path)


USED_BY = {
    "draft": DRAFTING, "acceptance": DRAFTING, "draft_codebooks": DRAFTING,
    "draft_length": ("vanilla", "pearl", "apsd"), "short": ("apsd",), "tree": ("tree",),
    "interleave": ("pearl", "apsd"),
}  # fmt: skip
"""Options that only some policies read."""


def _check_used(policy: str) -> None:
    """UserError for every option that was given and that the policy does not read."""
    from accelsim.decoding.policies import POLICIES
    from accelsim.errors import Fault, UserError

    context = click.get_current_context()
    given = [name for name in USED_BY if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    faults = [
        Fault("command line", 0, 0, f"--{name.replace('_', '-')}", f"policy {policy} does not read it",
              f"leave it out, or use --policy {' or '.join(USED_BY[name])}")
        for name in given
        if policy in POLICIES and policy not in USED_BY[name]
    ]  # fmt: skip
    if faults:
        raise UserError(faults)


def _draft(name: str | None, policy: Policy, widths: tuple[int, int, int], codebooks: bool) -> LanguageModel | None:
    from accelsim.decoding.model import TWO_BITS, LanguageModel
    from accelsim.workload.template import load_template

    if name is None:
        if policy.serial or policy.concurrent:
            raise missing("--draft", f"policy {policy.name} drafts", "name a model, or use --policy autoregressive")
        return None
    return LanguageModel(load_template(name), *widths, codebook=TWO_BITS if codebooks else None)


def _draw(passes: Passes, policy: Policy, context: int, timeline_path: Path | None, gantt_path: Path | None) -> None:
    """A round of the policy as a timeline, and as a picture of it."""
    from accelsim.decoding.passes.program import QUEUES
    from accelsim.decoding.passes.spans import round_of, round_spans
    from accelsim.report.files import write_whole
    from accelsim.report.gantt import save_gantt
    from accelsim.report.trace_events import trace_events

    spans = round_spans(passes, round_of(policy), context)
    title = f"{passes.target.name} on {passes.arch.name}: a round of {policy.name} at {context} tokens of context"
    if timeline_path is not None:
        write_whole(timeline_path, trace_events(title, QUEUES, spans).encode())
        wrote(timeline_path)
    if gantt_path is not None:
        save_gantt(title, QUEUES, spans, gantt_path)
        wrote(gantt_path)


def _table(title: str, served: Serving) -> Table:
    from accelsim.cli.tabling import table

    found = served.summary()
    shown = table(title, ("",), ("mean", "p50", "p90", "p99"))
    for name, text, digits in (
        ("ms_per_token", "ms per token", 3), ("mj_per_token", "mJ per token", 3), ("mj_per_answer", "mJ per answer", 1)
    ):  # fmt: skip
        values = (found[name], *(found[f"{name}_p{share}"] for share in (50, 90, 99)))
        shown.add_row(text, *(f"{value:,.{digits}f}" for value in values))
    shown.add_section()
    for name, text, form in (
        ("tokens_per_s", "tokens per second", ",.2f"),
        ("dram_mb_per_token", "DRAM MB per token", ",.2f"),
        ("reram_mb_per_token", "ReRAM MB per token", ",.2f"),
        ("tokens_per_target_pass", "tokens per target pass", ".3f"),
        ("draft_steps_per_target_pass", "draft steps per target pass", ".3f"),
        ("stayed_parallel_share", "passes after which drafts went on", ".1%"),
        ("rejected_draft_share", "draft steps rejected", ".1%"),
        ("rejected_energy_share", "energy of rejected work", ".1%"),
    ):
        shown.add_row(text, format(found[name], form))
    for queue, share in served.busy_share:
        shown.add_row(f"{queue} busy", f"{share:.1%}", f"idle {1 - share:.1%}")
    return shown
