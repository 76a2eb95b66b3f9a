# %% [markdown]
# # A tour of the toy's instruments

# %%
import numpy as np
from dynatlas.instruments.fit_error import squared_error

squared_error(np.ones(1), np.ones((1, 2)), np.zeros((1, 2)))
