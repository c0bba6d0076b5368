"""Every operator that is covered: importing this module registers them all."""

from . import activations, joins, moving, picking, reducing, resizing, weighted
from .core import HANDLERS

__all__ = [
    "HANDLERS",
    "activations",
    "joins",
    "moving",
    "picking",
    "reducing",
    "resizing",
    "weighted",
]
