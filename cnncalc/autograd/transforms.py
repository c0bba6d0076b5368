"""Transformations of functions: vjp, grad, jvp, hessian."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arrays import as_array, differentiable, is_symbolic, namespace
from .elementwise import astype
from .errors import AutogradError, where_from
from .shapes import reshape, stack
from .tape import Tape, Traced, constant_like, raw
from .trees import flatten, unflatten

Function = Callable[..., Any]


def vjp(f: Function, *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The value of f and its pull-back: cotangent of the output -> those of the primals.

    Primals and outputs may be nested dicts, lists and tuples of arrays; a cotangent has its
    primal's shape and dtype, and is zero for integers and booleans.

    >>> y, pull = vjp(lambda x: x * x, np.array(3.0))
    >>> float(y), float(pull(np.array(1.0))[0])
    (9.0, 6.0)
    """
    return pullback_of(f, primals)


def pullback_of(
    f: Function, primals: tuple[Any, ...], once: bool = False
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """As `vjp`; with `once` the pull-back serves one time and frees what it passes."""
    leaves, tree = flatten(primals)
    tape = Tape()
    boxed = [_box(tape, x) for x in leaves]
    outs, out_tree = flatten(f(*unflatten(tree, list(boxed))))
    values = [y.value if _on(tape, y) else y for y in outs]
    places = [(y.index if _on(tape, y) else None, np.shape(raw(y))) for y in outs]
    boxes = [b.index if _on(tape, b) else None for b in boxed]
    del boxed, outs

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        given, given_tree = flatten(cotangent)
        if given_tree != out_tree:
            raise AutogradError("the cotangent is not built like the output" + where_from())
        seeds = []
        for (index, shape), g in zip(places, given, strict=True):
            if np.shape(raw(g)) != shape:
                message = f"the cotangent has shape {np.shape(raw(g))}, the output {shape}"
                raise AutogradError(message + where_from())
            if index is not None:
                seeds.append((index, g))
        found = tape.backward(seeds, once)
        grads = [
            _finished(x, None if i is None else found.get(i))
            for x, i in zip(leaves, boxes, strict=True)
        ]
        result: tuple[Any, ...] = unflatten(tree, _own(grads, given))
        return result

    return unflatten(out_tree, values), pullback


def _on(tape: Tape, x: Any) -> bool:
    return isinstance(x, Traced) and x.tape is tape


def _box(tape: Tape, x: Any) -> Any:
    if isinstance(x, Traced):
        return tape.leaf(x)
    return tape.leaf(as_array(x)) if differentiable(x) else x


def _finished(x: Any, g: Any) -> Any:
    """The cotangent g (None: zero) in x's dtype."""
    if g is None:
        return constant_like(x, 0)
    if is_symbolic(raw(g)):
        return g if isinstance(g, Traced) else namespace(g).exactly(g)
    dtype = getattr(raw(x), "dtype", None)
    return g if dtype is None or dtype == g.dtype else astype(g, dtype)


def _own(grads: list[Any], given: list[Any]) -> list[Any]:
    """NumPy gradients that can be written to and share no memory with each other or `given`."""
    seen = {id(_root(g)) for g in given if isinstance(g, np.ndarray)}
    for i, g in enumerate(grads):
        if isinstance(g, np.ndarray):
            if not g.flags.writeable or id(_root(g)) in seen:
                grads[i] = g = g.copy()
            seen.add(id(_root(g)))
    return grads


def _root(x: Any) -> Any:
    while isinstance(getattr(x, "base", None), np.ndarray):
        x = x.base
    return x


def value_and_grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """A function giving f's scalar value and its gradient by the arguments `argnums`.

    >>> value, g = value_and_grad(lambda p: p["w"] * 3.0 + p["b"])({"w": 2.0, "b": 1.0})
    >>> float(value), float(g["w"]), float(g["b"])
    (7.0, 3.0, 1.0)
    """
    several = not isinstance(argnums, int)
    chosen = tuple(argnums) if not isinstance(argnums, int) else (argnums,)

    def both(*args: Any, **kw: Any) -> tuple[Any, Any]:
        if any(not -len(args) <= i < len(args) for i in chosen):
            message = f"argnums {argnums} with {len(args)} arguments given by position"
            raise AutogradError(message + where_from())
        picked = tuple(args[i] for i in chosen)
        for i, x in zip(chosen, picked, strict=True):
            leaves = flatten(x)[0]
            if leaves and not any(isinstance(v, Traced) or differentiable(v) for v in leaves):
                raise AutogradError(
                    f"argument {i} holds no real numbers, so there is no gradient by it: give "
                    "floats such as 3.0, not 3" + where_from()
                )

        def of_chosen(*boxed: Any) -> Any:
            full = list(args)
            for i, x in zip(chosen, boxed, strict=True):
                full[i] = x
            return f(*full, **kw)

        value, pullback = pullback_of(of_chosen, picked, once=True)
        if isinstance(value, dict | list | tuple) or value is None:
            made = type(value).__name__
            raise AutogradError(f"grad needs one scalar, the function gives a {made}{where_from()}")
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
    >>> float(grad(grad(grad(lambda x: x**4)))(2.0))
    48.0
    """
    both = value_and_grad(f, argnums)
    return lambda *args, **kw: both(*args, **kw)[1]


def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """The value of f and its derivative along `tangents`.

    By two pull-backs: u -> vjp(u) is linear, and its own pull-back at v is Jv.

    >>> y, dy = jvp(lambda x: x * x, [np.array(3.0)], [np.array(2.0)])
    >>> float(y), float(dy)
    (9.0, 12.0)
    """
    value, pullback = vjp(f, *primals)
    leaves, tree = flatten(value)
    zero = unflatten(tree, [constant_like(y, 0) for y in leaves])
    _, forward = vjp(pullback, zero)
    return value, forward(tuple(tangents))[0]


def hessian(f: Function) -> Function:
    """The second derivatives of a scalar function by its first argument.

    For an array their array has its shape twice; for nested arrays there is one such for
    each pair, nested twice.

    >>> hessian(lambda x: x[0] * x[1] * x[1])(np.array([3.0, 2.0]))
    array([[0., 4.],
           [4., 6.]])
    """

    def second(x: Any, *rest: Any) -> Any:
        leaves, tree = flatten(x)
        value, pullback = vjp(lambda x: grad(f)(x, *rest), x)
        zeros = [constant_like(v, 0) for v in flatten(value)[0]]
        rows = []
        for i, leaf in enumerate(leaves):
            found = []
            for unit in _units(zeros[i]):
                seed = unflatten(tree, [unit if j == i else z for j, z in enumerate(zeros)])
                found.append(flatten(pullback(seed)[0])[0])
            rows.append(
                unflatten(tree, [_stacked(leaf, part) for part in zip(*found, strict=True)])
            )
        return unflatten(tree, rows)

    return second


def _stacked(leaf: Any, parts: Sequence[Any]) -> Any:
    shape = (*np.shape(raw(leaf)), *np.shape(raw(parts[0])))
    return reshape(stack(parts), shape)


def _units(zero: Any) -> list[Any]:
    """The arrays of zero's shape and kind with a single 1."""
    shape = np.shape(zero)
    eye = np.eye(int(np.prod(shape)), dtype=int)
    ns = namespace(zero)
    if is_symbolic(zero):
        return [ns.exactly(row.reshape(shape)) for row in eye]
    return [ns.asarray(row.reshape(shape), dtype=zero.dtype) for row in eye]
