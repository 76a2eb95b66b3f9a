# %% [markdown]
# # Modular task primitives
# A network of four unconnected modules, each pre-trained on a *task primitive* (hold a stimulus; compare two of them
# in one modality, in the other, in both) and then frozen, is asked to solve nine cognitive tasks. Only a linear
# readout is learned for each task. Does it learn them well, with few parameters and few updates, and is the solution
# robust?
#
# **MP** modules with primitives, **MPu** the same without masked inputs, **DP** a dense network with the same
# primitives, **MR** and **RES** random reservoirs (modular, dense), **SEP** a trained network for each task, **JOINT**
# one network trained on all tasks, **SEQ** and **GP** one network trained on one task after the other, plainly and
# with projected gradients.

# %% tags=["parameters"]
study = "task-primitives"
scale = "quick"
root = "."

# %%
import pandas as pd

from dynatlas.site.reader import open_study

results = open_study(study, scale, root)
results.claim_table()

# %% [markdown]
# The nine tasks. The go cue is the end of fixation; the right direction must then be given.

# %%
results.figure("tasks")

# %% [markdown]
# ## Learned well, with few parameters
# Frozen primitives with trained readouts do nearly as well as networks trained for the tasks. A random reservoir holds
# a stimulus that stays on (the Delay tasks), and nothing else: what the other tasks need is in the primitives.

# %%
results.figure("accuracy")

# %%
accuracy = results.table("accuracy").groupby(["strategy", "seed"])["value"].mean()
accuracy.groupby("strategy").describe()[["mean", "std", "min", "max"]].round(3)

# %% [markdown]
# What the mask on inputs gives, and (at `standard`) what longer training gives the dense primitives; paired over
# seeds.

# %%
by_strategy = accuracy.unstack("strategy")
pairs = [pair for pair in (("MP", "MPu"), ("DP", "DP-short")) if set(pair) <= set(by_strategy)]
pd.DataFrame({" − ".join(pair): by_strategy[pair[0]] - by_strategy[pair[1]] for pair in pairs}).describe().round(3)

# %% [markdown]
# Budgets differ between strategies: so many trials (streams, for primitives) did each learn from.

# %%
costs = results.table("costs")
costs.query("metric == 'trials_seen'").groupby("strategy")["value"].first().astype(int)

# %% [markdown]
# The updates that a corpus of nine tasks costs are counted after pre-training. Charged with all of its pre-training,
# MP has no advantage on *one* corpus; it has on the next ones (d is an extrapolation).

# %%
results.figure("costs")

# %% [markdown]
# ## Robust, where?
# MP withstands noise in inputs and states, and a lesion along its modules. Where it loses, the table says so: it has
# fewer synapses, and noise in proportion to them or their silencing hurts it more.

# %%
results.figure("perturbations")

# %%
results.figure("robustness")

# %% [markdown]
# The lesion is cut along MP's own modules, so here are wins and losses with it and without. Beside them the raw
# ratios, which flatter whoever starts near chance (GP).

# %%
parts = results.claims().query("part_of in ['C4a', 'C4b', 'C4c']")
families = parts.index.str.partition(".").get_level_values(2)
outcome = parts["verdict"].map({"reproduced": "won", "contradicted": "lost"}).fillna("undecided")
counted = {"nine families": families != "", "without the lesion": families != "localised-lesion"}
tables = {name: outcome[keep].groupby(parts["part_of"][keep]).value_counts() for name, keep in counted.items()}
pd.concat(tables).unstack(0)

# %%
perturbed = results.table("perturbations")
perturbed.query("metric == 'retained_raw'").pivot_table(index="family", columns="strategy", values="value").round(3)

# %% [markdown]
# ## Silencing a module reveals the solution

# %%
results.figure("lesions")

# %%
results.figure("dimension")

# %% [markdown]
# ## Nothing is forgotten
# Readouts do not share parameters, so that MP's accuracies stay to the last bit.

# %%
results.figure("forgetting")
