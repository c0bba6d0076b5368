"""Two directions of a recurrence that a file joins by operators of their own.

ONNX gives both states on an axis of size 2. Laid side by side they are the layer itself; added
or averaged over that axis they are its `merge`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..layers import REGISTRY

if TYPE_CHECKING:
    from .draft import Draft, Item

MERGED = {"sum": "sum", "mean": "average"}


def join(draft: Draft) -> None:
    """Folds what joins the directions of every recurrent layer into the layer."""
    readers = draft.readers()
    shared = {item.share for item in draft.items.values()}
    for name in list(draft.items):
        while name in draft.items and name not in shared and _joined(draft, readers, name):
            pass


def _joined(draft: Draft, readers: dict[str, list[str]], name: str) -> bool:
    """Folds one pair of operators into the layer, where there is one."""
    item = draft.items[name]
    if item.op not in ("lstm", "gru") or not item.fields.get("bidirectional"):
        return False
    if "merge" in item.fields or item.share is not None:
        return False
    apart = _only_reader(draft, readers, name)
    if apart is None or apart.op != "reshape" or not _in_two(draft, name, apart.name):
        return False
    joined = _only_reader(draft, readers, apart.name)
    if joined is None or joined.note:
        return False
    wide, units = draft.shapes[name], draft.shapes[apart.name][-1]
    merge = MERGED.get(joined.op)
    if merge is not None:
        if not _over_directions(joined, len(wide), (*wide[:-1], units), draft):
            return False
        fields = {**item.fields, "merge": merge}
        draft.items[name] = item._replace(fields=fields)
        draft.layers[name] = REGISTRY[item.op](**fields)
    elif joined.op not in ("reshape", "flatten") or draft.shapes[joined.name] != wide:
        return False
    draft.shapes[name] = draft.shapes[joined.name]
    readers[name] = readers[joined.name]
    draft.replace(apart.name, name)
    draft.replace(joined.name, name)
    return True


def _only_reader(draft: Draft, readers: dict[str, list[str]], name: str) -> Item | None:
    if len(readers[name]) != 1 or name in draft.outputs or draft.items[name].note:
        return None
    return draft.items.get(readers[name][0])


def _in_two(draft: Draft, whole: str, apart: str) -> bool:
    """Whether the last axis is cut into 2 directions, the others as they are."""
    wide, shape = draft.shapes[whole], draft.shapes[apart]
    return shape[:-1] == (*wide[:-1], 2) and 2 * shape[-1] == wide[-1]


def _over_directions(joined: Item, rank: int, left: tuple[object, ...], draft: Draft) -> bool:
    """Whether the joining layer reduces the axis of the directions, and it alone."""
    return list(joined.fields.get("axes", ())) == [rank - 1] and draft.shapes[joined.name] == left
