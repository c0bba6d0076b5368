"""The relative position bias of windowed attention, found again in what exporters leave of it.

Swin (Liu 2021) and its kin keep a table of one number a head for every distance between two
positions of a window, (2a - 1)(2b - 1) rows for a window of a x b, and read it by an index of
one entry a pair of positions. Files hold the table, the index, and a chain of moves.
"""

from math import isqrt
from typing import Any

from .core import Converter
from .reading import Node
from .values import Const, Tensor, one, same


def relative_bias(c: Converter, node: Node, x: Tensor, k: Const) -> bool:
    """Adds the table, read by distance, to the scores; False where it is none."""
    if len(k.weights) != 1:
        return False
    (table,) = k.weights
    rows = c.weights.get(table, ())
    wide = [i for i, n in enumerate(k.shape) if not one(n)]
    if table in c.counted or len(rows) != 2 or len(wide) != 3 or wide[-1] != len(k.shape) - 1:
        return False
    heads, queries, keys = (k.shape[i] for i in wide)
    if not same(rows[1], heads) or not same(queries, keys):
        return False
    window = _window(queries, rows[0])
    more = x.rank - len(k.shape)
    places = [i + more for i in wide]
    if window is None or not set(places) <= set(x.order) or not _read_so(c, table, window):
        return False
    _add(c, node, x, k, window, places)
    return True


def _window(tokens: Any, rows: Any) -> tuple[int, int] | None:
    """The sides of a window by its positions and distances, the squarest first."""
    if not isinstance(tokens, int) or not isinstance(rows, int):
        return None
    for a in range(isqrt(tokens), 0, -1):
        b = tokens // a
        if a * b == tokens and (2 * a - 1) * (2 * b - 1) == rows:
            return a, b
    return None


def _read_so(c: Converter, table: str, window: tuple[int, int]) -> bool:
    """Whether the index is Swin's; one whose values are not in the file is taken to be."""
    for node in c.nodes:
        if node.op == "Gather" and table in node.inputs[:1]:
            index = c.values.get(node.inputs[1])
            numbers = index.numbers() if isinstance(index, Const) else None
            return numbers is None or numbers == _index(window)
    return True


def _index(window: tuple[int, int]) -> list[int]:
    """Rows of the table, a pair of positions each: both distances, counted from the least.

    >>> _index((1, 2))
    [1, 0, 2, 1]
    """
    a, b = window
    spots = [(i, j) for i in range(a) for j in range(b)]
    return [(i - p + a - 1) * (2 * b - 1) + j - q + b - 1 for i, j in spots for p, q in spots]


def _add(
    c: Converter, node: Node, x: Tensor, k: Const, window: tuple[int, int], places: list[int]
) -> None:
    """The table by both distances, each read for all pairs of rows or columns, then in order."""
    a, b = window
    (table,) = k.weights
    heads = c.weights[table][1]
    note = f"relative position bias of a {a}x{b} window"
    rows = [(2 * a - 1) * (2 * b - 1), heads]
    ref = c.emit(node, "parameter", {"shape": rows}, [x.ref], [k], note)
    ref = c.draft.add("reshape", {"to": [2 * a - 1, 2 * b - 1, heads]}, [ref])
    for axis, n in enumerate(window):
        far = [i - p + n - 1 for i in range(n) for p in range(n)]
        ref = c.draft.add("gather", {"indices": far, "axis": axis}, [ref])
    ref = c.draft.add("reshape", {"to": [a, a, b, b, heads]}, [ref])
    ref = c.draft.add("permute", {"axes": [4, 0, 2, 1, 3]}, [ref])
    place = {p: i for i, p in enumerate(places)}
    wanted = [place[p] for p in x.order if p in place]
    if wanted != [0, 1, 2]:
        ref = c.draft.add("reshape", {"to": [heads, a * b, a * b]}, [ref])
        ref = c.draft.add("permute", {"axes": wanted}, [ref])
    shape = [x.sizes[p] if p in place else 1 for p in x.order]
    ref = c.draft.add("reshape", {"to": shape}, [ref])
    c.set(node, x._replace(ref=c.draft.add("add", {}, [x.ref, ref])))
