"""Reverse mode on a tape: record primitives going forward, pull cotangents back.

A tape is a flat list of entries, one a primitive call, and going back is a loop over it:
a chain of any length needs no recursion. Tapes nest (a gradient of a gradient): a value
belongs to the youngest tape that saw it and holds the older tape's value inside, so that
the pull-backs, which call primitives, are themselves recorded by the older tapes
(Griewank and Walther, Evaluating Derivatives; the `Box` of HIPS autograd).
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .arrays import Array, as_array, differentiable, is_jax, namespace
from .errors import AutogradError, in_user_terms, where_from

Pull = Callable[[Any], Sequence[Any]]
_clock = itertools.count(1)
_off = 0  # depth of no_grad
_watch = 0  # depth of debug_nans


class Tape:
    """Entries in order of execution: (parents by index, pull-back, name, user's line)."""

    def __init__(self) -> None:
        self.level = next(_clock)
        self.entries: list[tuple[tuple[int, ...], Pull | None, str]] = []

    def leaf(self, value: Array) -> "Traced":
        return self.record(value, (), None, "input")

    def record(
        self, value: Array, parents: tuple[int, ...], pull: Pull | None, name: str
    ) -> "Traced":
        self.entries.append((parents, pull, name))
        return Traced(value, self, len(self.entries) - 1)

    def backward(self, seeds: Sequence[tuple[int, Any]]) -> dict[int, Any]:
        """Cotangents of the leaves, given those of some values by index."""
        from .primitives import add

        found: dict[int, Any] = {}
        for index, cotangent in seeds:
            found[index] = add(found[index], cotangent) if index in found else cotangent
        leaves: dict[int, Any] = {}
        for index in range(max(found, default=-1), -1, -1):
            if index not in found:
                continue
            cotangent = found.pop(index)
            parents, pull, name = self.entries[index]
            if pull is None:
                leaves[index] = cotangent
                continue
            for parent, part in zip(parents, pull(cotangent), strict=True):
                if _watch:
                    check_finite(part, f"the gradient of {name}")
                found[parent] = add(found[parent], part) if parent in found else part
        return leaves


class Traced:
    """A value on a tape. Behaves like its array; assignment into it is refused."""

    __slots__ = ("index", "tape", "value")
    __array_ufunc__ = None  # numpy arrays leave mixed arithmetic to us
    __array_priority__ = 1000

    def __init__(self, value: Array, tape: Tape, index: int) -> None:
        self.value, self.tape, self.index = value, tape, index

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(np.shape(raw(self)))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def dtype(self) -> Any:
        return raw(self).dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Traced({raw(self)!r})"

    def __setitem__(self, key: Any, value: Any) -> None:
        raise AutogradError(
            "assignment into a traced array would lose its gradient: build the new array with "
            "ag.where(mask, new, x), ag.concatenate or ag.pad instead" + where_from()
        )

    def __bool__(self) -> bool:
        return bool(raw(self))

    def __float__(self) -> float:
        raise AutogradError(
            "float() of a traced value would lose its gradient: use ag.stop_gradient(x) where "
            "that is meant" + where_from()
        )

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise AutogradError(
            "numpy cannot be applied to a traced value: use the function of the same name in "
            "cnncalc.autograd" + where_from()
        )


def raw(x: Any) -> Any:
    """The plain array inside all tapes."""
    while isinstance(x, Traced):
        x = x.value
    return x


def stop_gradient(x: Any) -> Any:
    """x as a constant: no gradient flows through it."""
    return raw(x)


class Primitive:
    """A differentiable function of arrays: what it computes, and how cotangents go back.

    `defvjp` takes, for each array argument, a maker `(ans, *args, **kw) -> (g -> cotangent)`.
    The maker runs when the call is recorded and should keep only what it needs.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = function.__name__
        self.makers: tuple[Callable[..., Any] | None, ...] = ()
        self.joint: Callable[..., Pull] | None = None
        self.__doc__ = function.__doc__
        self.__name__ = self.name

    def defvjp(self, *makers: Callable[..., Any] | None) -> None:
        """One maker per positional array argument; the last serves all further ones."""
        self.makers = makers

    def defvjp_joint(self, maker: Callable[..., Any]) -> None:
        """A maker `(argnums, ans, *args, **kw) -> (g -> cotangents of these arguments)`."""
        self.joint = maker

    def __call__(self, *args: Any, **kw: Any) -> Any:
        tape = None
        for a in args:
            if isinstance(a, Traced) and (tape is None or a.tape.level > tape.level):
                tape = a.tape
        if tape is None:
            return self._compute(args, kw)
        if _off:
            return self._compute(tuple(raw(a) for a in args), kw)
        mine = tuple(i for i, a in enumerate(args) if isinstance(a, Traced) and a.tape is tape)
        inner = tuple(a.value if isinstance(a, Traced) and a.tape is tape else a for a in args)
        ans = self(*inner, **kw)
        parents = tuple(args[i].index for i in mine)
        return tape.record(ans, parents, self._pull(mine, ans, inner, kw), self.name)

    def _compute(self, args: tuple[Any, ...], kw: dict[str, Any]) -> Any:
        try:
            ans = self.function(*args, **kw)
        except AutogradError:
            raise
        except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
            raise in_user_terms(self.name, args, kw, error) from error
        if _watch:
            check_finite(ans, self.name)
        return ans

    def _pull(self, mine: tuple[int, ...], ans: Any, args: tuple[Any, ...], kw: Any) -> Pull:
        if self.joint is not None:
            pull: Pull = self.joint(mine, ans, *args, **kw)
            return pull
        makers = [self.makers[min(i, len(self.makers) - 1)] for i in mine]
        for maker in makers:
            if maker is None:
                raise AutogradError(f"{self.name} has no gradient for that argument" + where_from())
        pulls = [m(ans, *args, **kw) for m in makers if m is not None]
        return lambda g: [pull(g) for pull in pulls]


def primitive(function: Callable[..., Any]) -> Any:
    """Makes a function of plain arrays a primitive; see `Primitive.defvjp`."""
    return Primitive(function)


@contextmanager
def no_grad() -> Iterator[None]:
    """Within it nothing is recorded: results are constants."""
    global _off
    _off += 1
    try:
        yield
    finally:
        _off -= 1


@contextmanager
def debug_nans() -> Iterator[None]:
    """Within it the first primitive that makes a NaN or infinity raises, with its line."""
    global _watch
    _watch += 1
    try:
        yield
    finally:
        _watch -= 1


def check_finite(x: Any, name: str) -> None:
    """Raises where x has a NaN or infinity; traced JAX values cannot be looked at."""
    x = raw(x)
    if getattr(x, "dtype", None) in (None, object) or not differentiable(x):
        return
    if is_jax(x):
        import jax

        if isinstance(x, jax.core.Tracer):
            return
    ns = namespace(x)
    if not bool(ns.isfinite(x).all()):
        what = "a NaN" if bool(ns.isnan(x).any()) else "an infinity"
        raise AutogradError(f"{name} made {what}, output shape {tuple(x.shape)}" + where_from())


def constant_like(x: Any, value: float) -> Any:
    """An array of x's shape, kind and dtype filled with `value`."""
    ns = namespace(raw(x))
    made = ns.ones_like(as_array(raw(x)))
    return made if value == 1 else made * value
