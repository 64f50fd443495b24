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
# # Non-linear functions from eight lines
#
# A look-up unit computes GELU, exp or 1/x as y = k x + b: comparators find the segment that x lies in, a
# small table gives k and b. With INT8 inputs the table has 23 bytes. GQA-LUT (DAC 2024) finds the
# segments with a genetic search; here they are found exactly, by dynamic programming.
#
# This notebook shows
#
# 1. such a table, and what the unit makes of GELU;
# 2. the error at every input scale: published tables, the genetic search, and the exact ones;
# 3. why a softmax wants its exp as a power of two;
# 4. what the unit is made of.
#
# It needs `pip install -e ".[notebooks]"` and a minute; no torch.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display

from accelsim.functional.lut import look_up, look_up_reduced
from accelsim.reproduce.gqa_lut import cells, error_rows, unit_rows
from accelsim.schemes.lut_functions import FUNCTIONS
from algos.gqa_lut.exact import search
from algos.gqa_lut.searches import searches

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "figure.constrained_layout.use": True})

# %% [markdown]
# ## 1. A table
#
# Inputs are codes q with x = q / 2^s. Slopes and intercepts have 8 bits each, written
# sign|integer|fraction; the split is chosen for the function, such that nothing overflows. Breakpoints are codes.

# %%
gelu = FUNCTIONS["gelu"]
scheme = search(gelu, entries=8)
table = scheme.table(5)
display(pd.Series({"k": str(scheme.slope), "b": str(scheme.intercept), "bytes": scheme.table_bits // 8}))

codes = np.arange(-128, 128)
x = codes / 2**5
unit = look_up(scheme, codes, 5).real()

figure, (top, bottom) = plt.subplots(2, 1, figsize=(7, 5), sharex=True, height_ratios=(2, 1))
top.plot(x, gelu.of(x), color="#bab0ac", linewidth=4, label="GELU")
top.plot(x, unit, color="#4c78a8", label="eight lines")
for point in table.breakpoints:
    top.axvline(point / 2**5, color="#bab0ac", linewidth=0.5)
top.set(ylabel="y (1)", title="GELU from a table of 8 entries, s = 5")
top.legend(frameon=False)
bottom.plot(x, unit - gelu.of(x), color="#e45756")
bottom.set(xlabel="x (1)", ylabel="error (1)")
plt.show()

# %% [markdown]
# ## 2. Errors at every scale
#
# The network's scales are powers of two, 2^-s, and differ from layer to layer. *authors* are the published
# tables, *genetic* their search run again, both with one set of k and b for all scales. *shared* is the
# same hardware and the same restriction, but chosen for the scales together, with the breakpoints placed
# exactly at each. *per_scale* loads a whole table when the scale changes.

# %%
found = list(searches(cells()))
rows = error_rows({(one.function, one.entries, one.method): one.scheme for one in found})
errors = pd.DataFrame([vars(row) for row in rows if row.mse])
means = errors.assign(cell=errors["function"] + " " + errors["entries"].astype(str))
means = means.pivot(index="cell", columns="method", values="mean_mse")
means = means[["authors", "genetic", "shared", "per_scale"]]

ax = means.plot.bar(logy=True, width=0.8, rot=45, figsize=(9, 3.8), color=["#bab0ac", "#f58518", "#4c78a8", "#54a24b"])
ax.set(xlabel="function, entries", ylabel="mean squared error (1)", title="INT8 tables, mean over scales 2^0 to 2^-6")
ax.legend(frameon=False, ncols=4)
plt.show()
gains = means.div(means["shared"], axis=0)[["authors", "genetic"]]
display(gains.round(1))

# %% [markdown]
# The exact tables are better in all ten cells, with nothing changed in the datapath, and each takes about a
# second to find. For GELU with 8 entries, scale by scale:

# %%
by_scale = errors[(errors["function"] == "gelu") & (errors["entries"] == 8)].set_index("method")["mse"]
scales = pd.DataFrame({name: by_scale[name] for name in means.columns}, index=pd.Index(range(7), name="s"))

ax = scales.plot(marker="o", logy=True, figsize=(6, 3.4), color=["#bab0ac", "#f58518", "#4c78a8", "#54a24b"])
ax.set(xlabel="s (scale 2^-s)", ylabel="mean squared error (1)", title="GELU, 8 entries")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 3. exp in a softmax
#
# A softmax sums the exponentials of a whole row. A table of exp on (-8, 0) is wrong by about 0.002
# everywhere, also where exp itself is 0.0005; over a row of 128 that adds up. 2^x on [0, 1) and a shift
# have a *relative* error instead.

# %%
direct, base_2 = search(FUNCTIONS["exp"], 8), search(FUNCTIONS["exp2"], 8, shifts=(7,))
d = np.arange(-127, 1)
whole = np.exp(d / 16)
log2_e = np.log2(np.e)
by_table = look_up(direct, d, 4).real()
by_power = look_up_reduced(base_2, np.round(d / 16 * log2_e * 2**7).astype(np.int64), 7).real()
relative = pd.DataFrame({"exp table": by_table / whole - 1, "2^x and shift": by_power / whole - 1}, index=d / 16) * 100

ax = relative.plot(figsize=(6, 3.4), color=["#e45756", "#4c78a8"])
ax.set(xlabel="x (1)", ylabel="relative error (%)", title="exp from 8 entries, INT8 coefficients")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 4. The unit
#
# Area of one lane, added up from its parts with published or recalled cell areas, 28 nm. Crosses are
# synthesised units (8 entries); nothing here was fitted to them.

# %%
units = pd.DataFrame([vars(row) for row in unit_rows()])
numbers = units["number"].replace({"int": "INT", "float": "FP"}) + units["bits"].astype(str)
units.index = pd.Index(numbers + ", " + units["entries"].astype(str), name="unit")
parts = pd.DataFrame(units["parts_um2"].tolist(), index=units.index)

ax = parts.plot.bar(stacked=True, width=0.75, rot=45, figsize=(8, 3.8), colormap="tab20")
ax.plot(range(len(units)), units["published_area_um2"], "kx", label="published")
ax.set(xlabel="unit, entries", ylabel="area (um2)", title="One lane of the look-up unit")
ax.legend(frameon=False)
plt.show()
display(units[["area_um2", "area_deviation", "power_mw", "power_deviation"]].round(3))

# %% [markdown]
# The registers of the table are half of an INT8 unit, so entries cost more than anything else. The FP32
# unit comes out half too large: its adder and multiplier are those of a processor.
#
# To go on: `search` takes any function, `LutFunction("cube", lambda x: x**3, -1, 1)`, and
# `algos.compress_(model, algos.GqaLutConfig())` puts such tables into a PyTorch model.
