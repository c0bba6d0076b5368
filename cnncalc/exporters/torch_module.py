"""PyTorch source: one class a block, loops for repeats, shapes beside the forward pass."""

from collections.abc import Sequence
from typing import Any

from ..layers.base import Shape
from ..network import Network
from ..rows import Report
from . import (
    torch_activations,
    torch_pools,
    torch_select,
    torch_sequences,
    torch_shapes,
    torch_tokens,
    torch_units,
)
from .code import Call, Class, Frame, Lines, Text, Use, loop, skeleton
from .helpers import TORCH as SMALL
from .helpers_sequences import TORCH as SEQUENCES
from .helpers_tokens import TORCH as LARGE
from .names import PARAMETERS, Taken, camel, comment, identifier
from .printing import WIDTH, doc, layout
from .structure import Leaf, Region, structure
from .torch_forward import Forward, fits, input_names, joined
from .torch_layers import Piece, piece
from .volumes import ANY, FIRST, canonical, tensor, tokens

HELPERS = SMALL | LARGE | SEQUENCES


def export(network: Network, report: Report, modules: bool = False) -> str:
    """The network as a PyTorch module's source. Raises `ExportError`.

    With `modules` activations and pools are modules too (`nn.ReLU()`), where they are calls of
    functions otherwise: tools that count by hooks on modules see them.
    """
    return _Writer(network, report, modules).source()


# Loading them states their layers.
_STATED = (
    torch_activations,
    torch_pools,
    torch_select,
    torch_sequences,
    torch_shapes,
    torch_tokens,
    torch_units,
)


class _Writer:
    def __init__(self, network: Network, report: Report, modules: bool = False) -> None:
        self.network, self.report, self.modules = network, report, modules
        self.tree = structure(network, report)
        self.shapes: dict[str, Shape] = dict(report.input_shapes)
        first = next(iter(report.input_shapes))
        self.shapes.setdefault("input", report.input_shapes[first])
        self.shapes.update({row.name: row.output for row in report.layers})
        self.tokens = tokens(report)
        self.classes: dict[Any, Class] = {}
        self.class_names = Taken(HELPERS)
        self.helpers: dict[str, None] = {}

    def canonical(self, shape: Shape) -> str:
        """The layout of a volume at the border of a class."""
        return canonical(shape, self.tokens)

    def piece(self, leaf: Leaf, at: str) -> Piece:
        found = piece(leaf.row, at)
        if self.modules and found.mods and "{m}" not in found.expr and found.expr != "{0}":
            found = found._replace(expr="", own=())
        self.helpers.update(dict.fromkeys(found.helpers))
        return found

    # --- modules -------------------------------------------------------------------

    def sequential(self, region: Region) -> bool:
        """Can the region be an `nn.Sequential` of modules?"""
        if not region.chain:
            return False
        at = self.canonical(self.shapes[region.input])
        for item in region.items:
            if at == ANY:
                at = self.canonical(self.shapes[item.sources[0]])
            if isinstance(item, Leaf):
                found = self.piece(item, at)
                if not found.mods or not fits(found.layout, at):
                    return False
                if len(item.row.output) != len(item.row.input[0]):
                    at = self.canonical(item.row.output)
            elif not fits(self.canonical(self.shapes[item.input]), at):
                return False
        return fits(self.canonical(self.shapes[region.output]), at)

    def calls(self, items: Sequence[Leaf | Region]) -> list[Any]:
        """The modules of a chain, one after another."""
        found: list[Any] = []
        for item in items:
            if isinstance(item, Leaf):
                at = self.canonical(item.row.input[0])
                found += self.piece(item, FIRST if at == ANY else at).mods
            else:
                call = self.module(item)
                inner = isinstance(call, Call) and call.fn == "nn.Sequential"
                found += call.children if inner else [call]
        return found

    def module(self, region: Region) -> Any:
        if region.kind == "repeat":
            bodies = [self.module(item) for item in region.items if isinstance(item, Region)]
            together = loop(bodies)
            return Call("nn.Sequential", children=(together,) if together else tuple(bodies))
        if region.kind in ("iteration", "branch") and self.sequential(region):
            return joined(self.calls(region.items))
        return self.use(region)

    def use(self, region: Region) -> Use:
        code, shapes = self.body(region)
        if region.kind == "block":
            name = camel(region.block, "Block")
        else:
            name = camel(region.name.rpartition("/")[0].rpartition("/")[2] or region.path, "Block")
        key = (region.kind, region.block, skeleton(code))
        if key not in self.classes:
            self.classes[key] = Class(self.class_names.new(name), key, region.block)
        known = {identifier(n, "arg"): v for n, v in region.values.items() if type(v) is int}
        width = self.shapes[region.input][-1]
        if isinstance(width, int):
            known = {"in_channels": width, **known}
        return Use(self.classes[key], self.classes[key].use(code, known, shapes))

    # --- one class -------------------------------------------------------------------

    def body(self, region: Region) -> tuple[Lines, list[Shape]]:
        return Forward(self, region).run()

    # --- source ---------------------------------------------------------------------

    def source(self) -> str:
        code, shapes = self.body(self.tree)
        root = Class(self.class_names.new(camel(self.report.name)), None)
        root.use(code, {}, shapes)
        parts = []
        for cls in [*self.classes.values(), root]:
            taken = Taken(self.class_names.names, PARAMETERS)
            cls.settle(lambda text, taken=taken: taken.new(identifier(text, "arg")))  # type: ignore[misc]
            parts.append("\n".join(self.text(cls, cls is root)) + "\n")
        used = [HELPERS[name] for name in HELPERS if name in self.helpers]
        body = "\n\n".join([*used, *parts])
        lines = ["# Written by cnncalc export --to torch."]
        lines += ["import math", "", "import torch"] if "math." in body else ["import torch"]
        if "F." in body:
            lines.append("import torch.nn.functional as F")
        lines += ["from torch import nn", "", "", body.rstrip("\n")]
        lines += ["", "", 'if __name__ == "__main__":', *self.main(root.name)]
        return "\n".join(lines) + "\n"

    def main(self, name: str) -> list[str]:
        inputs = []
        for shape in self.report.input_shapes.values():
            sizes = [n if isinstance(n, int) else 64 for n in self.tensor(shape)]
            inputs.append(f"torch.randn({', '.join(map(str, (2, *sizes)))})")
        if any(row.op == "softmax_cross_entropy" for row in self.report.layers):
            return [f"    print({name}())"]
        return [
            f"    model = {name}().eval()",
            '    print(sum(p.numel() for p in model.parameters()), "parameters")',
            f"    output = model({', '.join(inputs)})",
            "    outputs = output if isinstance(output, tuple) else (output,)",
            "    print(*(tuple(o.shape) for o in outputs))",
        ]

    def tensor(self, shape: Shape) -> tuple[Any, ...]:
        """A volume's sizes in the tensor's order, without the batch."""
        return tensor(shape, self.canonical(shape))

    def text(self, cls: Class, root: bool) -> list[str]:
        assert cls.frame is not None
        attributes, forward = cls.frame.children
        lines = [f"class {cls.name}(nn.Module):"]
        if root:
            lines += [f'    """{self.title()}"""', ""]
        elif cls.note:
            lines += [f'    """Block {comment(cls.note, 40).replace(chr(34), chr(39)).replace(chr(92), "/")}."""', ""]  # noqa: E501  # fmt: skip
        params = "".join(f", {p.name}" for p in cls.params)
        lines += [f"    def __init__(self{params}):", "        super().__init__()"]
        for frame in attributes.children:
            lines += self.statement(frame, cls.texts)
        lines.append("")
        inputs = self.arguments(root)
        lines.append(f"    def forward(self, {inputs}):")
        for index, frame in enumerate(forward.children):
            lines += self.shaped(cls, index, frame.code.text)
        return lines

    def title(self) -> str:
        name = comment(self.report.name, 60).replace('"', "'").replace("\\", "/")
        shapes = [str(("N", *self.tensor(s))).replace("'", "") for s in
                  self.report.input_shapes.values()]  # fmt: skip
        return f"{name}: input {', '.join(shapes)}."

    def arguments(self, root: bool) -> str:
        names = ["x"]
        if root and len(self.report.input_shapes) > 1:
            names = list(input_names(self.report.input_shapes).values())
        loss = any(row.op == "softmax_cross_entropy" for row in self.report.layers)
        return ", ".join([*names, *(["target"] if root and loss else [])])

    def statement(self, frame: Frame, texts: Sequence[Text]) -> list[str]:
        prefix, _, suffix = frame.code.text.partition("{m}")
        return layout(doc(frame.children[0], texts), prefix, 8, suffix)

    def shaped(self, cls: Class, index: int, line: str) -> list[str]:
        """A line of the forward pass, with the shape that it gives."""
        line = " " * 8 + line
        if len(line) > WIDTH:
            line = _wrapped(line)
        if not cls.shapes[0][index]:
            return [line]
        sizes = [s[-1] for s in cls.shapes]
        extra = [
            (name, [s[i] for s in sizes])
            for i, name in enumerate(_axes(len(sizes[0])))
            if len({len(s) for s in sizes}) == 1
        ]
        found = cls.comment(index, extra)
        note = f"  # (N, {', '.join(found)})" if found is not None else ""
        short = len(line.rpartition("\n")[2] + note) <= WIDTH
        return [line + note if short else line]


def _wrapped(line: str) -> str:
    """A concatenation too long for a line, one part a line."""
    head, found, rest = line.partition("torch.cat([")
    inside, closed, tail = rest.rpartition("], ")
    if not (found and closed) or "torch.cat" in inside:
        return line
    parts = "".join(f"{' ' * 16}{part},\n" for part in _split(inside))
    return f"{head}torch.cat(\n{' ' * 12}[\n{parts}{' ' * 12}],\n{' ' * 12}{tail[:-1]},\n        )"


def _split(text: str) -> list[str]:
    """Arguments apart: at the commas outside of brackets."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "([") - (c in ")]")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [part.strip() for part in parts]


def _axes(count: int) -> tuple[str, ...]:
    return {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}.get(count, ())
