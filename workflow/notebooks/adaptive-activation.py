# %% [markdown]
# # Activations that learn
# Every unit of a recurrent network has a gain $n$ and a saturation $s$,
# $\gamma(x; n, s) = (1-s)\,\frac1n \log(1+e^{nx}) + \frac{s}{1+e^{-nx}}$: softplus at (1, 0), the sigmoid at (1, 1), near
# ReLU at (20, 0). They may be fixed (**static**), one learned pair a network (**homogeneous**) or a learned pair a unit
# (**heterogeneous**).

# %% tags=["parameters"]
study = "adaptive-activation"
scale = "quick"
root = "."

# %%
from dynatlas.site.reader import open_study

results = open_study(study, scale, root)
results.claim_table()

# %%
results.figure("family")

# %% [markdown]
# ## The grid
# All networks of a seed have the same weights and see the same batches; only $(n, s)$ differs. A network that diverged
# counts at chance.

# %%
results.figure("maps")

# %%
performance = results.table("performance")
performance.query("metric == 'diverged'").groupby(["task", "mode"])["value"].sum().astype(int)

# %% [markdown]
# ## The best cell against those in use
# For each seed the cell is chosen on the other seeds: choosing the best of many on the same seeds would let luck win.

# %%
best = results.table("best").query("cells == 'own'")
values = best.query("metric == 'value'").pivot_table(index=["task", "score"], columns="corner", values="value")
values.round(3)

# %%
chosen = best.query("metric in ['n', 's']").pivot_table(index=["task", "score", "seed"], columns="metric", values="value")
chosen.reset_index().groupby(["task", "score", "n", "s"]).size().rename("seeds")

# %% [markdown]
# ## Learning the shape
# The gain is that over static networks of the same starts, mean over starts. It is largest where the start is bad.

# %%
results.figure("courses")

# %%
results.table("gains").groupby(["task", "mode", "score"])["value"].agg(["mean", "std"]).round(4)

# %%
final = performance.query("metric == 'final'").pivot_table(index=["task", "n", "s"], columns="mode", values="value")
gain = final["heterogeneous"] - final["static"]
gain.dropna().unstack("n").round(3)

# %%
results.figure("trajectories")

# %%
results.figure("units")

# %% [markdown]
# ## Changed inputs
# Weights are frozen, and only the named parameters learn for a while on changed inputs. What is recovered is the gain
# over that of networks that learned on changed inputs from the start.

# %%
results.figure("adaptation")

# %%
accuracy = results.table("adaptation").query("metric == 'accuracy' and change != 'none'")
means = accuracy.pivot_table(index="change", columns="parameters", values="value")
means.round(3)

# %%
lost = means["retrained"] - means["nothing"]
recovered = means[["one shape", "shapes", "bias", "readout", "weights"]].sub(means["nothing"], axis=0).div(lost, axis=0)
recovered[lost > 0.05].round(2)
