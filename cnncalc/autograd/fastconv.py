"""Convolution on NumPy floats."""

from .plainconv import forward, input_adjoint, kernel_adjoint

__all__ = ["forward", "input_adjoint", "kernel_adjoint"]
