"""A network while it is being imported: named layers in order, their sizes derived as they come."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..diagnostics import Problem
from ..dialects import Dialect
from ..formula import Symbol
from ..layers import REGISTRY
from ..layers.base import Layer, Shape
from ..source import shorten
from .attention import attend
from .directions import join
from .moves import pick, rearrange, soak, tidy

MAX_ITEMS = 20_000
MAX_NAME = 100
LOWEST = -1e30  # a border below it is never the largest value of a window


class Item(NamedTuple):
    """One layer of a draft. `inputs` are names of earlier items or of the draft's inputs."""

    name: str
    op: str
    fields: Mapping[str, Any]
    inputs: tuple[str, ...]
    source: bool = True  # the name is the source's own, not made up
    note: str = ""  # what is approximated
    share: str | None = None
    dialect: str = ""  # where it is not the draft's


def refuse(message: str, *help_: str) -> Problem:
    """The problem of a file that cannot be imported."""
    plain = "".join(c if c.isprintable() else "?" for c in message)
    return Problem("E021", plain, None, help_)


class Draft:
    """Layers with sizes, ready to be written as spec text."""

    def __init__(self, name: str, dialect: Dialect) -> None:
        self.name, self.dialect = name, dialect
        self.inputs: dict[str, Shape] = {}
        self.symbols: dict[str, Symbol] = {}
        self.items: dict[str, Item] = {}
        self.shapes: dict[str, Shape] = {}
        self.layers: dict[str, Layer] = {}
        self.outputs: list[str] = []
        self.notes: list[str] = []
        self.arrays: dict[str, Any] = {}  # of layers that stand for a constant, its values
        self.lowest: set[str] = set()  # layers `pad` whose border is lower than any value
        self._numbers: dict[str, int] = {}

    def input(self, name: str, shape: Shape) -> str:
        name = self.unique(name or "input")
        self.inputs[name] = self.shapes[name] = shape
        return name

    def unique(self, wanted: str) -> str:
        """A name that no layer has yet, near the wanted one."""
        wanted = (
            "".join(c if c.isprintable() else "?" for c in wanted).strip()[:MAX_NAME] or "layer"
        )
        if wanted == "input" and self.inputs:
            wanted = "input_"
        if wanted not in self.shapes:
            return wanted
        while True:
            self._numbers[wanted] = number = self._numbers.get(wanted, 0) + 1
            if f"{wanted}_{number}" not in self.shapes:
                return f"{wanted}_{number}"

    def add(
        self,
        op: str,
        fields: Mapping[str, Any],
        inputs: Iterable[str],
        name: str = "",
        note: str = "",
        share: str | None = None,
        dialect: str = "",
    ) -> str:
        """Appends a layer; its name. Raises `Problem` where the values make no layer."""
        if len(self.items) >= MAX_ITEMS:
            raise refuse(f"the model has more than {MAX_ITEMS:,} layers")
        inputs = tuple(inputs)
        own = self.unique(name or op)
        try:
            layer = REGISTRY[op](**fields)
            shape = layer.output([self.shapes[i] for i in inputs], self.dialect)
        except (TypeError, ValueError, ZeroDivisionError) as error:
            what = shorten(str(error), 160)
            raise refuse(f"layer '{shorten(own)}' makes no sense: {what}") from None
        shape = tuple(max(1, n) if isinstance(n, int) else n for n in shape)
        self.items[own] = Item(own, op, dict(fields), inputs, bool(name), note, share, dialect)
        self.layers[own], self.shapes[own] = layer, shape
        return own

    def note(self, ref: str, text: str) -> None:
        """Says of a layer that something is approximated."""
        item = self.items.get(ref)
        if item is None:
            self.notes.append(text)
        elif text not in item.note:
            self.items[ref] = item._replace(note=f"{item.note}; {text}" if item.note else text)

    def readers(self) -> dict[str, list[str]]:
        """Who reads each layer or input, in order."""
        found: dict[str, list[str]] = {name: [] for name in self.shapes}
        for item in self.items.values():
            for ref in item.inputs:
                found[ref].append(item.name)
        return found

    def prune(self) -> None:
        """Drops what no output depends on."""
        used = set(self.outputs)
        for item in reversed(self.items.values()):
            if item.name in used:
                used.update(item.inputs)
                used.update(filter(None, (item.share,)))
        self.items = {name: item for name, item in self.items.items() if name in used}

    def fold(self) -> None:
        """Small tidying: a kept 1x1 map that is flattened at once is a plain global pool.

        What joins the directions of a recurrence is part of it.
        """
        join(self)
        soak(self)
        rearrange(self)
        attend(self)
        pick(self)
        tidy(self)
        readers = self.readers()
        for item in list(self.items.values()):
            if item.op != "flatten" or item.name not in self.items:
                continue
            (ref,) = item.inputs
            source = self.items.get(ref)
            if source is None or readers[ref] != [item.name] or ref in self.outputs:
                continue
            if source.op in ("global_avgpool", "global_maxpool") and not source.note:
                fields = {k: v for k, v in source.fields.items() if k != "keepdims"}
                self.items[ref] = source._replace(fields=fields)
                self.shapes[ref] = self.shapes[item.name]
                self.replace(item.name, ref)
                readers = self.readers()
        if not self.items:  # nothing but views of the input
            self.outputs = [self.add("identity", {}, self.outputs[:1])]

    def fuse(
        self,
        end: str,
        covered: Iterable[str],
        op: str,
        fields: Mapping[str, Any],
        inputs: Iterable[str],
        named: Item,
        note: str = "",
    ) -> str:
        """One layer in place of those covered, where `end` is; it is called as `named`."""
        gone = set(covered)
        inputs = tuple(inputs)
        name = named.name
        layer = REGISTRY[op](**fields)
        shape = layer.output([self.shapes[i] for i in inputs], self.dialect)
        kept: dict[str, Item] = {}
        for item in self.items.values():
            if item.name == end:
                kept[name] = Item(name, op, dict(fields), inputs, named.source, note)
            elif item.name not in gone:
                if end in item.inputs:
                    item = item._replace(inputs=tuple(name if i == end else i for i in item.inputs))
                kept[item.name] = item
        self.items = kept
        for ref in gone - {name}:
            del self.shapes[ref]
        self.layers[name], self.shapes[name] = layer, shape
        self.outputs = [name if o == end else o for o in self.outputs]
        return name

    def behind(
        self, ref: str, op: str, fields: Mapping[str, Any], readers: Iterable[str] | None = None
    ) -> str:
        """A layer put just behind another one, between it and those that read it, or some."""
        name = self.unique(op)
        layer = REGISTRY[op](**fields)
        kept: dict[str, Item] = {}
        for item in self.items.values():
            if ref in item.inputs and (readers is None or item.name in readers):
                item = item._replace(inputs=tuple(name if i == ref else i for i in item.inputs))
            kept[item.name] = item
            if item.name == ref:
                kept[name] = Item(name, op, dict(fields), (ref,), False)
        self.items = kept
        self.layers[name] = layer
        self.shapes[name] = layer.output([self.shapes[ref]], self.dialect)
        if readers is None:
            self.outputs = [name if o == ref else o for o in self.outputs]
        return name

    def replace(self, old: str, new: str) -> None:
        """Drops a layer; who read it reads another one."""
        del self.items[old]
        del self.shapes[old]
        for item in list(self.items.values()):
            if old in item.inputs:
                inputs = tuple(new if i == old else i for i in item.inputs)
                self.items[item.name] = item._replace(inputs=inputs)
        self.outputs = [new if o == old else o for o in self.outputs]


def plain(values: Sequence[Any]) -> Any:
    """One value for equal ones: [3, 3] is 3.

    >>> plain([3, 3]), plain([3, 5])
    (3, [3, 5])
    """
    values = list(values)
    return values[0] if values and all(v == values[0] for v in values) else values


def padding(before: Sequence[Any], after: Sequence[Any]) -> Any:
    """A `pad` field from the zeros at both ends of every axis.

    >>> padding([1, 1], [1, 1]), padding([0, 1], [0, 1]), padding([0, 0], [1, 1])
    (1, [0, 1], [[0, 1], [0, 1]])
    """
    if list(before) == list(after):
        return plain(before)
    return [[b, a] for b, a in zip(before, after, strict=True)]


def decimal(value: float) -> str:
    """The shortest decimal of a 32-bit float: an attribute 9.999999747e-06 was 0.00001.

    >>> decimal(9.999999747378752e-06), decimal(0.75), decimal(1.0)
    ('0.00001', '0.75', '1')
    """
    import numpy as np

    return str(np.format_float_positional(np.float32(value), trim="-"))
