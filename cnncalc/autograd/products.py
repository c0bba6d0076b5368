"""Matrix products and Einstein sums."""

from typing import Any

import numpy as np

from .arrays import Array, as_array, namespace
from .errors import AutogradError, where_from
from .shapes import broadcast_to, reshape, shape_of, transpose, unbroadcast
from .tape import primitive


@primitive
def matmul(x: Array, y: Array) -> Array:
    return as_array(namespace(x, y).matmul(x, y))


def _swap(x: Any) -> Any:
    axes = list(range(len(shape_of(x))))
    axes[-1], axes[-2] = axes[-2], axes[-1]
    return transpose(x, tuple(axes))


def _matmul_pull(left: bool) -> Any:
    def maker(ans: Any, x: Any, y: Any) -> Any:
        xs, ys = shape_of(x), shape_of(y)

        def pull(g: Any) -> Any:
            gg = reshape(g, _as_matrix(shape_of(g), len(xs) == 1, len(ys) == 1))
            if left:
                other = reshape(y, (*ys, 1)) if len(ys) == 1 else y
                found = matmul(gg, _swap(other))
                target = (1, *xs) if len(xs) == 1 else xs
            else:
                other = reshape(x, (1, *xs)) if len(xs) == 1 else x
                found = matmul(_swap(other), gg)
                target = (*ys, 1) if len(ys) == 1 else ys
            return reshape(unbroadcast(found, target), xs if left else ys)

        return pull

    return maker


def _as_matrix(shape: tuple[int, ...], row: bool, column: bool) -> tuple[int, ...]:
    """The shape with the axes that vectors lost in the product."""
    if row and column:
        return (1, 1)
    if row:
        return (*shape[:-1], 1, shape[-1])
    return (*shape, 1) if column else shape


matmul.defvjp(_matmul_pull(True), _matmul_pull(False))


@primitive
def _einsum(*xs: Array, spec: str) -> Array:
    ns = namespace(*xs)
    return as_array(ns.einsum(spec, *xs) if ns is not np else np.einsum(spec, *xs, optimize=True))


_einsum.name = "einsum"


def einsum(spec: str, *xs: Any) -> Any:
    """Einstein summation with an explicit answer, such as `einsum("ij,jk->ik", a, b)`."""
    spec = spec.replace(" ", "")
    if "->" not in spec or "." in spec:
        raise AutogradError(f"einsum needs the form 'ij,jk->ik', not '{spec}'" + where_from())
    return _einsum(*xs, spec=spec)


def _einsum_joint(mine: tuple[int, ...], ans: Any, *xs: Any, spec: str) -> Any:
    """The cotangent of one factor: the same sum with the answer's cotangent in its place.

    Letters that stand only in that factor were summed alone: they are repeated back.
    """
    left, _, out = spec.partition("->")
    terms = left.split(",")
    shapes = [shape_of(x) for x in xs]

    def one(i: int, g: Any) -> Any:
        others = [j for j in range(len(xs)) if j != i]
        known = set(out).union(*(terms[j] for j in others))
        kept = "".join(c for c in terms[i] if c in known)
        inner = ",".join([out, *(terms[j] for j in others)])
        found = _einsum(g, *(xs[j] for j in others), spec=f"{inner}->{kept}")
        widths = tuple(n if c in known else 1 for c, n in zip(terms[i], shapes[i], strict=True))
        return broadcast_to(reshape(found, widths), shapes[i])

    return lambda g: [one(i, g) for i in mine]


_einsum.defvjp_joint(_einsum_joint)
