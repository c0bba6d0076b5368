"""Training a described network: one random batch, or real data, on NumPy or JAX.

Data order and dropout depend on the seed and the step alone, so that a run saved at any
step goes on with the same numbers.
"""
