"""The second, independent build of a network: real tensors through `lax` and `jax.numpy`.

`run` compares it with what was derived; jax and numpy are imported inside functions only.
"""

from .runner import RunOptions, run

__all__ = ["RunOptions", "run"]
