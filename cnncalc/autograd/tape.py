"""Reverse mode on a tape: record primitives going forward, pull cotangents back.

A tape is a flat list of entries, one a primitive call, and going back is a loop over it:
a chain of any length needs no recursion. Tapes nest (a gradient of a gradient): a value
belongs to the youngest tape that saw it and holds the older tape's value inside, so that
the pull-backs, which call primitives, are themselves recorded by the older tapes
(Griewank and Walther, Evaluating Derivatives; the `Box` of HIPS autograd).
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from .arrays import Array, as_array, differentiable, is_jax, is_symbolic, namespace
from .errors import AutogradError, in_user_terms, where_from
from .trees import flatten, unflatten

Pull = Callable[[Any], Sequence[Any]]
_clock = itertools.count(1)
_off = ContextVar("no_grad", default=False)
_watch = ContextVar("debug_nans", default=False)


class Tape:
    """Entries in order of execution: (parents by index, pull-back, name, user's line).

    An entry holds no value of its own tape, only what its pull-back needs: there are no
    reference cycles, and memory goes as soon as the tape does. The line is kept only
    within `debug_nans`.
    """

    def __init__(self) -> None:
        self.level = next(_clock)
        self.entries: list[tuple[tuple[int, ...], Pull | None, str, str]] = []

    def leaf(self, value: Array) -> "Traced":
        return self.record(value, (), None, "input")

    def record(
        self, value: Array, parents: tuple[int, ...], pull: Pull | None, name: str
    ) -> "Traced":
        line = where_from() if _watch.get() else ""
        self.entries.append((parents, pull, name, line))
        return Traced(value, self, len(self.entries) - 1)

    def backward(self, seeds: Sequence[tuple[int, Any]], once: bool = False) -> dict[int, Any]:
        """Cotangents of the leaves, given those of some values by index.

        With `once` each entry is dropped as it is passed, so that what it stored is freed.
        """
        from .primitives import add

        found: dict[int, Any] = {}
        for index, cotangent in seeds:
            found[index] = add(found[index], cotangent) if index in found else cotangent
        leaves: dict[int, Any] = {}
        step = _watched if _watch.get() else _pulled
        last = len(self.entries) if once else max(found, default=-1) + 1
        for index in range(last - 1, -1, -1):
            entry = self.entries.pop() if once else self.entries[index]
            if index not in found:
                continue
            cotangent = found.pop(index)
            if entry[1] is None:
                leaves[index] = cotangent
                continue
            for parent, part in zip(entry[0], step(entry, cotangent), strict=True):
                found[parent] = add(found[parent], part) if parent in found else part
        return leaves


def _pulled(entry: Any, cotangent: Any) -> Sequence[Any]:
    parts: Sequence[Any] = entry[1](cotangent)
    return parts


def _watched(entry: Any, cotangent: Any) -> Sequence[Any]:
    """The entry's pull-back; what it gives is checked under the name of the forward call."""
    _, pull, name, line = entry
    token = _watch.set(False)
    try:
        with np.errstate(all="ignore"):
            parts: Sequence[Any] = pull(cotangent)
    finally:
        _watch.reset(token)
    for part in parts:
        check_finite(part, f"the gradient of {name}", line)
    return parts


class Traced:
    """A value on a tape. Behaves like its array; assignment into it is refused."""

    __slots__ = ("index", "tape", "value")
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
        if not self.shape:
            raise TypeError("a traced number has no length")
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

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise AutogradError(
            "a plain number or array made of a traced value would lose its gradient: use "
            "ag.stop_gradient(x) where that is meant, and else the functions of "
            "cnncalc.autograd" + where_from()
        )

    __float__ = __int__ = __index__ = __complex__ = item = tolist = __array__ = _refuse


def raw(x: Any) -> Any:
    """The plain array inside all tapes."""
    while isinstance(x, Traced):
        x = x.value
    return x


def stop_gradient(x: Any) -> Any:
    """x, or every array in a nested dict, list or tuple, as a constant: no gradient flows.

    >>> from cnncalc import autograd as ag
    >>> float(ag.grad(lambda x: x * ag.stop_gradient(x))(3.0))
    3.0
    """
    leaves, tree = flatten(x)
    return unflatten(tree, [raw(leaf) for leaf in leaves])


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
        tape = youngest(args)
        if tape is None:
            return self._compute(args, kw)
        if _off.get():
            return self._compute(tuple(raw(a) for a in args), kw)
        mine, parents, inner = peel(tape, args)
        ans = self(*inner, **kw)
        if isinstance(ans, Traced) and ans.tape.level >= tape.level:
            raise AutogradError(
                f"{self.name} reads a traced value that is not among its arguments: its gradient "
                "would be lost, pass it as an argument" + where_from()
            )
        return tape.record(ans, parents, self._pull(mine, ans, inner, kw), self.name)

    def _compute(self, args: tuple[Any, ...], kw: dict[str, Any]) -> Any:
        watching = _watch.get()
        try:
            if watching:
                with np.errstate(all="ignore"):
                    ans = self.function(*args, **kw)
            else:
                ans = self.function(*args, **kw)
        except AutogradError:
            raise
        except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
            raise in_user_terms(self.name, args, kw, error) from error
        if watching:
            check_finite(ans, self.name, where_from())
        if is_symbolic(ans):
            return namespace(ans).exactly(ans)
        return ans if hasattr(ans, "dtype") or isinstance(ans, Traced) else as_array(ans)

    def _pull(self, mine: tuple[int, ...], ans: Any, args: tuple[Any, ...], kw: Any) -> Pull:
        if self.joint is not None:
            pull: Pull = self.joint(mine, ans, *args, **kw)
            return pull
        last = len(self.makers) - 1
        pulls = []
        for i in mine:
            maker = self.makers[min(i, last)]
            if maker is None:
                raise AutogradError(f"{self.name} has no gradient for that argument" + where_from())
            pulls.append(maker(ans, *args, **kw))
        return lambda g: [pull(g) for pull in pulls]


def youngest(args: Sequence[Any]) -> Tape | None:
    """The youngest tape that any of the arguments is on."""
    tape: Tape | None = None
    for a in args:
        if isinstance(a, Traced) and (tape is None or a.tape.level > tape.level):
            tape = a.tape
    return tape


def peel(
    tape: Tape, args: Sequence[Any]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[Any, ...]]:
    """Which arguments are on the tape, their entries, and all arguments as it holds them."""
    mine, parents, inner = [], [], list(args)
    for i, a in enumerate(args):
        if isinstance(a, Traced) and a.tape is tape:
            mine.append(i)
            parents.append(a.index)
            inner[i] = a.value
    return tuple(mine), tuple(parents), tuple(inner)


def primitive(function: Callable[..., Any]) -> Any:
    """Makes a function of plain arrays a primitive; see `Primitive.defvjp`.

    >>> from cnncalc import autograd as ag
    >>> @primitive
    ... def cube(x):
    ...     return x**3
    >>> cube.defvjp(lambda ans, x: lambda g: 3 * x * x * g)
    >>> float(ag.grad(cube)(2.0))
    12.0
    """
    return Primitive(function)


def recording() -> bool:
    """Is this outside of `no_grad`?"""
    return not _off.get()


@contextmanager
def _within(variable: ContextVar[bool]) -> Iterator[None]:
    token = variable.set(True)
    try:
        yield
    finally:
        variable.reset(token)


def no_grad() -> AbstractContextManager[None]:
    """Within it (in this thread) nothing is recorded: results are constants.

    >>> from cnncalc import autograd as ag
    >>> def f(x):
    ...     with ag.no_grad():
    ...         scale = x * 10
    ...     return x * scale
    >>> float(ag.grad(f)(1.0))
    10.0
    """
    return _within(_off)


def debug_nans() -> AbstractContextManager[None]:
    """Within it (in this thread) the first primitive that makes a NaN or infinity raises.

    The error names it and the line that called it, for its value and for its gradient;
    inside `jax.jit` values cannot be looked at.

    >>> from cnncalc import autograd as ag
    >>> with ag.debug_nans():  # doctest: +ELLIPSIS
    ...     ag.log(np.zeros(2))
    Traceback (most recent call last):
    cnncalc.autograd.errors.AutogradError: log made an infinity, shape (2,) (...)
    """
    return _within(_watch)


def check_finite(x: Any, name: str, line: str) -> None:
    """Raises where x has a NaN or infinity; traced JAX values cannot be looked at."""
    x = raw(x)
    if is_symbolic(x) or not differentiable(x):
        return
    if is_jax(x):
        import jax

        if isinstance(x, jax.core.Tracer):
            return
    ns = namespace(x)
    if not bool(ns.all(ns.isfinite(x))):
        what = "a NaN" if bool(ns.any(ns.isnan(x))) else "an infinity"
        raise AutogradError(f"{name} made {what}, shape {tuple(np.shape(x))}{line}")


def constant_like(x: Any, value: int) -> Any:
    """An array of x's shape, kind and dtype filled with 0 or 1."""
    plain = as_array(raw(x))
    ns = namespace(plain)
    return ns.ones_like(plain) if value else ns.zeros_like(plain)
