"""Caffe's layers, whichever of its three syntaxes they are written in, and the blobs they make."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...formula import Number
from ...layers.base import Shape
from ...source import shorten
from ..draft import Draft, refuse
from .prototxt import Message

OLD = {
    "ABSVAL": "AbsVal", "BNLL": "BNLL", "IM2COL": "Im2col", "LRN": "LRN", "MVN": "MVN",
    "PRELU": "PReLU", "RELU": "ReLU", "TANH": "TanH", "DUMMY_DATA": "DummyData",
    "HDF5_DATA": "HDF5Data", "INNER_PRODUCT": "InnerProduct", "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "IMAGE_DATA": "ImageData", "MEMORY_DATA": "MemoryData", "WINDOW_DATA": "WindowData",
    "BN": "BN", "ELU": "ELU",
}  # fmt: skip
OLDEST = {
    "conv": "Convolution", "pool": "Pooling", "innerproduct": "InnerProduct", "relu": "ReLU",
    "lrn": "LRN", "dropout": "Dropout", "softmax": "Softmax", "softmax_loss": "SoftmaxWithLoss",
    "concat": "Concat", "data": "Data", "flatten": "Flatten", "sigmoid": "Sigmoid",
    "tanh": "TanH", "accuracy": "Accuracy", "split": "Split", "padding": "Padding",
}  # fmt: skip


class Entry(NamedTuple):
    """One layer of the file."""

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: Message

    def param(self, name: str) -> Message:
        """Its `NAME_param`; of the oldest syntax the layer itself."""
        found = self.message.get(name + "_param")
        return found if isinstance(found, Message) else self.message.message("layer")


def entries(root: Message) -> list[Entry]:
    """All layers that stand at test time."""
    found = []
    for message in root.all("layer", "layers"):
        if not isinstance(message, Message):
            raise refuse(f"line {root.line}: a layer must be a message in braces")
        if not _at_test(message):
            continue
        inner = message.get("layer")
        own = inner if isinstance(inner, Message) else message
        kind = own.word("type")
        if isinstance(inner, Message):
            kind = OLDEST.get(kind, kind)
        elif kind.isupper():
            kind = OLD.get(kind) or "".join(p.capitalize() for p in kind.split("_"))
        bottoms = tuple(map(str, message.all("bottom")))
        tops = tuple(map(str, message.all("top")))
        name = own.word("name") or (tops[0] if tops else kind.lower())
        found.append(Entry(name, kind, bottoms, tops, message))
    return found


def _at_test(message: Message) -> bool:
    """Caffe's include and exclude rules, for the phase TEST without stages."""
    include = [m for m in message.all("include") if isinstance(m, Message)]
    exclude = [m for m in message.all("exclude") if isinstance(m, Message)]
    if any(_meets(m) for m in exclude):
        return False
    return not include or any(_meets(m) for m in include)


def _meets(rule: Message) -> bool:
    return rule.word("phase", "TEST") == "TEST" and not rule.all("stage")


class Net:
    """The blobs met so far: the layer that makes each, and who has read it."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.blobs: dict[str, str] = {}
        self.declared: dict[str, tuple[Any, ...]] = {}
        self.used: set[str] = set()
        self.made: dict[str, None] = {}
        self.sharing: dict[tuple[str, tuple[str, ...]], str] = {}

    def declare(self, name: str, dims: Sequence[Any]) -> None:
        """An input of the file; it becomes one of the network once a layer reads it."""
        if not all(isinstance(d, int) and 0 < d <= 10**9 for d in dims):
            raise refuse(f"the input '{shorten(name)}' has impossible sizes")
        self.declared[name] = tuple(dims)
        self.blobs.pop(name, None)

    def ref(self, blob: str) -> str:
        """The layer that made a blob; raises `Problem` where nothing has."""
        if blob in self.blobs:
            self.used.add(blob)
            return self.blobs[blob]
        if blob not in self.declared:
            raise refuse(f"blob '{shorten(blob)}' is read, but no layer above makes it")
        dims = self.declared[blob]
        if len(dims) < 2 and not dims:
            help_ = "name its size: input_shape { dim: 1 dim: 3 dim: 224 dim: 224 }"
            raise refuse(f"the input '{shorten(blob)}' states no size", help_)
        _, *rest = dims if len(dims) > 1 else (1, *dims)
        shape: tuple[Number, ...] = (*rest[1:], rest[0])
        if len(shape) > 4:
            raise refuse(f"the input '{shorten(blob)}' has too many axes")
        self.blobs[blob] = self.draft.input(blob, shape)
        self.used.add(blob)
        return self.blobs[blob]

    def shape(self, blob: str) -> Shape:
        return self.draft.shapes[self.ref(blob)]

    def add(
        self, entry: Entry, op: str, fields: dict[str, Any], refs: Sequence[str], note: str = ""
    ) -> str:
        """The layer of an entry; its first top is what it makes."""
        names = tuple(str(m.get("name", "")) for m in entry.message.all("param")
                      if isinstance(m, Message))  # fmt: skip
        names = names or tuple(str(p) for p in entry.message.all("param") if isinstance(p, str))
        share = None
        if names and all(names):
            share = self.sharing.get((op, names))
        name = self.draft.add(op, fields, refs, entry.name, note, share)
        if names and all(names):
            self.sharing.setdefault((op, names), name)
        self.top(entry, name)
        return name

    def top(self, entry: Entry, ref: str, i: int = 0) -> None:
        """Says that a layer makes the top `i` of an entry."""
        if i < len(entry.tops):
            blob = entry.tops[i]
            self.blobs[blob] = ref
            self.made.pop(blob, None)
            self.made[blob] = None
            self.used.discard(blob)

    def ends(self) -> list[str]:
        """The layers that make blobs which nothing reads: the network's outputs."""
        ends = [self.blobs[b] for b in self.made if b not in self.used and b in self.blobs]
        found = [ref for ref in dict.fromkeys(ends) if ref in self.draft.items]
        return found or list(self.draft.items)[-1:]


def opaque(net: Net, entry: Entry) -> None:
    """A type that is not covered: its size is taken to be that of what it reads first."""
    refs = [net.ref(b) for b in entry.bottoms if b in net.blobs or net.declared.get(b)]
    net.used.update(entry.bottoms)
    if not refs:
        raise refuse(f"layer '{entry.name}' of type {entry.kind} has no input and no known size")
    fields = {"op": entry.kind, "output": list(net.draft.shapes[refs[0]])}
    note = f"{entry.kind} is not covered: its size is taken to be its input's"
    net.add(entry, "opaque", fields, refs, note)
    for i in range(1, len(entry.tops)):
        net.top(entry, net.blobs[entry.tops[0]], i)


def place(axis: int, rank: int) -> int:
    """Caffe's axis (batch first, channels second) in a volume: channels last."""
    axis = axis + rank + 1 if axis < 0 else axis
    if axis == 0 or axis > rank:
        raise refuse(f"axis {axis} is the batch's, or not there")
    return -1 if axis == 1 else axis - 2
