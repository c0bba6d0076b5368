"""Nested dicts, lists and tuples of arrays as flat lists, and back."""

from typing import Any

Tree = Any


def flatten(tree: Any) -> tuple[list[Any], Tree]:
    """Leaves in order (dicts by key), and the structure without them.

    >>> flatten({"b": [1, 2], "a": 3})
    ([3, 1, 2], ('dict', ('a', 'b'), (None, ('list', (), (None, None)))))
    """
    if isinstance(tree, dict):
        keys = tuple(sorted(tree))
        return _parts("dict", keys, [tree[k] for k in keys])
    if isinstance(tree, list | tuple):
        return _parts("list" if isinstance(tree, list) else "tuple", (), list(tree))
    return [tree], None


def _parts(kind: str, keys: tuple[Any, ...], values: list[Any]) -> tuple[list[Any], Tree]:
    leaves: list[Any] = []
    trees = []
    for value in values:
        found, tree = flatten(value)
        leaves += found
        trees.append(tree)
    return leaves, (kind, keys, tuple(trees))


def unflatten(tree: Tree, leaves: list[Any]) -> Any:
    """The nested value again.

    >>> unflatten(*reversed(flatten({"a": [1, (2,)]})))
    {'a': [1, (2,)]}
    """
    rest = iter(leaves)
    return _build(tree, rest)


def _build(tree: Tree, rest: Any) -> Any:
    if tree is None:
        return next(rest)
    kind, keys, trees = tree
    values = [_build(t, rest) for t in trees]
    if kind == "dict":
        return dict(zip(keys, values, strict=True))
    return values if kind == "list" else tuple(values)
