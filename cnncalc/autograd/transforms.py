"""Transformations of functions: vjp, grad, jvp, hessian, checkpoint, custom_vjp."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arrays import as_array, differentiable, is_symbolic, namespace
from .errors import AutogradError, where_from
from .tape import Primitive, Tape, Traced, constant_like, raw
from .trees import flatten, unflatten

Function = Callable[..., Any]


def vjp(f: Function, *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The value of f and its pull-back: cotangent of the output -> those of the primals.

    Primals and outputs may be nested dicts, lists and tuples of arrays; integers and
    booleans get a zero cotangent.

    >>> y, pull = vjp(lambda x: x * x, np.array(3.0))
    >>> float(y), float(pull(np.array(1.0))[0])
    (9.0, 6.0)
    """
    leaves, tree = flatten(primals)
    tape = Tape()
    boxed = [_box(tape, x) for x in leaves]
    outs, out_tree = flatten(f(*unflatten(tree, boxed)))
    values = [y.value if isinstance(y, Traced) and y.tape is tape else y for y in outs]

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        given, given_tree = flatten(cotangent)
        if given_tree != out_tree:
            raise AutogradError("the cotangent is not built like the output" + where_from())
        seeds = []
        for y, g in zip(outs, given, strict=True):
            if np.shape(raw(y)) != np.shape(raw(g)):
                message = f"the cotangent has shape {np.shape(raw(g))}, the output "
                raise AutogradError(message + f"{np.shape(raw(y))}" + where_from())
            if isinstance(y, Traced) and y.tape is tape:
                seeds.append((y.index, g))
        found = tape.backward(seeds)
        grads = [
            found.get(b.index, None) if isinstance(b, Traced) and b.tape is tape else None
            for b in boxed
        ]
        filled = [
            constant_like(x, 0) if g is None else g for g, x in zip(grads, leaves, strict=True)
        ]
        result: tuple[Any, ...] = unflatten(tree, filled)
        return result

    return unflatten(out_tree, values), pullback


def _box(tape: Tape, x: Any) -> Any:
    if isinstance(x, Traced):
        return tape.leaf(x)
    return tape.leaf(as_array(x)) if differentiable(x) else x


def value_and_grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """A function giving f's scalar value and its gradient by the arguments `argnums`."""
    several = not isinstance(argnums, int)
    chosen = tuple(argnums) if not isinstance(argnums, int) else (argnums,)

    def both(*args: Any, **kw: Any) -> tuple[Any, Any]:
        def of_chosen(*picked: Any) -> Any:
            full = list(args)
            for i, x in zip(chosen, picked, strict=True):
                full[i] = x
            return f(*full, **kw)

        value, pullback = vjp(of_chosen, *(args[i] for i in chosen))
        if isinstance(value, dict | list | tuple):
            raise AutogradError("grad needs a function of one scalar output" + where_from())
        shape = np.shape(raw(value))
        if shape != ():
            raise AutogradError(
                f"grad needs a scalar loss, this one has shape {shape}: take ag.sum or ag.mean "
                "of it, or use ag.vjp with a cotangent" + where_from()
            )
        grads = pullback(constant_like(value, 1))
        return value, grads if several else grads[0]

    return both


def grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """The gradient of a scalar function.

    >>> float(grad(lambda x: x * x * x)(np.array(2.0)))
    12.0
    """
    both = value_and_grad(f, argnums)
    return lambda *args, **kw: both(*args, **kw)[1]


def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """The value of f and its derivative along `tangents`.

    By two pull-backs: u -> vjp(u) is linear, and its own pull-back at v is Jv.
    """
    value, pullback = vjp(f, *primals)
    leaves, tree = flatten(value)
    zero = unflatten(tree, [constant_like(y, 0) for y in leaves])
    _, forward = vjp(pullback, zero)
    return value, forward(tuple(tangents))[0]


def hessian(f: Function) -> Function:
    """The matrix of second derivatives of a scalar function of one array: x.shape twice."""

    def second(x: Any) -> Any:
        x = as_array(x)
        ns = namespace(raw(x))
        _, pullback = vjp(grad(f), x)
        eye = np.eye(int(np.prod(np.shape(x))))
        rows = [pullback(_basis(ns, row, x))[0] for row in eye]
        return ns.stack([r.reshape(-1) for r in rows]).reshape((*np.shape(x), *np.shape(x)))

    return second


def _basis(ns: Any, row: Any, x: Any) -> Any:
    shaped = row.reshape(np.shape(x))
    if is_symbolic(x):
        return as_array(shaped.astype(int).astype(object))
    return ns.asarray(shaped, dtype=x.dtype)


def checkpoint(f: Function) -> Function:
    """f, whose inner values are not stored: the pull-back computes f again.

    f must get every traced value as an argument.
    """

    def compute(*leaves: Any, tree: Any) -> Any:
        out = f(*unflatten(tree, list(leaves)))
        if isinstance(out, dict | list | tuple):
            raise AutogradError("a checkpointed function gives one array" + where_from())
        return out

    segment = Primitive(compute)
    segment.name = f"checkpoint({getattr(f, '__name__', 'f')})"

    def joint(mine: tuple[int, ...], ans: Any, *leaves: Any, tree: Any) -> Any:
        if isinstance(ans, Traced) and not any(isinstance(x, Traced) for x in leaves):
            raise AutogradError(
                "the checkpointed function reads a traced value from outside: pass it as an "
                "argument" + where_from()
            )

        def pull(g: Any) -> list[Any]:
            grads = flatten(vjp(lambda *xs: f(*unflatten(tree, list(xs))), *leaves)[1](g))[0]
            return [grads[i] for i in mine]

        return pull

    segment.defvjp_joint(joint)

    def call(*args: Any) -> Any:
        leaves, tree = flatten(args)
        return segment(*leaves, tree=tree)

    call.__name__ = getattr(f, "__name__", "f")
    call.__doc__ = f.__doc__
    return call


class custom_vjp:  # noqa: N801 (a decorator)
    """A function whose pull-back the user writes, as with `jax.custom_vjp`.

    >>> @custom_vjp
    ... def clipped(x):
    ...     return x * 1.0
    >>> clipped.defvjp(lambda x: (x * 1.0, None), lambda saved, g: (g * 0.5,))
    >>> float(grad(clipped)(np.array(2.0)))
    0.5
    """

    def __init__(self, f: Function) -> None:
        self.f = f
        self.forward: Function | None = None
        self.backward: Function | None = None
        self.primitive = Primitive(f)
        self.primitive.defvjp_joint(self._joint)
        self.__doc__ = f.__doc__

    def defvjp(self, forward: Function, backward: Function) -> None:
        """`forward(*args) -> (output, saved)`, `backward(saved, g) -> cotangents of args`."""
        self.forward, self.backward = forward, backward

    def __call__(self, *args: Any) -> Any:
        if self.forward is None:
            return self.f(*args)
        return self.primitive(*args)

    def _joint(self, mine: tuple[int, ...], ans: Any, *args: Any) -> Any:
        assert self.forward is not None
        assert self.backward is not None
        backward = self.backward
        _, saved = self.forward(*args)

        def pull(g: Any) -> list[Any]:
            grads = backward(saved, g)
            if not isinstance(grads, tuple) or len(grads) != len(args):
                message = f"the custom pull-back must give {len(args)} cotangents as a tuple"
                raise AutogradError(message + where_from())
            return [grads[i] for i in mine]

        return pull
