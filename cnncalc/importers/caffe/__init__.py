"""Caffe networks: prototxt files, old and new, without Caffe."""

import os

from ...dialects import dialect
from ...source import shorten
from ..draft import Draft, refuse
from ..writing import write
from .layers import TABLE
from .prototxt import MAX_BYTES, Message, parse
from .reading import Entry, Net, entries, opaque
from .windows import DATA, data, loss

SKIPPED = frozenset({"Accuracy", "Silence", "HDF5Output", "Python"})


def convert(path: str) -> str:
    """Spec text of a prototxt file; raises `Problem` E021."""
    return write(draft(path))


def draft(path: str) -> Draft:
    """The network of a prototxt file, as it is at test time; raises `Problem` E021."""
    with open(path, "rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise refuse(f"'{shorten(path, 200)}' is larger than {MAX_BYTES:,} bytes")
    try:
        root = parse(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise refuse(f"'{shorten(path, 200)}' is not prototxt: not UTF-8 text") from None
    name = str(root.get("name", "")) or os.path.splitext(os.path.basename(path))[0]
    made = Draft(shorten(name, 80), dialect("caffe"))
    made.notes.append(f"from {os.path.basename(path)}: Caffe")
    net = Net(made)
    _inputs(net, root)
    found = entries(root)
    if not found:
        raise refuse("the file has no layers: is it a solver's?")
    for entry in found:
        _layer(net, entry)
    made.outputs = net.ends()
    if not made.items or not made.outputs:
        raise refuse("the network has no layers that make an output")
    made.prune()
    made.fold()
    return made


def _inputs(net: Net, root: Message) -> None:
    """Inputs written at the top of the file: `input` with `input_dim` or `input_shape`."""
    names = [str(n) for n in root.all("input")]
    shapes = [s.all("dim") for s in root.all("input_shape") if isinstance(s, Message)]
    dims = root.all("input_dim")
    for i, name in enumerate(names):
        shape = shapes[i] if i < len(shapes) else dims[4 * i : 4 * i + 4]
        net.declare(name, shape)


def _layer(net: Net, entry: Entry) -> None:
    source = not entry.bottoms and entry.kind.endswith(("Data", "Python"))  # a fork's, or a script
    if source or entry.kind in ("Input", "DummyData", *DATA):
        data(net, entry)
        return
    if entry.kind in SKIPPED:
        net.used.update(entry.bottoms)
        for top in entry.tops:
            net.blobs.pop(top, None)
        return
    if entry.kind.endswith("Loss"):
        loss(net, entry)
        return
    handler = TABLE.get(entry.kind)
    if handler is None or not entry.bottoms:
        opaque(net, entry)
    else:
        handler(net, entry)
