"""`grad`: the gradients of a described network on real tensors, with two witnesses.

They come from our engine and are compared with `jax.grad` of the layers' `lax` references
and with central differences; what a designer should know about them is reported.
"""

from .results import BATCH, Depth, Gradients, Options, Param, Term, Units, Witness
from .run import gradients

__all__ = [
    "BATCH", "Depth", "Gradients", "Options", "Param", "Term", "Units", "Witness", "gradients",
]  # fmt: skip
