"""How volumes lie in other frameworks' tensors, and the numbers that their layers need.

A volume is channels last and without its batch. Its tensor has the batch first, and is channels
FIRST or LAST; a flat vector lies the same in both (ANY).
"""

from collections.abc import Sequence
from typing import Any

from ..layers.base import Shape
from ..layers.reshape import position
from ..rows import Report, Row
from .errors import refused

FIRST, LAST, ANY = "first", "last", "any"
TOKENS = frozenset((
    "linear", "layernorm", "attention", "matmul", "embedding", "lstm", "gru", "class_token",
    "positional", "window_partition", "window_reverse",
))  # fmt: skip


def tokens(report: Report) -> str:
    """The layout of volumes TxC: that of tokens, or of maps with one spatial axis."""
    sequences = any(row.op in TOKENS and len(row.input[0]) == 2 for row in report.layers)
    return LAST if sequences else FIRST


def canonical(shape: Shape, of_tokens: str) -> str:
    """The layout of a volume between classes, at inputs and at outputs."""
    return ANY if len(shape) == 1 else of_tokens if len(shape) == 2 else FIRST


def tensor(shape: Shape, layout: str) -> tuple[Any, ...]:
    """A volume's sizes in the tensor's order, without the batch."""
    return (shape[-1], *shape[:-1]) if layout == FIRST and len(shape) > 1 else tuple(shape)


def tensor_axis(axis: Any, ndim: int, layout: str) -> int:
    """Where axis `axis` of a volume of `ndim` axes lies in the tensor."""
    place = position(axis, ndim)
    assert place is not None
    if ndim == 1 or layout == LAST:
        return place + 1
    return 1 if place == ndim - 1 else place + 2


def whole(row: Row, value: Any, what: str) -> int:
    """A size that must be a number."""
    if not isinstance(value, int):
        raise refused(row, f"the export needs {what} as a number, but it is {value}; give --set")
    return value


def channels(row: Row) -> int:
    return whole(row, row.input[0][-1], "the input's channels")


def rank(row: Row) -> int:
    """The number of spatial axes."""
    return len(row.input[0]) - 1


def real(value: Any) -> float | int:
    number = float(value)
    return int(number) if number == int(number) and abs(number) < 1e15 else number


def squeeze(values: Sequence[Any]) -> Any:
    """One number where every axis has the same, as people write it."""
    return values[0] if all(v == values[0] for v in values) else tuple(values)
