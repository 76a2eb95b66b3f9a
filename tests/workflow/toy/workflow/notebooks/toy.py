# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # A toy

# %% tags=["parameters"]
study = "toy"
scale = "quick"
root = "."

# %%
print(study, scale)
