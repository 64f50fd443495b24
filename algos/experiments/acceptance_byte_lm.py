"""How often the byte-level model accepts its draft, recorded while both write on from held-out text.

Sampling at temperature 1 and greedily; each trace is written to `workloads/byte_lm_*.acceptance.csv.gz`, from which
`accelsim decode --acceptance` replays any policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import workloads
from algos.experiments.registry import Row, Run
from algos.trained import byte_lm, stdlib_text
from workloads.acceptance import record_acceptance
from workloads.acceptance_table import acceptance_table

FOLDER = Path(workloads.__file__).parent
TEMPERATURES = {"sampled": 1.0, "greedy": 0.0}
PROMPTS = 12
PROMPT_BYTES = 96
ANSWER_BYTES = 320
DRAFT_LENGTH = 4


def run(run: Run) -> Sequence[Row]:
    """Per way of sampling one row a policy and draft length; `recorded_tokens_per_pass` is what the recording took."""
    return [row for name in TEMPERATURES for row in run.cell(name, partial(_rows, run, name))]


def trace_path(name: str) -> Path:
    """The trace of a way of sampling."""
    return FOLDER / f"byte_lm_{name}.acceptance.csv.gz"


def recorded_table(name: str, seed: int) -> Sequence[Row]:
    """The rows that the trace file alone gives."""
    return acceptance_table(trace_path(name), seed)


def _rows(run: Run, name: str) -> Sequence[Row]:
    text = stdlib_text.windows(stdlib_text.held_out_text("score"), byte_lm.CONTEXT_BYTES)
    prompts = text[:: len(text) // PROMPTS][:PROMPTS, :PROMPT_BYTES].tolist()
    recording = record_acceptance(
        byte_lm.load("target"), byte_lm.load("draft"), prompts, ANSWER_BYTES,
        f"target byte_lm_target, draft byte_lm_draft, temperature {TEMPERATURES[name]:g}",
        length=DRAFT_LENGTH, temperature=TEMPERATURES[name], seed=run.seed,
        track=lambda steps: run.track(steps, len(steps), 0),
    )  # fmt: skip
    recording.save(trace_path(name))
    rows = recorded_table(name, run.seed)
    as_recorded = ("vanilla", str(DRAFT_LENGTH))
    return [
        {"text": name, **row, "recorded_tokens_per_pass": _live(row, as_recorded, recording.tokens_per_pass)}
        for row in rows
    ]


def _live(row: Row, as_recorded: tuple[str, str], tokens_per_pass: float) -> str:
    return f"{tokens_per_pass:.4f}" if (row["policy"], row["draft_length"]) == as_recorded else ""
