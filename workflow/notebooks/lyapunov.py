# %% [markdown]
# # Lyapunov exponents as a readout of training
# A recurrent network is a dynamical system that its input drives. Its Lyapunov exponents say how fast nearby states
# part or meet, and with them how gradients grow on their way back. Can they tell, early in training, how well a network
# will do, over a wide range of hyperparameters?
#
# **tanh**, **GRU** and **LSTM** networks predict the next symbol of a text in which each symbol repeats the one
# five steps before, with probability .85. Each seed draws gains of its own, weights of its own and batches of its own.

# %% tags=["parameters"]
study = "lyapunov"
scale = "quick"
root = "."

# %%
from dynatlas.site.reader import open_study

results = open_study(study, scale, root)
results.claim_table()

# %% [markdown]
# ## Exponents that are known
# Table 1: the largest deviation over seeds from what is known in closed form, and with a wrong index: transposed
# Jacobians, or Jacobians shifted by a step. Sums of constant determinants cannot tell these apart.

# %%
identities = results.table("identities")
deviations = identities.query("metric == 'deviation'").pivot_table(
    index="part", columns="arm", values="value", aggfunc="max"
)
deviations.map("{:.1e}".format)

# %%
known = identities.query("arm == 'right' and metric != 'deviation' and part in ['henon', 'lorenz']")
known.pivot_table(index=["part", "order"], columns="metric", values="value").round(4)

# %% [markdown]
# ## Forward and backward
# A vector that is carried back through the transposed Jacobians grows at the rate of the leading exponent.

# %%
results.figure("gradients")

# %% [markdown]
# ## Driven by data
# One sequence of a hundred steps is enough to tell networks apart. Of the variance of the exponents nearly all lies
# between gains, next to nothing between sequences.

# %%
results.figure("lengths")

# %% [markdown]
# Where training starts depends on the cell: with small weights, the update gate of a GRU and the forget gate of an LSTM
# are half open, and exponents are log(1/2); those of a tanh network go to minus infinity.

# %%
results.figure("starts")

# %% [markdown]
# ## A readout of training
# The spectra after training, and the final loss against what a spectrum is summed up in.

# %%
results.figure("spectra")

# %%
results.figure("losses")

# %% [markdown]
# Table 2: rank correlations with the final loss, mean over seeds. The sign of that of the mean exponent differs between
# cells, so that none is claimed; what is tested is a readout that was fitted on other seeds.

# %%
networks = results.table("networks").query("text == 'primary'")
wide = networks.pivot_table(index=["cell", "seed", "configuration"], columns="metric", values="value")
columns = [f"{when}_{summary}" for summary in ("mean", "abs_lambda_1") for when in ("start", "early", "end")]
by_seed = wide.groupby(["cell", "seed"])[[*columns, "early_loss", "final_loss"]].corr(method="spearman")
by_seed = by_seed["final_loss"].unstack()[[*columns, "early_loss"]]
by_seed.groupby("cell").agg(["mean", "min", "max"]).T.round(2)

# %%
results.figure("foreseen")

# %% [markdown]
# What the readout sees, side by side: exponents before training, early and at the end, and the early loss.

# %%
readouts = results.table("readouts").query("text == 'primary' and reader != 'all'")
readouts.pivot_table(index=["cell", "reader"], columns=["losses", "metric"], values="value").round(2)

# %% [markdown]
# ## Along training

# %%
results.figure("course")

# %% [markdown]
# ## The authors' own grid
# Table 3: the same statistics on the spectra and losses of 110 LSTMs that the authors published; read at scale
# `paper`, from their files.

# %%
if scale == "paper":
    published = results.table("published")
    print(published.pivot_table(index="metric", columns=["target", "epoch"], values="value").round(3))
