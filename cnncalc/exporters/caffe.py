"""Caffe networks: prototxt text as deploy files are written, channels first.

Layers that work value by value stand in place. Only layers of BVLC's Caffe are used; a layer
that it lacks, or whose windows none of its layers can make, is refused by name.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..network import Network
from ..rows import Report, Row
from .errors import ExportError, refused

LONGEST = 120


class Word(NamedTuple):
    """An enumeration's value, written without quotes."""

    text: str


Fields = Sequence[tuple[str, Any]]  # of a message, in order; a list is a nested message
Builder = Callable[["Prototxt", Row, list[str]], None]
TABLE: dict[str, Builder] = {}


def to(*ops: str) -> Callable[[Builder], Builder]:
    def put(f: Builder) -> Builder:
        TABLE.update(dict.fromkeys(ops, f))
        return f

    return put


def export(network: Network, report: Report) -> str:
    """Prototxt text. Raises `ExportError`."""
    from . import caffe_layers, caffe_shapes  # noqa: F401  (they state their layers)

    return Prototxt(network, report).build()


def plain(text: str) -> str:
    """A name that needs no escapes in a prototxt string.

    >>> plain('conv1/x'), plain('a"b\\\\c\\nd')
    ('conv1/x', 'a_b_c_d')
    """
    kept = "".join(c if c.isprintable() and c not in "\"'\\" else "_" for c in text[:LONGEST])
    return kept.strip() or "layer"


class Prototxt:
    """A network that grows layer by layer; `blobs` says where each layer's output lies."""

    def __init__(self, network: Network, report: Report) -> None:
        self.network, self.report = network, report
        self.text: list[str] = []
        self.taken: set[str] = set()
        self.labels: dict[str, str] = {}
        self.blobs: dict[str, str] = {}
        self.readers: Counter[str] = Counter()
        self.outputs: set[str] = set()
        self.owners = {row.shared for row in report.layers if row.shared}
        self.same: dict[str, str] = {}  # layers that hand on what they read

    # --- pieces ----------------------------------------------------------------------

    def fresh(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self.taken:
            count += 1
            name = f"{wanted}_{count}"
        self.taken.add(name)
        return name

    def label(self, row: Row, suffix: str = "") -> str:
        """The name of a layer, or of a further one that its row needs."""
        return self.fresh(self.labels[row.name] + suffix) if suffix else self.labels[row.name]

    def layer(
        self, kind: str, name: str, bottoms: Iterable[str], tops: Iterable[str],
        *messages: tuple[str, Fields], names: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Writes one layer; `names` are those of parameters that are shared."""
        fields: list[tuple[str, Any]] = [("name", name), ("type", kind)]
        fields += [("bottom", b) for b in bottoms]
        fields += [("top", t) for t in tops]
        fields += [("param", [("name", n)]) for n in names]
        fields += [(key, list(inner)) for key, inner in messages if inner]
        self.text.append("layer {\n" + "".join(_line(k, v, 1) for k, v in fields) + "}")

    def add(
        self, row: Row, kind: str, bottoms: Sequence[str], *messages: tuple[str, Fields],
        weights: int = 0,
    ) -> None:  # fmt: skip
        """The one layer of a row; `weights` is the number of its parameter arrays."""
        name = self.label(row)
        self.layer(kind, name, bottoms, [name], *messages, names=self.sharing(row, weights))
        self.blobs[row.name] = name

    def inplace(self, row: Row, kind: str, *messages: tuple[str, Fields], weights: int = 0) -> None:
        """A layer that overwrites what it reads where nothing else reads that."""
        source, name = self.source(row.inputs[0]), self.label(row)
        bottom = self.blobs[source]
        mine = self.readers[source] == 1 and source not in self.report.input_shapes
        top = bottom if mine and source not in self.outputs else name
        self.layer(kind, name, [bottom], [top], *messages, names=self.sharing(row, weights))
        self.blobs[row.name] = top

    def sharing(self, row: Row, weights: int, suffix: str = "") -> list[str]:
        owner = row.shared or row.name
        if owner not in self.owners:
            return []
        return [f"{self.labels[owner]}{suffix}/{i}" for i in range(weights)]

    def source(self, name: str) -> str:
        """The layer or input whose values a layer of this name hands on."""
        while name in self.same:
            name = self.same[name]
        if name == "input" and name not in self.labels:
            return next(iter(self.report.input_shapes))
        return name

    # --- the whole -------------------------------------------------------------------

    def build(self) -> str:
        report = self.report
        for row in report.layers:
            if row.op not in TABLE:
                raise refused(row, f"the op {row.op} has no counterpart in Caffe")
            if hands_on(row):
                self.same[row.name] = row.inputs[0]
        for name in (*report.input_shapes, *(row.name for row in report.layers)):
            self.labels[name] = self.fresh(plain(name))
        for row in report.layers:
            if row.name not in self.same:
                self.readers.update(self.source(name) for name in row.inputs)
        self.outputs = {self.source(name) for name in report.outputs}
        for name, shape in report.input_shapes.items():
            self._input(name, shape)
        for row in report.layers:
            if row.name not in self.same:
                TABLE[row.op](self, row, [self.blobs[self.source(n)] for n in row.inputs])
        self._ends()
        return f'name: "{plain(report.name)}"\n' + "\n".join(self.text) + "\n"

    def _input(self, name: str, shape: Sequence[Any]) -> None:
        if not all(isinstance(n, int) for n in shape):
            raise ExportError(
                f"{name}: Caffe needs the input's size as numbers, but it is "
                f"{'x'.join(map(str, shape))}; give --set"
            )
        dims = [("dim", n) for n in (1, shape[-1], *shape[:-1])]
        label = self.labels[name]
        self.layer("Input", label, [], [label], ("input_param", [("shape", dims)]))
        self.blobs[name] = label

    def _ends(self) -> None:
        """Caffe's outputs are the blobs that nothing reads: made so where they are not."""
        for name in dict.fromkeys(self.source(n) for n in self.report.outputs):
            if name in self.report.input_shapes:
                raise ExportError(
                    f"{name}: in Caffe an input cannot be an output as it is; put a layer between"
                )
            if self.readers[name]:
                made = self.fresh(self.labels[name] + "/output")
                self.layer("Split", made, [self.blobs[name]], [made])
        for row in self.report.layers:
            if row.name not in self.same and not self.readers[row.name] \
                    and row.name not in self.outputs:  # fmt: skip
                silent = self.fresh(self.labels[row.name] + "/unused")
                self.layer("Silence", silent, [self.blobs[row.name]], [])


def hands_on(row: Row) -> bool:
    """Whether a layer's output is what it reads, in Caffe's order too."""
    if row.op == "identity":
        return True
    return row.op in ("adaptive_avgpool", "flatten", "reshape") and row.output == row.input[0]


def _line(key: str, value: Any, depth: int) -> str:
    start = "  " * depth + key
    if not isinstance(value, list):
        return f"{start}: {_value(value)}\n"
    if len(value) <= 5 and not any(isinstance(v, list) for _, v in value) \
            and (depth > 1 or key == "param"):  # fmt: skip
        return f"{start} {{ {' '.join(f'{k}: {_value(v)}' for k, v in value)} }}\n"
    inside = "".join(_line(k, v, depth + 1) for k, v in value)
    return f"{start} {{\n{inside}{'  ' * depth}}}\n"


def _value(value: Any) -> str:
    if isinstance(value, Word):
        return value.text
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'  # `plain` has taken quotes and backslashes out
    if isinstance(value, int):
        return str(value)
    number = float(value)
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)
