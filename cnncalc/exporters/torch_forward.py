"""The attributes and the forward pass of one PyTorch class."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ..layers.base import Shape
from ..network import Network
from ..rows import Report
from .code import Call, Line, Lines, Loop
from .names import Taken, identifier, words
from .structure import Leaf, Region
from .torch_layers import Piece
from .volumes import ANY, FIRST, LAST

# Names that an attribute of an nn.Module must not take (dir(nn.Module), torch 2.13).
MODULE = words(
    """T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda
    double dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter
    get_submodule half ipu load_state_dict modules mtia named_buffers named_children
    named_modules named_parameters parameters register_backward_hook register_buffer
    register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state
    set_submodule share_memory state_dict to to_empty train training type xpu zero_grad"""
)


class Value(NamedTuple):
    """What the forward pass knows of a volume: its source, shape and layout."""

    text: str
    shape: Shape
    layout: str
    atomic: bool = True


class Writer(Protocol):
    """What a forward pass asks of the module it belongs to."""

    network: Network
    report: Report
    shapes: dict[str, Shape]

    def canonical(self, shape: Shape) -> str: ...
    def sequential(self, region: Region) -> bool: ...
    def module(self, region: Region) -> Any: ...
    def piece(self, leaf: Leaf, at: str) -> Piece: ...


class Forward:
    """The attributes and the forward pass of one class."""

    def __init__(self, writer: Writer, region: Region) -> None:
        self.writer, self.region = writer, region
        self.root = region.kind == "network"
        self.attributes: list[Line] = []
        self.lines: list[Line] = []
        self.notes: list[Any] = []
        self.fields = Taken(MODULE)
        self.locals = Taken()
        self.items: list[Leaf | Region] = []
        self.paths: list[str] = []
        self.values: dict[str, Value] = {}
        self.modules: dict[str, str] = {}  # layer -> attribute, for shared weights

    def run(self) -> tuple[Lines, list[Any]]:
        self.inline(self.region.items, "")
        report = self.writer.report
        if self.root:
            self.outputs = [o if o in self.writer.shapes else "" for o in
                            self.writer.network.graph().outputs]  # fmt: skip
            names = input_names(report.input_shapes) if len(report.input_shapes) > 1 else {}
            for name, shape in report.input_shapes.items():
                at = self.writer.canonical(shape)
                self.values[name] = Value(names.get(name, "x"), shape, at)
                if names:
                    self.locals.names.add(names[name])
            first = next(iter(report.input_shapes))
            self.values.setdefault("input", self.values[first])
        else:
            self.outputs = [self.region.output]
            shape = self.writer.shapes[self.region.input]
            at = self.writer.canonical(shape)
            self.values[self.region.input] = Value("x", shape, at)
        self.liveness()
        for index in range(len(self.items)):
            self.item(index)
        self.finish()
        inside = self.writer.shapes[self.region.input][:-1]
        code = Lines((Lines(tuple(self.attributes)), Lines(tuple(self.lines))))
        return code, [*self.notes, inside]

    def inline(self, items: Sequence[Leaf | Region], prefix: str) -> None:
        """Branches that are no chain of modules stand among the lines of this class."""
        for item in items:
            branch = isinstance(item, Region) and item.kind == "branch"
            if isinstance(item, Region) and branch and not self.writer.sequential(item):
                self.inline(item.items, f"{prefix}{item.path}/")
            else:
                self.items.append(item)
                self.paths.append(prefix + item.path)

    def liveness(self) -> None:
        """The items that read each value; what is written inside a join reads with the join."""
        readers: dict[str, list[int]] = {}
        for i, item in enumerate(self.items):
            for name in item.sources:
                readers.setdefault(name, []).append(i)
        for name in self.outputs:
            readers.setdefault(name, []).append(len(self.items))
        self.nested = {
            item.value
            for item in self.items
            if isinstance(item, Region) and item.kind == "branch"
            and len(readers.get(item.value, ())) == 1
        }  # fmt: skip
        for item in self.items:
            if item.value in self.nested:
                later = readers[item.value][0]
                readers[item.sources[0]].append(later)
        first = next(iter(self.writer.report.input_shapes))
        if self.root and "input" in readers:
            readers.setdefault(first, []).extend(readers["input"])
            readers["input"] = readers[first]
        self.readers = readers

    def last(self, value: str) -> int:
        return max(self.readers.get(value, [-1]))

    # --- one item -------------------------------------------------------------------

    def item(self, index: int) -> None:
        item = self.items[index]
        if isinstance(item, Region):
            value = self.sub(item, self.paths[index])
        else:
            value = self.leaf(item, self.paths[index])
        if item.value in self.nested or self.wrapped(index):
            self.values[item.value] = value
            return
        self.assign(index, value)

    def wrapped(self, index: int) -> bool:
        """Is the value read by the next item alone, and that is written around it?"""
        item = self.items[index]
        if self.readers.get(item.value) != [index + 1] or index + 1 >= len(self.items):
            return False
        after = self.items[index + 1]
        if not isinstance(after, Leaf) or after.sources != (item.value,):
            return False
        return self.writer.piece(after, FIRST).light

    def assign(self, index: int, value: Value) -> None:
        item = self.items[index]
        name = self.variable(index)
        if value.text != name:
            self.line(f"{name} = {value.text}", value)
        self.values[item.value] = value._replace(text=name, atomic=True)

    def variable(self, index: int) -> str:
        """x for the chain; a name of its own for a value that is read later too."""
        item = self.items[index]
        readers = self.readers.get(item.value, [])
        if readers and min(readers) <= index + 1 < max(readers):
            tail = self.paths[index].rpartition("/")[2]
            op = item.row.op if isinstance(item, Leaf) else item.block or "branch"
            return self.locals.new(identifier(tail, op))
        held = {v.text for n, v in self.values.items() if self.last(n) > index}
        free = next((v for v in ("x", "y", "z") if v not in held), None)
        if free is None or (readers and min(readers) > index + 1):
            reuse = [self.values[s].text for s in item.sources if self.last(s) <= index]
            plain = [t for t in reuse if t.isidentifier() and t not in ("x", "y", "z")]
            if plain:
                return plain[0]
            return self.locals.new(identifier(self.paths[index], "branch"))
        return free

    def line(self, text: str, value: Value | None) -> None:
        self.lines.append(Line(text))
        shape: Any = ()
        if value is not None:
            first = value.layout == FIRST or (value.layout == ANY and len(value.shape) > 2)
            first = first and len(value.shape) > 1
            shape = (value.shape[-1], *value.shape[:-1]) if first else value.shape
        self.notes.append(shape)

    def attribute(self, path: str, call: Any, fallback: str) -> str:
        name = self.fields.new(identifier(path, fallback))
        self.attributes.append(Line(f"self.{name} = {{m}}", call))
        return name

    def sub(self, region: Region, path: str) -> Value:
        call = self.writer.module(region)
        name = self.attribute(path, call, region.block or region.kind)
        shape = self.writer.shapes[region.output]
        source = self.read(region.input, self.writer.canonical(self.writer.shapes[region.input]))
        return Value(f"self.{name}({source.text})", shape, self.writer.canonical(shape))

    def read(self, name: str, wanted: str) -> Value:
        """A value in the wanted layout."""
        value = self.values[name]
        if len(value.shape) == 1 or fits(wanted, value.layout):
            return value
        text = value.text if value.atomic else f"({value.text})"
        move = "movedim(1, -1)" if wanted == LAST else "movedim(-1, 1)"
        return Value(f"{text}.{move}", value.shape, wanted)

    def leaf(self, leaf: Leaf, path: str) -> Value:
        row = leaf.row
        known = [self.values[name] for name in leaf.sources]
        layouts = {v.layout for v in known if len(v.shape) > 1 and v.layout != ANY}
        volumes = [v for v in known if len(v.shape) > 1]
        at = layouts.pop() if len(layouts) == 1 else FIRST
        if len(layouts) and volumes:
            at = self.writer.canonical(volumes[0].shape)
        found = self.writer.piece(leaf, at)
        wanted = at if found.layout == ANY else found.layout
        sources = [self.read(name, wanted) for name in leaf.sources]
        expr = found.expr or "self.{m}({0})"
        if "{m}" in expr:
            expr = expr.replace("{m}", self.own(leaf, path, found))
        text = _fill(expr, sources)
        at = wanted
        if found.out:
            at = found.out
        elif len(row.output) > 1 and len(row.input[0]) == 1:
            at = self.writer.canonical(row.output)
        atomic = found.expr.count("{") == 0 or not (" + " in found.expr or " * " in found.expr)
        return Value(text, row.output, at, (atomic and "(" in text) or text.isidentifier())

    def own(self, leaf: Leaf, path: str, found: Piece) -> str:
        shared = leaf.row.shared
        if shared and shared in self.modules:
            name = self.modules[shared]
        else:
            name = self.attribute(path, joined(found.attribute), leaf.row.op)
        self.modules[leaf.row.name] = name
        return name

    def finish(self) -> None:
        values = []
        for name in self.outputs:
            shape = self.values[name].shape
            values.append(self.read(name, self.writer.canonical(shape)))
        text = ", ".join(v.text for v in values)
        only = values[0] if len(values) == 1 else None
        if only is not None and self.lines and self.lines[-1].text.startswith(f"{text} = "):
            # `x = f(x); return x` is `return f(x)`
            before = self.lines.pop().text.partition(" = ")[2]
            self.lines.append(Line(f"return {before}"))
            return
        self.line(f"return {text}", only)


def _fill(template: str, sources: Sequence[Value]) -> str:
    for i, value in enumerate(sources):
        tight = f"{{{i}}}." in template or f"{{{i}}}[" in template or " * " in template
        text = value.text if value.atomic or not tight else f"({value.text})"
        template = template.replace(f"{{{i}}}", text)
    return template


def input_names(inputs: Mapping[str, Shape]) -> dict[str, str]:
    taken = Taken()
    return {name: taken.new(identifier(name, "input")) for name in inputs}


def fits(wanted: str, at: str) -> bool:
    return ANY in (wanted, at) or wanted == at


def joined(calls: Sequence[Any]) -> Any:
    if len(calls) == 1 and not isinstance(calls[0], Loop):
        return calls[0]
    return Call("nn.Sequential", children=tuple(calls))
