"""What flows along an ONNX graph: tensors of the network, weights, and shape arithmetic.

An ONNX tensor has a batch axis and channels second; a spec's volume has neither. `order`
lists, for each axis of the volume, the axis of the ONNX tensor that it is: (2, 3, 1) for an
image NxCxHxW held as HxWxC. ONNX axes that are not listed have size 1 (the batch is taken
as 1). Transposing and adding or removing axes of size 1 thus cost nothing.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...formula import Number, compare, product

Sizes = tuple[Number, ...]


class Tensor(NamedTuple):
    """A volume of the network as ONNX sees it."""

    ref: str  # the layer that makes it
    order: tuple[int, ...]
    sizes: Sizes  # ONNX's, the batch as 1

    @property
    def rank(self) -> int:
        return len(self.sizes)


class Const(NamedTuple):
    """A constant: its shape, its values if known, and the weights that it is made of."""

    shape: Sizes
    values: Any = None  # a numpy array, of objects where it holds symbols
    weights: frozenset[str] = frozenset()
    floating: bool = True
    macs: int = 0  # of the products that it was made by

    @property
    def rank(self) -> int:
        return len(self.shape)

    def numbers(self) -> list[Any] | None:
        """The values as plain numbers, in order."""
        if self.values is None:
            return None
        return [v.item() if hasattr(v, "item") else v for v in self.values.reshape(-1)]


Value = Tensor | Const


def one(n: Number) -> bool:
    """Is an axis surely of size 1?"""
    return isinstance(n, int) and n == 1


def is_number(n: Any, value: int) -> bool:
    """Is a size this very number?"""
    return isinstance(n, int) and n == value


def same(a: Number, b: Number) -> bool:
    return a == b or compare(a, b) == 0


def alike(a: Sequence[Number], b: Sequence[Number]) -> bool:
    return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))


def natural(sizes: Sizes, image: bool = True) -> tuple[int, ...]:
    """How a tensor is held when nothing else is known: the batch dropped, channels last.

    >>> natural((1, 3, 224, 224)), natural((1, 197, 768)), natural((1, 1000))
    ((2, 3, 1), (1, 2), (1,))
    """
    rank = len(sizes)
    if rank == 1:
        return (0,)
    first = () if one(sizes[0]) else (0,)
    if rank == 4 and image and not first:
        return (2, 3, 1)
    return (*first, *range(1, rank))


Group = tuple[tuple[int, ...], tuple[int, ...]]  # old axes, new axes that hold the same values


def groups(old: Sizes, new: Sizes) -> list[Group] | None:
    """The smallest runs of axes, sizes 1 left out, that a reshape merges or splits.

    >>> groups((1, 768, 14, 14), (1, 768, 196))
    [((1,), (1,)), ((2, 3), (2,))]
    """
    a = [i for i, n in enumerate(old) if not one(n)]
    b = [i for i, n in enumerate(new) if not one(n)]
    found: list[Group] = []
    while a or b:
        if not (a and b):
            return None
        left, right = [a.pop(0)], [b.pop(0)]
        while True:
            p, q = product([old[i] for i in left]), product([new[i] for i in right])
            if same(p, q):
                break
            smaller = compare(p, q)
            if smaller == -1 and a:
                left.append(a.pop(0))
            elif smaller == 1 and b:
                right.append(b.pop(0))
            elif smaller is None and a and b:  # symbols: take everything that is left
                left, right = left + a, right + b
                a, b = [], []
                rest = product([old[i] for i in left]), product([new[i] for i in right])
                if not same(*rest):
                    return None
                break
            else:
                return None
        found.append((tuple(left), tuple(right)))
    return found
