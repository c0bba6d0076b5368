"""The error function for NumPy, which has none."""

import math

import numpy as np

from .arrays import Array


def erf(x: Array) -> Array:
    """erf to the precision of the numbers: `math.erf`, entry by entry."""
    flat = np.asarray(x, dtype=np.float64).reshape(-1)
    found = np.fromiter((math.erf(v) for v in flat), np.float64, flat.size)
    return found.reshape(np.shape(x)).astype(np.asarray(x).dtype)
