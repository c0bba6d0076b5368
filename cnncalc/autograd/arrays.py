"""The three kinds of array: NumPy, JAX, and NumPy arrays of SymPy expressions.

`namespace(x)` gives the functions of the kind that `x` is, under NumPy's names, so that one
primitive is written once. jax and sympy are imported only where their arrays are met.
"""

from functools import cache
from typing import Any

import numpy as np

Array = Any


_PACKAGES: dict[type, str] = {}


def _package(x: Any) -> str:
    """The package that x's type comes from, looked up once a type."""
    kind = type(x)
    if kind not in _PACKAGES:
        _PACKAGES[kind] = kind.__module__.partition(".")[0]
    return _PACKAGES[kind]


def is_jax(x: Any) -> bool:
    """Is x a JAX array or tracer? Told by its type's module: jax is not imported."""
    return _package(x) in ("jax", "jaxlib")


def is_symbolic(x: Any) -> bool:
    """Is x a SymPy expression, or an array of them?"""
    if isinstance(x, np.ndarray):
        return bool(x.dtype.kind == "O")
    return _package(x) == "sympy"


def namespace(*xs: Any) -> Any:
    """The functions for these arrays: `jax.numpy` if any is JAX's, then SymPy's, else NumPy.

    >>> namespace(np.ones(2)) is np
    True
    """
    if any(is_jax(x) for x in xs):
        import jax.numpy

        return jax.numpy
    return symbolic() if any(is_symbolic(x) for x in xs) else np


def kind(*xs: Any) -> str:
    """'jax', 'symbolic' or 'numpy'."""
    if any(is_jax(x) for x in xs):
        return "jax"
    return "symbolic" if any(is_symbolic(x) for x in xs) else "numpy"


def as_array(x: Any) -> Array:
    """x as an array of its own kind; Python numbers become float64 arrays."""
    if is_jax(x) or isinstance(x, np.ndarray):
        return x
    if is_symbolic(x):
        return np.asarray(x, dtype=object)
    return np.asarray(x)


def differentiable(x: Any) -> bool:
    """Can a gradient flow to x: real numbers or symbols, no integers or booleans?"""
    if isinstance(x, float):
        return True
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        return is_symbolic(x)
    return "float" in str(dtype) or str(dtype) == "object"


@cache
def symbolic() -> "Symbolic":
    """NumPy over SymPy objects."""
    return Symbolic()


def exact(*xs: Any) -> Any:
    """The arguments; beside symbols, those that are numbers as exact arrays.

    A float stands for its shortest decimal: 0.5 is 1/2 and 0.1 is 1/10.
    """
    for x in xs:
        if is_symbolic(x):
            return tuple(symbolic().exactly(x) for x in xs)
    return xs


class Symbolic:
    """NumPy's functions on object arrays of SymPy expressions.

    NumPy serves what only moves or adds entries; functions of numbers are SymPy's, and
    reductions, which NumPy answers with a bare object, come back as arrays.
    """

    float32 = float64 = object

    def __init__(self) -> None:
        import sympy

        def both(name: str) -> Any:
            return np.frompyfunc(getattr(sympy, name), 2, 1)

        self.sympy = sympy
        for name in ("exp", "log", "sqrt", "tanh", "erf"):
            setattr(self, name, self._entrywise(getattr(sympy, name)))
        self.abs = self._entrywise(sympy.Abs)
        self.negative = self._entrywise(lambda x: -x)
        self.maximum, self.minimum = self._wrap(both("Max")), self._wrap(both("Min"))
        self.sign, self.floor = self._entrywise(sympy.sign), self._entrywise(sympy.floor)
        self.where = self._wrap(np.frompyfunc(self._piece, 3, 1))
        self.greater = self._wrap(np.frompyfunc(sympy.Gt, 2, 1))
        self.greater_equal = self._wrap(np.frompyfunc(sympy.Ge, 2, 1))
        self.equal = self._wrap(np.frompyfunc(sympy.Eq, 2, 1))
        self.logical_and = self._wrap(np.frompyfunc(sympy.And, 2, 1))
        self.logical_not = self._wrap(np.frompyfunc(sympy.Not, 1, 1))

    @staticmethod
    def _wrap(function: Any) -> Any:
        return lambda *xs: np.asarray(function(*xs), dtype=object)

    def _entrywise(self, function: Any) -> Any:
        return self._wrap(np.frompyfunc(lambda x: function(self.exact(x)), 1, 1))

    def exact(self, x: Any) -> Any:
        """An exact number: float literals such as 0.5 would contaminate the formulas."""
        if isinstance(x, self.sympy.Basic):
            return x
        if isinstance(x, bool | np.bool_):
            return self.sympy.true if x else self.sympy.false
        if isinstance(x, float | np.floating):
            return self.sympy.Rational(str(float(x))) if np.isfinite(x) else self.sympy.sympify(x)
        return self.sympy.sympify(int(x)) if isinstance(x, int | np.integer) else x

    def exactly(self, x: Any) -> Array:
        """Each entry exact; x itself where nothing needs to be done."""
        x = np.asarray(x)
        if x.dtype == object and all(isinstance(v, self.sympy.Basic) for v in x.flat):
            return x
        return np.asarray(np.frompyfunc(self.exact, 1, 1)(x), dtype=object)

    def _piece(self, condition: Any, yes: Any, no: Any) -> Any:
        if condition in (True, False):
            return yes if condition else no
        return self.sympy.Piecewise((yes, condition), (no, True))

    def asarray(self, x: Any, dtype: Any = None) -> Array:
        return np.asarray(x, dtype=object)

    def sum(self, x: Array, axis: Any = None, keepdims: bool = False) -> Array:
        return np.asarray(np.sum(x, axis=axis, keepdims=keepdims), dtype=object)

    def max(self, x: Array, axis: Any = None, keepdims: bool = False) -> Array:
        axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis) % x.ndim)
        moved = np.moveaxis(x, axes, range(len(axes)))
        flat = moved.reshape((-1, *moved.shape[len(axes) :]))
        found = self._wrap(np.frompyfunc(lambda *row: self.sympy.Max(*row), len(flat), 1))(*flat)
        return np.expand_dims(found, axes) if keepdims else found

    def pad(self, x: Array, widths: Any, constant_values: Any = 0) -> Array:
        return np.pad(x, widths, constant_values=self.exact(constant_values))

    def zeros(self, shape: Any, dtype: Any = None) -> Array:
        return np.full(shape, self.sympy.Integer(0), dtype=object)

    def ones(self, shape: Any, dtype: Any = None) -> Array:
        return np.full(shape, self.sympy.Integer(1), dtype=object)

    def zeros_like(self, x: Array, dtype: Any = None) -> Array:
        return self.zeros(np.shape(x))

    def ones_like(self, x: Array, dtype: Any = None) -> Array:
        return self.ones(np.shape(x))

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if not callable(function):
            return function
        return lambda *xs, **kw: np.asarray(function(*xs, **kw), dtype=object)
