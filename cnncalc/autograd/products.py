"""Matrix products and Einstein sums."""

from typing import Any

import numpy as np

from . import gemm
from .arrays import Array, as_array, exact, kind, namespace
from .errors import AutogradError, shapes_text, where_from
from .shapes import broadcast_to, reshape, shape_of, transpose, unbroadcast
from .tape import primitive
from .threads import one_blas_thread


@primitive
def matmul(x: Array, y: Array) -> Array:
    """The matrix product, with NumPy's rules for vectors and stacks of matrices."""
    x, y = exact(x, y)
    if kind(x, y) == "numpy":
        return gemm.product(x, y)
    return as_array(namespace(x, y).matmul(x, y))


def _swap(x: Any) -> Any:
    axes = list(range(len(shape_of(x))))
    axes[-1], axes[-2] = axes[-2], axes[-1]
    return transpose(x, tuple(axes))


def _matmul_by_left(ans: Any, x: Any, y: Any) -> Any:
    xs, ys = shape_of(x), shape_of(y)

    def pull(g: Any) -> Any:
        columns = reshape(y, (*ys, 1)) if len(ys) == 1 else y
        found = matmul(_as_matrix(g, xs, ys), _swap(columns))
        return reshape(unbroadcast(found, (1, *xs) if len(xs) == 1 else xs), xs)

    return pull


def _matmul_by_right(ans: Any, x: Any, y: Any) -> Any:
    xs, ys = shape_of(x), shape_of(y)

    def pull(g: Any) -> Any:
        rows = reshape(x, (1, *xs)) if len(xs) == 1 else x
        found = matmul(_swap(rows), _as_matrix(g, xs, ys))
        return reshape(unbroadcast(found, (*ys, 1) if len(ys) == 1 else ys), ys)

    return pull


def _as_matrix(g: Any, xs: tuple[int, ...], ys: tuple[int, ...]) -> Any:
    """g with the axes that vectors lost in the product."""
    shape = shape_of(g)
    row, column = len(xs) == 1, len(ys) == 1
    if row and column:
        return reshape(g, (1, 1))
    if row:
        return reshape(g, (*shape[:-1], 1, shape[-1]))
    return reshape(g, (*shape, 1)) if column else g


matmul.defvjp(_matmul_by_left, _matmul_by_right)


@primitive
def _einsum(*xs: Array, spec: str) -> Array:
    xs = exact(*xs)
    ns = namespace(*xs)
    if ns is not np:
        return as_array(ns.einsum(spec, *xs))
    with one_blas_thread():
        return as_array(np.einsum(spec, *xs, optimize=True))


_einsum.name = "einsum"


def einsum(spec: str, *xs: Any) -> Any:
    """Einstein summation with an explicit answer.

    >>> einsum("ij,jk->ik", np.ones((2, 3)), np.ones((3, 4))).shape
    (2, 4)
    """
    spec = spec.replace(" ", "")
    terms = spec.partition("->")[0].split(",")
    if "->" not in spec or "." in spec:
        why = f"einsum needs the form 'ij,jk->ik', not '{spec}'"
    elif any(len(set(term)) < len(term) for term in terms):
        why = f"einsum: '{spec}' has a letter twice in one factor, which has no gradient here"
    elif [len(term) for term in terms] != [len(shape_of(x)) for x in xs]:
        why = f"einsum: '{spec}' does not fit the shapes {shapes_text(xs)}"
    else:
        return _einsum(*xs, spec=spec)
    raise AutogradError(why + where_from())


def _einsum_joint(mine: tuple[int, ...], ans: Any, *xs: Any, spec: str) -> Any:
    """The cotangent of one factor: the same sum with the answer's cotangent in its place.

    Letters that stand only in that factor were summed alone: they are repeated back.
    """
    left, _, out = spec.partition("->")
    terms = left.split(",")
    shapes = [shape_of(x) for x in xs]
    if len(mine) == 1:  # a factor is needed by the others alone
        xs = tuple(None if i in mine else x for i, x in enumerate(xs))

    def one(i: int, g: Any) -> Any:
        others = [j for j in range(len(terms)) if j != i]
        known = set(out).union(*(terms[j] for j in others))
        kept = "".join(c for c in terms[i] if c in known)
        inner = ",".join([out, *(terms[j] for j in others)])
        found = _einsum(g, *(xs[j] for j in others), spec=f"{inner}->{kept}")
        widths = tuple(n if c in known else 1 for c, n in zip(terms[i], shapes[i], strict=True))
        return broadcast_to(reshape(found, widths), shapes[i])

    return lambda g: [one(i, g) for i in mine]


_einsum.defvjp_joint(_einsum_joint)
