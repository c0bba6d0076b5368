"""How a spec was written: its blocks, repeats and branches as a tree over the vertices."""

from collections.abc import Mapping
from typing import Any


class Part:
    """How the layers were written: a block, repeat, iteration or branch, and what is in it.

    `children` are vertex indices and inner parts in order; a join stands after its branches.
    """

    __slots__ = ("block", "children", "input", "kind", "name", "output", "values")

    def __init__(
        self, kind: str, name: str, input: str, block: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.kind, self.name, self.block = kind, name, block
        self.values: Mapping[str, Any] = values or {}  # of the block's arguments
        self.input, self.output = input, input
        self.children: list[int | Part] = []
