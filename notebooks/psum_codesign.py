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
# # What narrow partial sums cost a language model, and what they save
#
# APSQ stores partial sums (psums) in 4 to 8 bits instead of 32. That saves energy, and it rounds every
# running total many times over, which a model may or may not bear. Both depend on the same two numbers: the
# width and the group size. Here they are varied together, on a byte-level language model that is small enough
# to be scored exactly, and on one accelerator under two dataflows.
#
# 1. Do psums leave the array at all, in a model this small?
# 2. Bits per byte against energy, scales calibrated and nothing trained.
# 3. The same after training on.
# 4. What the group size costs: nothing, until the buffer is small.
# 5. What a small model says about a large one.
#
# It needs `pip install -e ".[notebooks,torch,experiments]"` and a minute. Scores are read from the tables that
# `python -m algos.experiments` wrote; energies are simulated here.

# %%
import warnings

import matplotlib.pyplot as plt
import pandas as pd
import torch
from IPython.display import display

from accelsim import codesign, load_arch, simulate
from accelsim.explore.codesign import with_scores
from accelsim.report.codesign_plot import draw_points
from accelsim.schemes import PsumScheme
from accelsim.workload import with_psum
from algos.experiments import results
from algos.trained import byte_lm
from workloads import export_trace

PJ_PER_MJ = 1e9
MODEL = "byte_lm_target"
BITS, GROUP, FLOW = "recipe.apsq.bits", "recipe.apsq.group_size", "arch.array.dataflow"
FLOWS = ["weight_stationary", "input_stationary"]
torch.set_num_threads(1)
warnings.filterwarnings("ignore", message="IProgress not found")  # of a progress bar that nothing here shows
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "figure.constrained_layout.use": True})

# %% [markdown]
# ## 1. Do psums leave the array?
#
# A layer whose reduction fits in one array-full has no psums to store. This array adds 8 products at once
# (*Pci* = 8) and the scheme stores after the same 8 (`k_tile`), so a reduction of K takes K/8 steps. The
# model reads 512 bytes of text at once.

# %%
network = byte_lm.load("target")
inputs = {"input_ids": torch.zeros(1, byte_lm.CONTEXT_BYTES, dtype=torch.long), "use_cache": False}
trace = export_trace(network, inputs, "prefill", name=MODEL)
dims = {op.name: op.dims.k for op in trace.phases[0].ops if op.kind == "matmul"}
by_op = {}
for bits in (32, 8):
    rows = simulate(load_arch("apsq_edge_ws"), with_psum(trace, PsumScheme(bits, 1, 8))).to_frame()
    rows["kind"] = rows["op"].str.replace(r".*layers\.\d+\.(self_attn\.|mlp\.)?", "", regex=True)
    rows["k"] = rows["op"].map(dims)
    psums = rows[rows["operand"] == "psum"]
    by_op[f"INT{bits}"] = psums.groupby(["kind", "k"])["energy_pj"].sum() / PJ_PER_MJ
layers = pd.DataFrame(by_op).reset_index()
layers["steps"] = (layers["k"] / 8).astype(int)
layers.index = pd.Index(layers["kind"] + ", " + layers["steps"].astype(str) + " steps")
layers = layers.sort_values("INT32")

ax = layers[["INT32", "INT8"]].plot.barh(width=0.8, figsize=(8, 4), color=["#bab0ac", "#e45756"])
ax.set(xlabel="energy of psums (mJ)", ylabel="", title="Psums of one pass over 512 bytes, weight stationary")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# They do: K is 256 or 512 in every linear layer, 32 or 64 steps, so an output's psum is stored 31 or 63 times. In
# attention, scores sum over 32 values per head (4 steps), and their product with the values over up to
# 512 positions (64 steps).
#
# ## 2. Bits per byte against energy
#
# `codesign` compresses the model at every point, exports its trace, simulates it and joins the score.
# `scores=` takes the scores from a committed table; without it they are measured, some minutes a point. The
# two references come first: the model as it is, which is *charged* as W8 A8 with INT32 psums (its trace says
# nothing else, and no hardware here runs FP32), and W8A8 with exact psums.

# %%
over = {BITS: [4, 6, 8], GROUP: [1, 2, 4], FLOW: FLOWS}
calibrated = codesign("apsq_int8_gs1", "apsq_edge_ws", over, model=MODEL, scores=f"apsq_{MODEL}")
calibrated = calibrated[calibrated["status"] == "ok"].reset_index(drop=True)

figure, ax = plt.subplots(figsize=(8, 4.6))
draw_points(ax, calibrated)
ax.set(title="APSQ by calibration alone")
figure.legend(loc="outside right upper", frameon=False, fontsize=8)
plt.show()
shown = calibrated.assign(energy_mj=calibrated["energy_pj"] / PJ_PER_MJ)
display(shown.pivot_table(index=["scheme", "bits_per_byte"], columns=FLOW, values="energy_mj", sort=False).round(2))

# %% [markdown]
# Left is cheap, down is good. INT8 psums save a quarter (weight stationary) to a third (input stationary) of
# all energy. INT6 and INT4 save little more, because what is left is mostly not psums, while the score falls apart.
# By calibration alone even INT8 costs a fifth to a quarter more bits per byte. The group size moves points up
# and down, not sideways: it changes the rounding, and hardly the energy.
#
# ## 3. Trained on
#
# The paper trains its networks with the psums quantised. Those scores are a table of their own, joined to the
# same simulations by the scheme's name.

# %%
found = {"calibrated": calibrated}
if f"apsq_tuned_{MODEL}" in results.tables():
    tuned = results.scores(f"apsq_tuned_{MODEL}", MODEL)
    after = {scheme: scores["bits_per_byte"] for scheme, scores in tuned.items()}
    found["trained on"] = with_scores(calibrated, after, f"apsq_tuned_{MODEL}")

figure, axes = plt.subplots(1, len(found), figsize=(4.6 * len(found), 4.2), sharey=True, squeeze=False)
for ax, (name, table) in zip(axes[0], found.items(), strict=True):
    draw_points(ax, table[table[FLOW] == "input_stationary"])
    ax.set(title=f"{name}, input stationary")
plt.show()
scores = pd.DataFrame({name: table.groupby("scheme")["bits_per_byte"].first() for name, table in found.items()})
display(scores.reindex(calibrated["scheme"].unique()))

# %% [markdown]
# A column is missing where its table is not in this checkout: `python -m algos.experiments apsq_tuned_byte_lm_target`
# makes it. Compare it with W8A8 *trained alike* (`w8a8_psum_int32` in the same column), not with FP32.
#
# ## 4. What the group size costs
#
# A group of *gs* keeps *gs* stored psums per output. Under weight stationary this array works on 512 rows of 8
# columns at a time, 4 KiB of INT8 psums; under input stationary on 16 rows of up to 512 columns, 8 KiB. The
# buffer has 256 KiB, so the group size is free. With the smaller buffers that narrow psums allow it is not.

# %%
ROOM = "arch.buffers.psum_ofmap.capacity_kib"
grid = {GROUP: [1, 2, 4], ROOM: [4, 8, 16, 32, 256], FLOW: FLOWS}
small = codesign("apsq_int8_gs1", "apsq_edge_ws", grid, model=MODEL, scores=f"apsq_{MODEL}")
small = small[small["scheme"] != "fp32"].assign(energy_mj=small["energy_pj"] / PJ_PER_MJ)
rooms = small.pivot_table(index=ROOM, columns=["scheme", FLOW], values="energy_mj", sort=False)

names = ["w8a8_psum_int32", "w8a8_apsq_int8_gs4", "w8a8_apsq_int8_gs2", "w8a8_apsq_int8_gs1"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True)
for ax, flow in zip(axes, FLOWS, strict=True):
    lines = rooms.xs(flow, axis=1, level=1)[names]
    lines.plot(
        ax=ax, marker="o", logx=True, logy=True, color=["#4d4d4d", "#f58518", "#54a24b", "#4c78a8"], legend=False
    )
    ax.set_xticks(rooms.index, [str(room) for room in rooms.index])
    ax.set(title=flow.replace("_", " "), xlabel="psum buffer (KiB)", ylabel="energy (mJ)")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
plt.show()
display(rooms.T.round(1))

# %% [markdown]
# Where a line jumps, psums no longer fit and go to DRAM, and the energy is three to seventeen times as much. Each
# doubling of the group size takes twice the room, and gs 4 takes as much as INT32: it has the traffic of INT8,
# not the room.
#
# This also says how much of section 2 was the buffer. 256 KiB are more than this model needs, and a large memory
# costs more per access. With the best of these buffers for each, INT8 at gs 1 saves 18 % under input stationary
# (8 KiB against 32 KiB for INT32) and 10 % under weight stationary, not a third and a quarter.
#
# ## 5. What a small model says
#
# - Its layers are small, but its psums are not few: how often one is stored depends on K/8, and 32 or 64 steps are of
#   the order of BERT's 96. What is special is that psums fit in the buffer at 512 tokens. In SegFormer's
#   largest layers they do not (`energy_breakdown.ipynb`), and there the savings are larger and the group size counts.
# - Psums are a share of the whole, and the whole depends on the model: 2.8 million weights are fetched quickly, those
#   of a decoder of billions of parameters are not.
# - Its scores are hard to hold: a fifth to a quarter more bits per byte by calibration is far more than a
#   sentence encoder (Spearman correlation 0.612 to 0.621 of 0.622 at INT8) or a vision transformer on digits lose. The
#   paper's losses are of networks that were trained on.
#
# To go on: `accelsim codesign apsq_int8_gs1 apsq_edge_ws --over recipe.apsq.bits=4,6,8` measures the scores itself.
# This made `psum_codesign.csv` and `.png` here, on all of the held-out text:
#
#     accelsim codesign apsq_int8_gs1 apsq_edge_ws --over recipe.apsq.bits=4,6,8 \
#       --over recipe.apsq.group_size=1,2,4 --over arch.array.dataflow=weight_stationary,input_stationary \
#       --out psum_codesign.csv --plot psum_codesign.png
