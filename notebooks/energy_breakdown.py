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
# # Where the energy of BERT-base goes
#
# A matrix product adds up thousands of terms per output. The running totals are the *partial sums*
# (psums). When they do not stay in the array, they are written to a buffer and read back many times,
# and how many bits each one takes decides what that costs.
#
# This notebook simulates BERT-base on a 1024-MAC edge accelerator and shows
#
# 1. which block spends the energy, and on which operand;
# 2. which layers take the cycles, and what they wait for;
# 3. what narrower psums save, under three dataflows;
# 4. what the APSQ group size costs when a buffer is too small for it.
#
# It needs `pip install -e ".[notebooks]"` and half a minute. Costs only: how narrow psums change a
# model's accuracy is not part of this simulation.

# %%
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display

from accelsim import load_arch, load_trace, simulate, sweep

PJ_PER_MJ = 1e9
COLOURS = {
    "ifmap": "#4c78a8",
    "weight": "#f58518",
    "psum": "#e45756",
    "ofmap": "#54a24b",
    "compute": "#72b7b2",
    "leakage": "#bab0ac",
    "other": "#4d4d4d",
}
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "figure.constrained_layout.use": True})

# %% [markdown]
# ## 1. Energy by block and operand
#
# `simulate` returns a report, and `to_frame` its energy as a table: one row per op, block, operand and
# action. `ifmap` is what comes into a layer, `ofmap` what goes out. Rows without an operand are the
# arithmetic itself (*compute*) or *leakage*. Small operands (biases, constants) are summed as *other*.

# %%
report = simulate(load_arch("apsq_edge_ws"), load_trace("bert_base"))
rows = report.to_frame()
part = rows["operand"].replace({"": "compute", "lut": "compute", "bias": "other", "constant": "other"})
rows["part"] = part.mask(rows["action"] == "leakage", "leakage")
energy_mj = rows.pivot_table(index="block", columns="part", values="energy_pj", aggfunc="sum") / PJ_PER_MJ
energy_mj = energy_mj.reindex(columns=list(COLOURS)).fillna(0)
energy_mj = energy_mj.loc[energy_mj.sum(axis=1).sort_values().index]

ax = energy_mj.plot.barh(stacked=True, color=COLOURS, width=0.8, figsize=(8, 3.6))
ax.set(xlabel="energy (mJ)", ylabel="", title="BERT-base, 128 tokens, INT32 psums: energy by block and operand")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# Look at the two long bars. The DRAM mostly delivers inputs. The psum buffer is almost all psums:
# here they are 32 bits wide and cost more than all other on-chip blocks together, far more than the
# multiplications (*compute*).
#
# ## 2. Where the cycles go
#
# One bar per kind of op, the 12 encoder layers together. The colour says what was busiest: the array
# (good: the multipliers are used) or the DRAM (the multipliers wait).

# %%
ops = pd.DataFrame([vars(op) for op in report.ops])
ops["kind of op"] = ops["name"].str.replace(r"^encoder\.layer\.\d+\.", "", regex=True)
cycles = ops.pivot_table(index="kind of op", columns="bound_by", values="cycles", aggfunc="sum").fillna(0) / 1e6
cycles = cycles.loc[cycles.sum(axis=1).nlargest(8).index[::-1]]
cycles = cycles.loc[:, cycles.any()]

bound_colours = {"array": "#4c78a8", "dram": "#e45756", "lut_unit": "#bab0ac"}
ax = cycles.plot.barh(stacked=True, color=bound_colours, width=0.8, figsize=(8, 3.6))
ax.set(xlabel="million core cycles", ylabel="", title="The eight kinds of op that take longest")
ax.legend(title="bound by", frameon=False)
plt.show()

# %% [markdown]
# `output.dense` and `intermediate.dense` do equally many multiplications, yet `output.dense` takes
# about three times as long. Its input, 128 x 3072 bytes = 384 KiB, does not fit in the 256 KiB ifmap
# buffer, so this dataflow fetches it from DRAM again and again.
#
# ## 3. Psum width under three dataflows
#
# A *dataflow* says what stays in the array while the rest streams by: weights, inputs or outputs.
# `sweep` simulates every combination of the values it is given and returns one row for each.
# Below 16 bits, psums are requantised at every store (APSQ); 16 and 32 bits are plain integers.

# %%
BITS = "workload.psum.bits"
DATAFLOW = "arch.array.dataflow"
flows = ["weight_stationary", "input_stationary", "output_stationary"]
widths = sweep("apsq_edge_ws", "bert_base", {BITS: [4, 6, 8, 12, 16, 32], DATAFLOW: flows})
widths["other_operand_energy_pj"] = widths["bias_operand_energy_pj"] + widths["constant_operand_energy_pj"]

figure, axes = plt.subplots(1, 3, figsize=(10, 3.8), sharey=True)
for ax, flow in zip(axes, flows, strict=True):
    points = widths[widths[DATAFLOW] == flow].set_index(BITS)
    by_operand = pd.DataFrame({name: points[f"{name}_operand_energy_pj"] / PJ_PER_MJ for name in COLOURS})
    by_operand.plot.bar(ax=ax, stacked=True, color=COLOURS, width=0.8, rot=0, legend=False)
    ax.set(title=flow.replace("_", " "), xlabel="psum width (bits)", ylabel="energy (mJ)")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(COLOURS), frameon=False)
plt.show()

# %% [markdown]
# Follow the red part. With weights or inputs in the array it shrinks with the width, and nothing else
# changes much. With outputs in the array psums never leave it: no red, and the width does not matter.
# So the best dataflow depends on the width: up to 8 bits weight stationary needs the least energy, from
# 12 bits on output stationary.
#
# The same as a share of the total:

# %%
share = widths.pivot(index=BITS, columns=DATAFLOW, values="psum_energy_share")[flows] * 100

ax = share.plot(marker="o", figsize=(6, 3.4), xticks=share.index)
ax.set(xlabel="psum width (bits)", ylabel="psum share of all energy (%)", title="BERT-base: what psums cost")
ax.legend(frameon=False)
plt.show()
display(share.round(1))

# %% [markdown]
# ## 4. Group size and room in the buffer
#
# APSQ with a group size of *g* keeps *g* stored psums per output, so it needs *g* times the room. In the
# largest layers of SegFormer-B0, 16,384 outputs of 8 channels are under way at a time: with INT8 psums
# 128 KiB times *g*. The psum buffer has 256 KiB.

# %%
GROUP = "workload.psum.group_size"
groups = sweep("apsq_edge_ws", "segformer_b0", {BITS: [8], GROUP: [1, 2, 3, 4]}).set_index(GROUP)
psum_dram = groups["psum_operand_dram_energy_pj"]
split_mj = pd.DataFrame({
    "all but psums": groups["energy_pj"] - groups["psum_operand_energy_pj"],
    "psums on chip": groups["psum_operand_energy_pj"] - psum_dram,
    "psums in DRAM": psum_dram,
}) / PJ_PER_MJ  # fmt: skip

ax = split_mj.plot.bar(stacked=True, color=["#bab0ac", "#e45756", "#7f2a2b"], width=0.7, rot=0, figsize=(6, 3.6))
ax.set(xlabel="group size", ylabel="energy (mJ)", title="SegFormer-B0, INT8 psums: energy by group size")
ax.legend(frameon=False)
plt.show()
display(split_mj.round(1))

# %% [markdown]
# Group sizes 1 and 2 cost the same, because the group size changes how many psums are kept and not how
# often they move; at 3 and 4 the psums of the largest layers no longer fit in the buffer, and their way
# to DRAM and back more than doubles the energy. (The small rest of the increase is passing them through
# the buffer, and leakage over a longer run.)
#
# To go on: replace `apsq_edge_ws` by your own YAML, or sweep `arch.buffers.psum_ofmap.capacity_kib`
# together with the group size to see which buffer would hold them.
