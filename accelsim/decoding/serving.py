"""What users of a decoding system see: time and energy per token and per answer, and where they went."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.decoding.acceptance import Acceptance
from accelsim.decoding.costs import COLUMNS, QUEUES, PassCosts
from accelsim.decoding.counts import Counts
from accelsim.decoding.policies import Policy
from accelsim.decoding.run import draws_needed, run
from accelsim.errors import user_error
from accelsim.report.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

PERCENTILES = (50, 90, 99)
FS_PER_MS, PJ_PER_MJ, BITS_PER_MB = 10**12, 10**9, 8 * 10**6

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Serving:
    """Answers to R requests, one after the other. Arrays are (R,); `busy_share` is of all time, by queue.

    The energy is dynamic plus static, the prefill's with it; so is the time.
    """

    policy: str
    counts: Counts
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    latency_ms: Floats
    energy_mj: Floats
    dram_mb: Floats
    reram_mb: Floats
    busy_share: tuple[tuple[str, float], ...]
    rejected_mj: float

    def summary(self) -> dict[str, float]:
        """One number a metric, units in the names; MB are 10^6 bytes, percentiles are over answers."""
        tokens, counts = self.output_tokens.sum(), self.counts
        drafts = counts.serial_drafts + counts.concurrent_drafts
        passes = max(counts.passes, 1)
        return {
            "tokens_per_s": float(1000 * tokens / self.latency_ms.sum()),
            "ms_per_token": float(self.latency_ms.sum() / tokens),
            **_percentiles("ms_per_token", self.latency_ms / self.output_tokens),
            "mj_per_token": float(self.energy_mj.sum() / tokens),
            **_percentiles("mj_per_token", self.energy_mj / self.output_tokens),
            "mj_per_answer": float(self.energy_mj.mean()),
            **_percentiles("mj_per_answer", self.energy_mj),
            "dram_mb_per_token": float(self.dram_mb.sum() / tokens),
            "reram_mb_per_token": float(self.reram_mb.sum() / tokens),
            "tokens_per_target_pass": counts.tokens_per_pass,
            "draft_steps_per_target_pass": drafts / passes,
            "stayed_parallel_share": counts.stays / passes,
            "rejected_draft_share": counts.rejected_drafts / max(drafts, 1),
            "rejected_mj_per_token": float(self.rejected_mj / tokens),
            "rejected_energy_share": float(self.rejected_mj / self.energy_mj.sum()),
            **{f"{queue}_busy_share": share for queue, share in self.busy_share},
        }

    def to_frame(self) -> pd.DataFrame:
        """One row a request."""
        import pandas as pd

        return pd.DataFrame(
            {
                "prompt_tokens": self.prompt_tokens,
                "output_tokens": self.output_tokens,
                "latency_ms": self.latency_ms,
                "energy_mj": self.energy_mj,
                "dram_mb": self.dram_mb,
                "reram_mb": self.reram_mb,
            }
        )

    def save(self, path: str | Path) -> None:
        """Write `.json` (summary and counts) or `.csv` (a row a request), whole. UserError for another suffix."""
        path = Path(path)
        if path.suffix == ".json":
            document = {"policy": self.policy, "summary": self.summary(), "counts": asdict(self.counts)}
            text = json.dumps(document, indent=1) + "\n"
        elif path.suffix == ".csv":
            text = self.to_frame().to_csv(index=False, lineterminator="\n")
        else:
            raise user_error(str(path), "output", f"cannot write {path.suffix or 'no suffix'}", "use .json or .csv")
        write_whole(path, text.encode())


def check_ranks(policy: Policy, acceptance: Acceptance) -> None:
    """UserError for a tree with several candidates below a node where only the first one's acceptance is known."""
    if max(policy.widths, default=1) > 1 and not acceptance.knows_ranks:
        fix = "give it by rank, like 0.7,0.1, or a recorded file as FILE:greedy, or a tree of one candidate a depth"
        raise user_error("acceptance", policy.name, "says nothing of a tree's second candidates", fix)


def serve(
    policy: Policy,
    acceptance: Acceptance,
    costs: PassCosts,
    prompts: NDArray[np.int64],
    outputs: NDArray[np.int64],
    seed: int = 0,
) -> Serving:
    """Answer requests of `prompts` and `outputs` tokens, (R,) each, one after the other.

    UserError as of `run` and `check_ranks`.
    """
    check_ranks(policy, acceptance)
    draws = acceptance.draw(draws_needed(policy, outputs), seed)
    made = run(policy, draws, costs, prompts, outputs)
    column = dict(zip(COLUMNS, made.costs.T, strict=True))
    latency_ms = column["latency_fs"] / FS_PER_MS
    static_mj = costs.static_mw * latency_ms * 1e-3  # 1 mW x 1 ms = 1e-3 mJ
    total_fs = math.fsum(column["latency_fs"])
    return Serving(
        policy.name,
        made.total,
        prompts,
        outputs,
        latency_ms,
        column["energy_pj"] / PJ_PER_MJ + static_mj,
        column["dram_bits"] / BITS_PER_MB,
        column["reram_bits"] / BITS_PER_MB,
        tuple((queue, math.fsum(column[f"{queue}_busy_fs"]) / total_fs) for queue in QUEUES),
        math.fsum(made.rejected_pj) / PJ_PER_MJ,
    )


def _percentiles(name: str, values: Floats) -> dict[str, float]:
    return {f"{name}_p{share}": float(np.percentile(values, share)) for share in PERCENTILES}
