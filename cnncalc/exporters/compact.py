"""Flax (linen, compact) and Keras (functional) source: layers called in line, channels last."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..layers.base import Shape
from ..network import Network
from ..rows import Report, Row
from .code import NOTHING, Arg, Call, Class, Frame, Line, Lines, Text, Use, loop, skeleton
from .errors import refused
from .names import PARAMETERS, Taken, camel, comment, identifier
from .printing import WIDTH, doc, layout, loop_texts
from .structure import Leaf, Region, structure


class Applied(NamedTuple):
    """A layer, and the arguments it is called with, over {0}, {1}, ..."""

    call: Call
    arguments: str


Step = Call | Applied | str  # a layer, or an expression over {0}, {1}, ...


class Target(NamedTuple):
    """How one framework writes what the two have in common."""

    name: str
    imports: tuple[str, ...]
    steps: Callable[[Row, str], list[Step]]  # of a layer, with the name it may carry
    helpers: dict[str, str]
    block: Callable[["Writer", Class, bool], list[str]]
    prefix: str = ""  # of parameters inside a block
    trains: bool = False  # calls pass `train` on


class Writer:
    """The source of a network, block by block."""

    def __init__(self, target: Target, network: Network, report: Report) -> None:
        self.target, self.network, self.report = target, network, report
        self.tree = structure(network, report)
        self.shapes: dict[str, Shape] = {row.name: row.output for row in report.layers}
        self.shapes |= report.input_shapes
        self.shapes.setdefault("input", next(iter(report.input_shapes.values())))
        self.classes: dict[Any, Class] = {}
        self.taken = Taken(target.helpers)

    def use(self, region: Region) -> Use:
        lines, shapes = Body(self, region, "x").run()
        key = (region.block, skeleton(lines))
        if key not in self.classes:
            name = camel(region.block, "Block")
            if self.target.name == "keras":
                name = identifier(region.block, "block").lower()
            self.classes[key] = Class(self.taken.new(name), key, region.block)
        known = {identifier(n, "arg"): v for n, v in region.values.items() if type(v) is int}
        return Use(self.classes[key], self.classes[key].use(lines, known, shapes))

    def source(self) -> str:
        lines, shapes = Body(self, self.tree, "x").run()
        name = camel(self.report.name)
        root = Class(self.taken.new("build" if self.target.name == "keras" else name), None)
        root.use(lines, {}, shapes)
        parts = []
        for cls in [*self.classes.values(), root]:
            taken = Taken(self.taken.names, PARAMETERS | {"x", "jnp", "jax", "ops"})
            cls.settle(lambda text, taken=taken: taken.new(identifier(text, "arg")))  # type: ignore[misc]
            parts.append("\n".join(self.target.block(self, cls, cls is root)) + "\n")
        body = "\n\n".join(parts)
        used = [text for helper, text in self.target.helpers.items() if f"{helper}(" in body]
        head = [f"# Written by cnncalc export --to {self.target.name}.", *self.target.imports]
        return "\n".join(head) + "\n\n\n" + "\n\n".join([*used, body])

    def body(self, cls: Class, indent: int) -> list[str]:
        """The lines of a block with their shapes."""
        assert cls.frame is not None
        texts = [
            t if t.value is not NOTHING else Text(self._own(t.text, cls)) for t in cls.texts
        ]  # fmt: skip
        return self._lines(cls, cls.frame, texts, indent, 0)

    def _own(self, text: str, cls: Class) -> str:
        names = {p.name for p in cls.params}
        return " ".join(self.target.prefix + w if w in names else w for w in text.split(" "))

    def _lines(
        self, cls: Class, frame: Frame, texts: Sequence[Text], indent: int, depth: int
    ) -> list[str]:
        found: list[str] = []
        for child in frame.children:
            if isinstance(child.code, Line):
                found += self._line(cls, child, texts, indent)
            elif isinstance(child.code, Lines):
                found += self._lines(cls, child, texts, indent, depth)
            else:
                times, inner = loop_texts(child, texts, depth)
                name = ("i", "j", "i3", "i4")[depth % 4]
                lines = self._lines(cls, child.children[0], inner, indent + 4, depth + 1)
                used = any(re.search(rf"\b{name}\b", line.partition("#")[0]) for line in lines)
                found.append(f"{' ' * indent}for {name if used else '_'} in range({times}):")
                found += [line.partition("  #")[0] for line in lines]
        return found

    def _line(self, cls: Class, frame: Frame, texts: Sequence[Text], indent: int) -> list[str]:
        text = frame.code.text
        shape = frame.code.note
        if frame.children:
            prefix, _, suffix = text.partition("{m}")
            lines = layout(doc(frame.children[0], texts), prefix, indent, suffix)
        else:
            lines = [" " * indent + text]
        single = len(cls.codes) == 1
        if single and shape and len(lines[-1]) + len(shape) + 4 <= WIDTH:
            lines[-1] += f"  # {shape}"
        return lines


class Body:
    """The lines of one block, loop or network."""

    def __init__(self, writer: Writer, region: Region, entry: str) -> None:
        self.writer, self.region, self.entry = writer, region, entry
        self.root = region.kind == "network"
        self.lines: list[Any] = []
        self.items: list[tuple[Leaf | Region, str]] = []
        self.names: dict[str, str] = {}
        self.locals = Taken(writer.target.helpers)

    def run(self, close: bool = True) -> tuple[Lines, list[Any]]:
        self.inline(self.region.items, "")
        report = self.writer.report
        self.outputs = [self.region.output]
        if self.root:
            self.outputs = list(self.writer.network.graph().outputs)
            for name in report.input_shapes:
                wanted = identifier(name, "input") if len(report.input_shapes) > 1 else "x"
                self.names[name] = wanted if wanted == "x" else self.locals.new(wanted)
            self.names["input"] = self.names[next(iter(report.input_shapes))]
        else:
            self.names[self.region.input] = self.entry
        self.readers: dict[str, int] = {}
        for i, (item, _) in enumerate(self.items):
            self.readers.update(dict.fromkeys(item.sources, i))
        self.readers.update(dict.fromkeys(self.outputs, len(self.items)))
        for index, (item, path) in enumerate(self.items):
            if isinstance(item, Leaf):
                self.leaf(index, item, path)
            else:
                self.sub(index, item)
        result = ", ".join(self.names[name] for name in self.outputs)
        if not close and result != self.entry:
            self.add(f"{self.entry} = {result}")
        elif close:
            self.add(f"return {result}" if not self.root else f"outputs = {result}")
        return Lines(tuple(self.lines)), []

    def inline(self, items: Sequence[Leaf | Region], prefix: str) -> None:
        for item in items:
            if isinstance(item, Region) and item.kind == "branch":
                self.inline(item.items, f"{prefix}{item.path}/")
            else:
                self.items.append((item, prefix + item.path))

    def add(self, text: str, call: Any = None, shape: Shape = ()) -> None:
        line = Line(text, call, "x".join(str(n) for n in shape))
        self.lines.append(line)

    def variable(self, index: int) -> str:
        item, path = self.items[index]
        held = {v for n, v in self.names.items() if self.readers.get(n, -1) > index}
        for source in item.sources:
            name = self.names[source]
            if name not in held:
                return name
        free = next((v for v in (self.entry, "x", "y", "z") if v not in held), None)
        return free or self.locals.new(identifier(path, "branch"))

    def leaf(self, index: int, leaf: Leaf, path: str) -> None:
        row = leaf.row
        if row.shared:
            raise refused(row, "shared weights are not exported to this target")
        sources = [self.names[name] for name in leaf.sources]
        named = identifier(path, row.op) if self.root else ""
        steps = self.writer.target.steps(row, named)
        if not steps:
            self.names[row.name] = sources[0]
            return
        out = self.variable(index)
        for i, step in enumerate(steps):
            shape = row.output if i == len(steps) - 1 else ()
            if isinstance(step, str):
                self.add(f"{out} = {_filled(step, sources)}", None, shape)
            elif isinstance(step, Applied):
                inside = _filled(step.arguments, sources)
                self.add(f"{out} = {{m}}({inside})", step.call, shape)
            else:
                inside = sources[0] if len(sources) == 1 else f"[{', '.join(sources)}]"
                self.add(f"{out} = {{m}}({inside})", step, shape)
            sources = [out]
        self.names[row.name] = out

    def sub(self, index: int, region: Region) -> None:
        source, out = self.names[region.input], self.variable(index)
        if region.kind == "repeat":
            self.repeat(region, source, out)
        else:
            use = self.writer.use(region)
            shape = self.writer.shapes[region.output]
            if self.writer.target.name == "keras":
                self.add(f"{out} = {{m}}", use._replace(args=(Arg("x", source, False),)), shape)
            else:
                self.add(f"{out} = {{m}}({source}, train)", use, shape)
        self.names[region.output] = out

    def repeat(self, region: Region, source: str, out: str) -> None:
        if out != source:
            self.add(f"{out} = {source}")
        bodies = []
        for item in region.items:
            assert isinstance(item, Region)
            body = Body(self.writer, item, out)
            body.locals = self.locals
            bodies.append(body.run(close=False)[0])
        together = loop(bodies) if len(bodies) > 1 else None
        self.lines += [together] if together else [line for b in bodies for line in b.lines]


def _filled(text: str, sources: Sequence[str]) -> str:
    for k, source in enumerate(sources):
        text = text.replace(f"{{{k}}}", source)
    return text


def title(report: Report) -> str:
    """A docstring's text: the name, and the inputs."""
    name = comment(report.name, 60).replace('"', "'").replace("\\", "/")
    shapes = ["x".join(str(n) for n in ("N", *s)) for s in report.input_shapes.values()]
    return f"{name}: input {', '.join(shapes)}."
