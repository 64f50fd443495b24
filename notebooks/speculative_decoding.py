# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Speculative decoding on one chip
#
# A draft model proposes tokens and the target verifies several at once. What does that gain, and when does it
# pay to draft *beside* the target's pass instead of before it? Passes are run once by the event engine; policies
# then run over the table of their costs.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from accelsim.decoding.acceptance import Independent
from accelsim.decoding.costs import PassCosts
from accelsim.decoding.model import TWO_BITS, LanguageModel
from accelsim.decoding.passes.program import QUEUES
from accelsim.decoding.passes.spans import round_of, round_spans
from accelsim.decoding.passes.tabulate import Grid, Passes, tabulate
from accelsim.decoding.policies import make_policy
from accelsim.decoding.policies.lengths import fixed
from accelsim.decoding.serving import serve
from accelsim.report.gantt import draw_gantt
from accelsim.spec import load_arch
from accelsim.workload.template import load_template

# %% [markdown]
# Target and draft: a 1.1 B model at W4A8, and a 160 M one with two bits a weight. `tabulate` runs every pass that
# a policy may ask for.

# %%
LENGTHS = (1, 2, 3, 4, 6, 8)
GRID = Grid(contexts=(128, 384), prompts=(128,), most_verified=max(LENGTHS) + 1, most_together=max(LENGTHS))
PROMPTS, OUTPUTS = np.full(60, 128), np.full(60, 256)


def passes_on(target: str, draft: str, changes: dict[str, object]) -> Passes:
    models = LanguageModel(load_template(target)), LanguageModel(load_template(draft), codebook=TWO_BITS)
    return Passes(load_arch("reram_logic_55nm", changes), *models)


DRAM_ONLY = {"arch.placement": []}  # the chip's spec places weights out of codebooks in its stacked ReRAM
vicuna = passes_on("vicuna_1b_like", "llama_160m", DRAM_ONLY)
costs = tabulate(vicuna, GRID)


def speed(policy: str, length: int, acceptance: Independent, table: PassCosts = costs) -> dict[str, float]:
    found = serve(make_policy(policy, fixed(length)), acceptance, table, PROMPTS, OUTPUTS).summary()
    return {
        "tokens_per_s": found["tokens_per_s"],
        "mj_per_token": found["mj_per_token"],
        "tokens_per_pass": found["tokens_per_target_pass"],
        "rejected": found["rejected_energy_share"],
    }


# %% [markdown]
# ## Draft length and acceptance
#
# Draft, then verify: the best length grows with the acceptance. Beyond it, every further draft token costs time
# and is seldom used.

# %%
ALPHAS = (0.5, 0.7, 0.8, 0.9)
serial = pd.DataFrame(
    {
        alpha: [speed("vanilla", length, Independent((alpha,)))["tokens_per_s"] for length in LENGTHS]
        for alpha in ALPHAS
    },
    index=LENGTHS,
)
alone = speed("autoregressive", 1, Independent((0.5,)))["tokens_per_s"]
axes = (serial / alone).plot(marker="o", figsize=(6, 3.2))
axes.axhline(1, color="grey", linewidth=0.8)
axes.set_xlabel("draft length")
axes.set_ylabel("speed-up over the target alone")
axes.legend(title="acceptance")
plt.show()

# %% [markdown]
# ## Where parallel drafting stops paying
#
# A draft beside the pass takes no serial time, but a pass can only verify what was drafted during the pass before,
# and all of it is dropped unless the target's own token is the draft's first. With tokens accepted independently
# that loses more than it hides as long as a draft step is short beside a target pass.

# %%
best = {}
for alpha in (*ALPHAS, 0.95, 0.98):
    best[alpha] = {
        policy: max(speed(policy, length, Independent((alpha,)))["tokens_per_s"] for length in LENGTHS)
        for policy in ("vanilla", "pearl", "apsd")
    }
policies = pd.DataFrame(best).T
axes = (policies / alone).plot(marker="o", figsize=(6, 3.2))
axes.set_xlabel("acceptance")
axes.set_ylabel("speed-up, best length")
plt.show()

# %% [markdown]
# A slower draft has more to hide, if it can be hidden. Here the draft is as large as the target, with two bits a
# weight, and a step takes half a pass. While both load from one DRAM, drafting beside the pass hides nothing. From a
# memory of its own (one stacked die of 6.4 GB/s, made large enough here) it is hidden, and the parallel policies win.

# %%
STACK = {"arch.reram_stack.dies": 1, "arch.reram_stack.bumps": 728, "arch.reram_stack.die_capacity_kib": 2**19}
SMALL = Grid(GRID.contexts, GRID.prompts, 5, 4)
tables = {
    "160 M, DRAM": costs,
    "1.1 B, DRAM": tabulate(passes_on("vicuna_1b_like", "vicuna_1b_like", DRAM_ONLY), SMALL),
    "1.1 B, stacked": tabulate(passes_on("vicuna_1b_like", "vicuna_1b_like", STACK), SMALL),
}
gains = pd.DataFrame(
    {
        name: {
            policy: max(speed(policy, length, Independent((0.95,)), table)["tokens_per_s"] for length in (1, 2, 3, 4))
            for policy in ("vanilla", "pearl", "apsd")
        }
        for name, table in tables.items()
    }
)
ratios = pd.Series({name: table.draft[0, 0, 0] / table.verify[0, 0, 0] for name, table in tables.items()})
axes = (gains / alone).T.plot.bar(rot=0, figsize=(6, 3.2))
axes.set_ylabel("speed-up at acceptance 0.95")
plt.show()

# %% [markdown]
# ## The overlap, seen
#
# A round of the parallel policy: a short draft, a pass that verifies it with the next draft beside it, and the pass
# after that. The pass waits for the DRAM; the draft's weights come from the stacked memory, its head and both KV
# caches share the DRAM.

# %%
policy = make_policy("apsd", fixed(4))
spans = round_spans(passes_on("vicuna_1b_like", "llama_160m", STACK), round_of(policy), 256)
_, axes = plt.subplots(figsize=(9, 2.8))
draw_gantt(axes, "short draft, then verify beside drafting, twice", QUEUES, spans)
plt.show()
