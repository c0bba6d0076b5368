"""Functions as single steps of a tape: gradient checkpoints, custom pull-backs, stored bytes."""

from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

import numpy as np

from .arrays import is_jax
from .errors import AutogradError, where_from
from .tape import Primitive, Tape, peel, raw, recording, youngest
from .transforms import vjp
from .trees import flatten, unflatten

Function = Callable[..., Any]


def checkpoint(f: Function) -> Function:
    """f, whose inner values are not stored: the pull-back computes f again.

    A chain of n equal steps stores n values; in segments of k steps it stores the n/k
    between them and, while one segment is pulled back, its k: least at k = sqrt(n). Each
    step is computed twice. f gives one array, and must get every traced value as an argument.

    >>> from cnncalc import autograd as ag
    >>> def twice(x):
    ...     return ag.tanh(ag.tanh(x))
    >>> x = np.ones(100)
    >>> stored_bytes(twice, x), stored_bytes(checkpoint(twice), x)
    (1600, 0)
    """

    def compute(*leaves: Any, tree: Any) -> Any:
        out = f(*unflatten(tree, list(leaves)))
        if isinstance(out, dict | list | tuple):
            raise AutogradError("a checkpointed function gives one array" + where_from())
        return out

    def joint(mine: tuple[int, ...], ans: Any, *leaves: Any, tree: Any) -> Any:
        def pull(g: Any) -> list[Any]:
            grads = flatten(vjp(lambda *xs: f(*unflatten(tree, list(xs))), *leaves)[1](g))[0]
            return [grads[i] for i in mine]

        return pull

    segment = Primitive(compute)
    segment.name = f"checkpoint({getattr(f, '__name__', 'f')})"
    segment.defvjp_joint(joint)

    def call(*args: Any) -> Any:
        leaves, tree = flatten(args)
        return segment(*leaves, tree=tree)

    call.__name__ = getattr(f, "__name__", "f")
    call.__doc__ = f.__doc__
    return call


class custom_vjp:  # noqa: N801 (a decorator)
    """A function of arrays whose pull-back the user writes, as with `jax.custom_vjp`.

    >>> from cnncalc import autograd as ag
    >>> @custom_vjp
    ... def rounded(x):
    ...     return ag.floor(x + 0.5)
    >>> rounded.defvjp(lambda x: (rounded(x), None), lambda saved, g: (g,))
    >>> float(ag.grad(lambda x: rounded(x) * rounded(x))(1.8))
    4.0
    """

    def __init__(self, f: Function) -> None:
        self.f = f
        self.forward: Function | None = None
        self.backward: Function | None = None
        self.__doc__ = f.__doc__
        self.__name__ = getattr(f, "__name__", "f")

    def defvjp(self, forward: Function, backward: Function) -> None:
        """`forward(*args) -> (output, saved)`, `backward(saved, g) -> cotangents of args`.

        A further derivative differentiates these two.
        """
        self.forward, self.backward = forward, backward

    def __call__(self, *args: Any) -> Any:
        tape = youngest(args)
        if tape is None or self.forward is None or self.backward is None or not recording():
            return self.f(*args)
        mine, parents, inner = peel(tape, args)
        made = self.forward(*inner)
        if not isinstance(made, tuple) or len(made) != 2:
            raise AutogradError(f"{self.__name__}: forward gives (output, saved){where_from()}")
        ans, saved = made
        shapes = [np.shape(raw(a)) for a in args]
        backward, name = self.backward, self.__name__

        def pull(g: Any) -> list[Any]:
            grads = backward(saved, g)
            if not isinstance(grads, tuple) or len(grads) != len(shapes):
                message = f"{name}: backward gives one cotangent an argument, {len(shapes)} in a "
                raise AutogradError(message + "tuple" + where_from())
            for i in mine:
                if np.shape(raw(grads[i])) != shapes[i]:
                    message = f"{name}: cotangent {i} has shape {np.shape(raw(grads[i]))}, its "
                    raise AutogradError(message + f"argument {shapes[i]}" + where_from())
            return [grads[i] for i in mine]

        return tape.record(ans, parents, pull, name)


def stored_bytes(f: Function, *args: Any) -> int:
    """The bytes that a gradient of f keeps from forward to backward, besides the arguments.

    Every array that a pull-back on the tape refers to counts once, a view as the array that
    it keeps alive.

    >>> from cnncalc import autograd as ag
    >>> stored_bytes(lambda x: ag.sum(ag.exp(x)), np.ones(10))
    80
    """
    leaves, tree = flatten(args)
    tape = Tape()
    boxed = [tape.leaf(x) if hasattr(x, "dtype") else x for x in leaves]
    f(*unflatten(tree, boxed))
    given: dict[int, int] = {}
    kept: dict[int, int] = {}
    _count(leaves, given)
    for _, pull, _, _ in tape.entries:
        _count(pull, kept)
    return sum(size for key, size in kept.items() if key not in given)


def _count(x: Any, found: dict[int, int]) -> None:
    """Adds the arrays that x holds or closes over: address -> bytes."""
    x = raw(x)
    if isinstance(x, np.ndarray):
        while isinstance(x.base, np.ndarray):
            x = x.base
        found[id(x)] = x.nbytes
    elif is_jax(x) and hasattr(x, "nbytes"):
        found[id(x)] = x.nbytes
    elif isinstance(x, FunctionType):
        for part in (*(x.__closure__ or ()), *(x.__defaults__ or ())):
            _count(part, found)
    elif isinstance(x, CellType):
        _count(x.cell_contents, found)
    elif isinstance(x, list | tuple):
        for part in x:
            _count(part, found)
    elif isinstance(x, dict):
        _count(list(x.values()), found)
