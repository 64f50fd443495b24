"""`accelsim reproduce reram-chip`: the tables it prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from accelsim.cli.common import progress_bar, show
from accelsim.cli.tabling import table

if TYPE_CHECKING:
    from rich.table import Table

    from accelsim.reproduce.reram_chip.chip import Head
    from accelsim.reproduce.reram_chip.rows import AblationRow, DraftingRow, GainRow, PairRow

NAMES = {
    "tokens_per_s": "tokens/s", "speedup": "speed-up", "mj_per_token": "mJ/token", "saving": "energy saving",
    "reram_mb_per_token": "ReRAM MB/token", "dram_mb_per_token": "DRAM MB/token",
}  # fmt: skip
ROOFLINE_NOTE = (
    "*: no model at all: the published bytes, inputs here, at the fitted pair's published bandwidth and power."
)
GAIN_NOTE = (
    "both: at equal tokens and draft steps a pass, as the published bytes fix them; issue: out of order alone.\n"
    "*: at one i.i.d. acceptance, where serial drafting has more tokens a pass. A draft step is short beside these "
    "targets' passes, so parallel drafting hides less time than it loses tokens.\n"
    "**: issue out of order over an in-order program whose loads a compiler has moved up."
)
STAGE_NAMES = {
    "bf16": "16-bit speculative decoding", "w4a8": "+ W4A8, local rotation", "reram": "+ ReRAM and block-VQ",
    "parallel": "+ parallel policy, out of order",
}  # fmt: skip


def reproduce_reram_chip(head: Head) -> dict[str, Sequence[object]]:
    """Prints every table, and returns their rows by name."""
    from accelsim.reproduce.reram_chip.causes import assumptions
    from accelsim.reproduce.reram_chip.rows import reproduction

    with progress_bar("inferring, fitting, predicting") as progress:
        found = reproduction(head, progress)
    show(_drafting_table(found.drafting))
    show(_pair_table("\nThree pairs, four chips", found.pairs))
    show(ROOFLINE_NOTE)
    show("\nLikely causes\n", *_causes(found.pairs))
    show(_ablation_table(found.ablation))
    show(_gain_table(found.gains))
    show(GAIN_NOTE)
    show(_pair_table("\nThe same with LLaMA2-7B's acceptance and draft lengths for all", found.one_acceptance))
    show("\nLikely causes\n", *_causes(found.one_acceptance))
    said = assumptions(found.point, found.head)
    show("\nAssumptions\n", *(f"- {text}\n" for text in said))
    return {
        "pairs": found.pairs, "ablation": found.ablation, "gains": found.gains, "drafting": found.drafting,
        "one_acceptance": found.one_acceptance, "point": [found.point],
    }  # fmt: skip


def _drafting_table(rows: Sequence[DraftingRow]) -> Table:
    title = "\nInferred from the published bytes: tokens and draft steps of a target pass"
    heads = ("tokens", "drafts", "acceptance", "parallel", "short", "serial accept.", "serial")
    shown = table(title, ("target",), heads)
    for row in rows:
        shown.add_row(
            row.target, f"{row.tokens_per_pass:.2f}", f"{row.drafts_per_pass:.2f}", f"{row.alpha:.3f}",
            str(row.parallel), str(row.short), f"{row.serial_alpha:.3f}", str(row.serial),
        )  # fmt: skip
    return shown


def _pair_table(title: str, rows: Sequence[PairRow]) -> Table:
    shown = table(title, ("target", "number"), ("published", "simulated", "deviation", "roofline*", "", "from"))
    before = ""
    for row in rows:
        if row.target != before:
            shown.add_section()
        name = "" if row.target == before else row.target
        shown.add_row(
            name, NAMES[row.metric], f"{row.published:,.4g}", f"{row.simulated:,.4g}", f"{row.deviation:+.1%}",
            "" if row.roofline_deviation is None else f"{row.roofline_deviation:+.1%}", row.kind, row.confidence,
        )  # fmt: skip
        before = row.target
    return shown


def _causes(rows: Sequence[PairRow]) -> list[str]:
    """The likely causes of deviations, each with the numbers that it is of."""
    numbers: dict[str, list[str]] = {}
    for row in rows:
        if row.cause:
            numbers.setdefault(row.cause, []).append(f"{row.target} {NAMES[row.metric]}")
    return [f"- {', '.join(names)}: {cause}\n" for cause, names in numbers.items()]


def _ablation_table(rows: Sequence[AblationRow]) -> Table:
    heads = ("tokens/s", "published", "", "mJ/token", "published", "", "DRAM MB", "published")
    shown = table("\nAblation of LLaMA3-8B", ("step",), heads, gap=1)
    for row in rows:
        shown.add_row(
            STAGE_NAMES[row.stage], f"{row.tokens_per_s:.2f}", f"{row.published_tokens_per_s:.2f}",
            f"{row.tokens_deviation:+.0%}", f"{row.mj_per_token:.1f}", f"{row.published_mj_per_token:.1f}",
            f"{row.energy_deviation:+.0%}", f"{row.dram_mb_per_token:,.0f}", f"{row.published_dram_mb_per_token:,.0f}",
        )  # fmt: skip
    return shown


def _gain_table(rows: Sequence[GainRow]) -> Table:
    title = "\nParallel policy and out-of-order issue: gain in tokens/s"
    heads = ("both", "published", "issue", "pipelined**", "policy*", "tokens/pass*", "serial*")
    shown = table(title, ("target",), heads)
    for row in rows:
        shown.add_row(
            row.target, f"{row.gain:.3f}x", f"{row.published_low:.2f}-{row.published_high:.2f}x",
            f"{row.issue_gain:.3f}x", f"{row.pipelined_gain:.3f}x", f"{row.policy_gain:.3f}x",
            f"{row.tokens_per_pass_parallel:.2f}", f"{row.tokens_per_pass_serial:.2f}",
        )  # fmt: skip
    return shown
