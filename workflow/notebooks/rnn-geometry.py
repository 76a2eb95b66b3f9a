# %% [markdown]
# # Representations in a recurrent network that reads images row by row
# A recurrent network of tanh units, without bias, reads a 28 x 28 image one row at a time and must name the digit after
# the last row. The last four rows are blank. When is the label in the hidden state, when can the network's own output
# layer see it, and what do the steps do in which nothing comes in?
#
# **trained** networks answer at 28 rows, **longer** ones learned the same images with 8 blank rows more, **shuffled**
# ones learned shuffled labels, **untrained** ones have the weights that learning starts from.

# %% tags=["parameters"]
study = "rnn-geometry"
scale = "quick"
root = "."

# %%
from dynatlas.site.reader import open_study

results = open_study(study, scale, root)
results.claim_table()

# %% [markdown]
# ## Early in the states, late in the output
# A linear probe and nearest neighbours find the label long before the network's own readout does, and long after.
# A probe alone says little: the states of a network that never learned can be probed as well. What learning adds are
# neighbourhoods of one class, and that they last.

# %%
results.figure("accuracy")

# %%
accuracy = results.table("accuracy")
means = accuracy.pivot_table(index="time", columns=["network", "reader"], values="value").round(3)
means.loc[[16, 20, 24, 28, 33, 36, 58], ["trained", "untrained"]]

# %%
results.figure("embeddings")

# %%
results.figure("neighbourhoods")

# %% [markdown]
# ## The length of the sequence
# Blank rows hold no information about the image, and yet the readout is right at exactly the trained length, and wrong
# a few blank rows before and after. Wrong in a systematic way: after the best renaming of its answers (b), more of
# them are right.

# %%
results.figure("lengths")

# %% [markdown]
# The blank rows are used: with other dynamics in the last four updates the answer is lost.

# %%
results.figure("swaps")

# %% [markdown]
# ## Where the states turn to
# Class means turn into the space that the readout sees while rows come in, and stay in it afterwards. They go on
# turning inside it, which is why the answers change.

# %%
results.figure("alignment")

# %%
results.figure("geometry")

# %% [markdown]
# ## Free dynamics
# Without input the trained networks go on moving. The leading Lyapunov exponent stands near 0 and the next ones below
# it, which is what a closed curve or a torus has; untrained networks pass that test as well. Learning shows in the
# spectral radius and in how large the activity is.

# %%
results.figure("dynamics")

# %%
dynamics = results.table("dynamics")
leading = dynamics.query("order <= 2").groupby(["metric", "order", "network"])["value"]
leading.describe()[["mean", "std", "min", "max"]].round(3)
