# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# % [markdown]
# # Slow learning
