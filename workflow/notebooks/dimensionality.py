# %% [markdown]
# # Dimension in deep networks: expansion, compression, and the noise of learning
# Inputs lie on manifolds of far fewer dimensions than they have pixels. What do the layers of a trained network do to
# that number, what has the noise of stochastic gradient descent to do with it, and does it tell how well a network
# generalises?
#
# Two data sets: *digits* (8 × 8 images, 10 classes), and a *synthetic* manifold with ten latent variables in 100
# dimensions, of which two decide the label. Two notions of dimension, which need not agree: **local** (from distances
# to nearest neighbours: maximum likelihood, two-NN) and **global** (participation ratio of the covariance).

# %% tags=["parameters"]
study = "dimensionality"
scale = "quick"
root = "."

# %%
from dynatlas.site.reader import open_study

results = open_study(study, scale, root)
results.claim_table()

# %% [markdown]
# ## Can the estimators be trusted?
# Up to about eight dimensions; above, local estimators are biased low, the more the fewer the points. All comparisons
# below are between clouds of the same held-out inputs, with equal numbers of points and neighbours.

# %%
results.figure("estimators")

# %% [markdown]
# ## Expansion, then compression
# Random ReLU layers raise the local dimension, layer after layer. Training keeps the rise in the first layers, and
# turns the later ones round. On digits the rise that is left is small, and the participation ratio has none.

# %%
results.figure("profiles")

# %%
results.figure("course")

# %% [markdown]
# What is selected? On the synthetic manifold it can be read off. Every ReLU layer makes latent variables harder to
# read, trained or not; training *keeps* those that decide the label (a). Noise in learning, from small batches or on
# the weights, *strips* the others faster (b, c).

# %%
results.figure("selection")

# %% [markdown]
# ## The noise of learning as a regulariser
# Noise of standard deviation $\sigma$ on the weights adds $\frac{\sigma^2}{2} \operatorname{tr} H$ to the loss, on
# average. For a linear network of two layers that is exact, with a known term of fourth order (a). In a trained ReLU
# network it is half as much again, however small the noise (b): autograd's Hessian does not see the kinks.

# %%
results.figure("averages")

# %% [markdown]
# This penalty is the size of the representation times the size of the Jacobian to the output. Among all factorisations
# of one product it is smallest for balanced ones, whose hidden layer has the rank of the task; noise drives the network
# there.

# %%
results.figure("linear")

# %% [markdown]
# In ReLU networks noise lowers the *local* dimension of the last hidden layer. The *global* one rises.

# %%
results.figure("noise")

# %% [markdown]
# ## Dimension and generalisation
# Networks that learned the same images with more and more wrong labels, all of them perfectly:

# %%
results.figure("labels")

# %%
shown = ["train_accuracy", "test_accuracy", "last_mle", "last_participation_ratio"]
relabelled = results.table("relabelled")
relabelled[relabelled["metric"].isin(shown)].pivot_table(index=["data", "fraction"], columns="metric", values="value")
