"""Names of layers from what exporters write: module paths, weight names, operator names."""

import re
from collections.abc import Iterable

from .reading import Node

WEIGHT = re.compile(r"(.+?)[._](weight|kernel|gamma|scale|weights|running_mean)(:0)?")
MADE_UP = re.compile(r"(onnx::|val_|_val_|node_|torch_nn|%).*|[A-Za-z]+_?\d*|\d*")
COUNTED = re.compile(r"(.*?)_(\d+)")


class Names:
    """Finds the name that the source's author gave a layer, where one is left."""

    def __init__(self, nodes: Iterable[Node], weights: Iterable[str]) -> None:
        self.parents: set[str] = set()
        paths = {module(node)[0] for node in nodes}
        paths |= {found[1] for w in weights if (found := WEIGHT.fullmatch(w))}
        for path in paths:
            parts = path.split(".")
            self.parents.update(".".join(parts[:i]) for i in range(1, len(parts)))

    def of(self, node: Node, weights: Iterable[str] = ()) -> str:
        """The layer's name; empty where the source has none but the operator's number."""
        for weight in weights:
            found = WEIGHT.fullmatch(weight)
            if found and not weight.startswith(("onnx::", "/", "val_")):
                return found[1]
        path, tail = module(node)
        if not path:
            return ""
        return f"{path}.{tail}" if path in self.parents and tail else path


def module(node: Node) -> tuple[str, str]:
    """The module that an operator stands in, and the operator's own last name.

    >>> module(Node("Relu", "/layer1/layer1.0/relu/Relu_1", (), (), {}))
    ('layer1.0.relu', 'relu')
    >>> module(Node("Conv", "/features/features.1/conv/conv.0/conv.0.0/Conv", (), (), {}))
    ('features.1.conv.0.0', 'conv')
    """
    tail = node.op.rpartition(".")[2].lower()
    if node.module:
        return node.module, tail
    if "/" in node.name:
        return _joined([p for p in node.name.split("/")[:-1] if p]), tail
    plain = node.name.removeprefix("node_")
    if MADE_UP.fullmatch(plain) and (COUNTED.fullmatch(plain) or plain.isalpha()):
        stem = plain.rpartition("_")[0] or plain
        if stem.lower().replace("_", "") in (tail, "", *_WORDS):
            return "", tail
    return ("", tail) if not node.name or node.name.startswith("node_") else (node.name, "")


_WORDS = frozenset({"node", "op", "n"})


def _joined(parts: list[str]) -> str:
    """Scopes as one path: a child that repeats its parent's name, as features.1, replaces it."""
    path: list[str] = []
    for part in parts:
        if path and part.startswith(path[-1] + "."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)
