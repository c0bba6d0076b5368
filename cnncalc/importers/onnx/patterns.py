"""Functions that exporters take apart, put together again: GELU, SiLU, layer normalisation...

Each pattern looks from its last operator back. What it covers must be read by nothing else.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from .reading import Constant, Model, Node

Found = tuple[Node, list[int]]  # the operator it stands for, the operators it covers


class Graph:
    """The operators by what they write, with readers and constants."""

    def __init__(self, model: Model) -> None:
        self.nodes = list(model.nodes)
        self.maker = {o: i for i, n in enumerate(self.nodes) for o in n.outputs if o}
        self.readers: dict[str, int] = {}
        for name in [i for n in self.nodes for i in n.inputs] + list(model.outputs):
            self.readers[name] = self.readers.get(name, 0) + 1
        self.constants = dict(model.constants)
        for node in self.nodes:
            if node.op == "Constant":
                for value in node.attributes.values():
                    if isinstance(value, Constant):
                        self.constants[node.outputs[0]] = value

    def by(self, name: str, *ops: str) -> tuple[int, Node] | None:
        """The operator that writes a value, if it is one of `ops`."""
        i = self.maker.get(name)
        if i is None or self.nodes[i].op not in ops:
            return None
        return i, self.nodes[i]

    def number(self, name: str) -> float | None:
        """A constant of one value; a cast of one too."""
        for _ in range(4):
            found = self.constants.get(name)
            if found is not None:
                if found.values is None or found.values.size != 1:
                    return None
                return float(found.values.reshape(-1)[0])
            made = self.by(name, "Cast", "CastLike", "Identity", "Reshape")
            if made is None:
                return None
            name = made[1].inputs[0]
        return None

    def is_number(self, name: str, value: float) -> bool:
        found = self.number(name)
        return found is not None and abs(found - value) <= 1e-3 * max(1.0, abs(value))

    def sides(self, node: Node) -> list[tuple[str, str]]:
        """Both orders of an operator's two inputs."""
        if len(node.inputs) != 2:
            return []
        a, b = node.inputs
        return [(a, b), (b, a)]

    def closed(self, covered: Sequence[int], last: int) -> bool:
        """Whether nothing outside reads what is covered, but for its end."""
        inside = set(covered)
        for i in inside - {last}:
            for output in filter(None, self.nodes[i].outputs):
                inner = sum(n.inputs.count(output) for j in inside for n in (self.nodes[j],))
                if inner != self.readers.get(output, 0):
                    return False
        return True


def recognised(model: Model) -> list[Node]:
    """The operators with the patterns in them replaced."""
    graph = Graph(model)
    gone: set[int] = set()
    new: dict[int, Node] = {}
    for i in range(len(graph.nodes) - 1, -1, -1):
        if i in gone:
            continue
        for pattern in PATTERNS:
            found = pattern(graph, i)
            if found is None:
                continue
            node, covered = found
            covered = [*covered, i]
            if gone.isdisjoint(covered) and graph.closed(covered, i):
                gone.update(covered)
                new[i] = node
                break
    return [new.get(i, n) for i, n in enumerate(graph.nodes) if i in new or i not in gone]


def _as(node: Node, op: str, inputs: Sequence[str], **attributes: Any) -> Node:
    return node._replace(op=op, inputs=tuple(inputs), attributes=attributes)


def _gated(g: Graph, i: int) -> Found | None:
    """x·sigmoid(x), x·hardsigmoid(x), x·tanh(softplus(x)), x·min(max(x + 3, 0), 6)/6."""
    node = g.nodes[i]
    if node.op != "Mul":
        return None
    for x, y in g.sides(node):
        made = g.by(y, "Sigmoid", "HardSigmoid", "Tanh")
        if made is None:
            sixth = _hardsigmoid_of(g, y)
            if sixth is not None and sixth[0] == x:
                return _as(node, "HardSwish", [x]), sixth[1]
            continue
        j, gate = made
        if gate.op == "Tanh":
            inner = g.by(gate.inputs[0], "Softplus")
            if inner is not None and inner[1].inputs[0] == x:
                return _as(node, "Mish", [x]), [j, inner[0]]
        elif gate.inputs[0] == x:
            sixth_slope = abs(gate.attributes.get("alpha", 0.2) - 1 / 6) < 1e-4
            if gate.op == "Sigmoid":
                return _as(node, "Silu", [x]), [j]
            if sixth_slope:
                return _as(node, "HardSwish", [x]), [j]
    return None


def _shifted_clip(g: Graph, name: str) -> tuple[str, list[int]] | None:
    """x of min(max(x + 3, 0), 6)."""
    made = g.by(name, "Clip")
    if made is None:
        return None
    j, clip = made
    low = clip.attributes.get("min", g.number(clip.inputs[1]) if len(clip.inputs) > 1 else None)
    high = clip.attributes.get("max", g.number(clip.inputs[2]) if len(clip.inputs) > 2 else None)
    inner = g.by(clip.inputs[0], "Add")
    if low != 0 or high != 6 or inner is None:
        return None
    for x, k in g.sides(inner[1]):
        if g.is_number(k, 3):
            return x, [j, inner[0]]
    return None


def _hardsigmoid_of(g: Graph, name: str) -> tuple[str, list[int]] | None:
    made = g.by(name, "Div", "Mul")
    if made is None:
        return None
    j, node = made
    wanted = 6 if node.op == "Div" else 1 / 6
    if len(node.inputs) == 2 and g.is_number(node.inputs[1], wanted):
        found = _shifted_clip(g, node.inputs[0])
        if found is not None:
            return found[0], [j, *found[1]]
    return None


def _hardsigmoid(g: Graph, i: int) -> Found | None:
    node = g.nodes[i]
    if node.op not in ("Div", "Mul"):
        return None
    found = _hardsigmoid_of(g, node.outputs[0])
    if found is None:
        return None
    return _as(node, "HardSigmoid", [found[0]], alpha=1 / 6), [j for j in found[1] if j != i]


def _hardswish(g: Graph, i: int) -> Found | None:
    """(x·min(max(x + 3, 0), 6))/6."""
    node = g.nodes[i]
    if node.op not in ("Div", "Mul") or len(node.inputs) != 2:
        return None
    if not g.is_number(node.inputs[1], 6 if node.op == "Div" else 1 / 6):
        return None
    made = g.by(node.inputs[0], "Mul")
    if made is None:
        return None
    for x, y in g.sides(made[1]):
        found = _shifted_clip(g, y)
        if found is not None and found[0] == x:
            return _as(node, "HardSwish", [x]), [made[0], *found[1]]
    return None


def _gelu(g: Graph, i: int) -> Found | None:
    """x/2·(1 + erf(x/sqrt(2))), its three factors in any order."""
    factors: list[str] = []
    covered: list[int] = []
    node = g.nodes[i]
    if node.op != "Mul":
        return None
    for name in node.inputs:
        made = g.by(name, "Mul")
        if made is not None and len(factors) + 2 <= 3 and not covered:
            covered.append(made[0])
            factors.extend(made[1].inputs)
        else:
            factors.append(name)
    if len(factors) != 3:
        return None
    half = [f for f in factors if g.is_number(f, 0.5)]
    if len(half) != 1:
        return None
    a, b = (f for f in factors if f != half[0])
    for x, y in ((a, b), (b, a)):
        found = _one_plus_erf(g, y)
        if found is not None and found[0] == x:
            return _as(node, "Gelu", [x]), covered + found[1]
    return None


def _one_plus_erf(g: Graph, name: str) -> tuple[str, list[int]] | None:
    made = g.by(name, "Add")
    if made is None:
        return None
    for e, k in g.sides(made[1]):
        erf = g.by(e, "Erf")
        if not g.is_number(k, 1) or erf is None:
            continue
        scaled = g.by(erf[1].inputs[0], "Div", "Mul")
        if scaled is None:
            continue
        wanted = 2**0.5 if scaled[1].op == "Div" else 0.5**0.5
        for x, s in g.sides(scaled[1]):
            if g.is_number(s, wanted):
                return x, [made[0], erf[0], scaled[0]]
    return None


def _layernorm(g: Graph, i: int) -> Found | None:
    """(x - mean)/sqrt(mean((x - mean)^2) + eps)·gamma + beta over the last axis."""
    node = g.nodes[i]
    if node.op != "Add":
        return None
    for scaled, beta in g.sides(node):
        times = g.by(scaled, "Mul")
        if times is None or beta not in g.constants:
            continue
        for divided, gamma in g.sides(times[1]):
            found = _standardised(g, divided) if gamma in g.constants else None
            if found is not None:
                x, eps, covered = found
                made = _as(node, "LayerNormalization", [x, gamma, beta], epsilon=eps, axis=-1)
                return made, [times[0], *covered]
    return None


def _standardised(g: Graph, name: str) -> tuple[str, float, list[int]] | None:
    div = g.by(name, "Div")
    if div is None:
        return None
    centred, root = div[1].inputs
    sub, sqrt = g.by(centred, "Sub"), g.by(root, "Sqrt")
    if sub is None or sqrt is None:
        return None
    x, m = sub[1].inputs
    mean = g.by(m, "ReduceMean")
    plus = g.by(sqrt[1].inputs[0], "Add")
    if mean is None or plus is None or mean[1].inputs[0] != x:
        return None
    for v, e in g.sides(plus[1]):
        eps = g.number(e)
        var = g.by(v, "ReduceMean")
        square = g.by(var[1].inputs[0], "Pow", "Mul") if var is not None else None
        if eps is None or var is None or square is None:
            continue
        base = g.by(square[1].inputs[0], "Sub", "Cast") or sub
        if base[1].op == "Sub" and base[1].inputs[0] == x and _last_axis(g, mean[1]):
            covered = {div[0], sub[0], sqrt[0], mean[0], plus[0], var[0], square[0], base[0]}
            return x, eps, sorted(covered)
    return None


def _last_axis(g: Graph, node: Node) -> bool:
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1:
        found = g.constants.get(node.inputs[1])
        axes = None if found is None or found.values is None else found.values.reshape(-1).tolist()
    return axes == [-1]


def _normalised(g: Graph, i: int) -> Found | None:
    """x/max(|x|, eps): the norm along one axis, repeated along it or not."""
    node = g.nodes[i]
    if node.op != "Div" or len(node.inputs) != 2:
        return None
    x, below = node.inputs
    covered: list[int] = []
    for ops in (("Expand",), ("Clip", "Max")):
        made = g.by(below, *ops)
        if made is not None:
            covered.append(made[0])
            bounds = (g.by(b, "CastLike") for b in made[1].inputs[1:])
            covered.extend(b[0] for b in bounds if b is not None)
            below = made[1].inputs[0]
    norm = _norm_of(g, below, x)
    if norm is None:
        return None
    reduced, inner = norm
    axes = reduced.attributes.get("axes")
    if axes is None and len(reduced.inputs) > 1:
        number = g.number(reduced.inputs[1])
        axes = None if number is None else [int(number)]
    if axes is None or len(axes) != 1 or not reduced.attributes.get("keepdims", 1):
        return None
    return _as(node, "LpNormalization", [x], axis=axes[0], p=2), [*covered, *inner]


def _norm_of(g: Graph, name: str, x: str) -> tuple[Node, list[int]] | None:
    """The sum over x's squares under a root: ReduceL2, or written out."""
    norm = g.by(name, "ReduceL2")
    if norm is not None:
        return (norm[1], [norm[0]]) if norm[1].inputs[0] == x else None
    root = g.by(name, "Sqrt", "Pow")
    if root is None or (root[1].op == "Pow" and not g.is_number(root[1].inputs[1], 0.5)):
        return None
    total = g.by(root[1].inputs[0], "ReduceSum")
    square = g.by(total[1].inputs[0], "Pow", "Mul") if total is not None else None
    if total is None or square is None:
        return None
    i, node = square
    if node.op == "Pow" and not g.is_number(node.inputs[1], 2):
        return None
    if node.op == "Mul" and node.inputs[0] != node.inputs[1]:
        return None
    covered = [root[0], total[0], i]
    base = node.inputs[0]
    size = g.by(base, "Abs")
    if size is not None:
        covered.append(size[0])
        base = size[1].inputs[0]
    return (total[1], covered) if base == x else None


def _groupnorm(g: Graph, i: int) -> Found | None:
    """Reshape to groups, instance normalisation, reshape back, gamma and beta."""
    node = g.nodes[i]
    if node.op != "Add":
        return None
    for scaled, beta in g.sides(node):
        times = g.by(scaled, "Mul")
        if times is None:
            continue
        for back, gamma in g.sides(times[1]):
            out = g.by(back, "Reshape")
            norm = g.by(out[1].inputs[0], "InstanceNormalization") if out else None
            into = g.by(norm[1].inputs[0], "Reshape") if norm else None
            if out is None or norm is None or into is None:
                continue
            ones = g.constants.get(norm[1].inputs[1])
            vectors = [_vector(g, v) for v in (gamma, beta)]
            if ones is None or None in vectors or len(ones.shape) != 1:
                continue
            made = _as(node, "GroupNormalization", [into[1].inputs[0], *map(str, vectors)],
                       num_groups=ones.shape[0], **norm[1].attributes)  # fmt: skip
            return made, [times[0], out[0], norm[0], into[0]]
    return None


def _lrn(g: Graph, i: int) -> Found | None:
    """x/(mean of squares of neighbours·alpha + k)^beta, as torch.nn.functional writes it."""
    node = g.nodes[i]
    if node.op != "Div" or len(node.inputs) != 2:
        return None
    x, name = node.inputs
    covered: list[int] = []
    numbers = []
    for op in ("Pow", "Add", "Mul"):
        made = g.by(name, op)
        number = None if made is None else g.number(made[1].inputs[1])
        if made is None or number is None:
            return None
        covered.append(made[0])
        numbers.append(number)
        name = made[1].inputs[0]
    size = 0
    for _ in range(8):
        made = g.by(name, "Reshape", "Squeeze", "Unsqueeze", "Pad", "AveragePool", "Mul")
        if made is None:
            return None
        covered.append(made[0])
        if made[1].op == "Mul":
            break
        if made[1].op == "AveragePool":
            kernel = made[1].attributes.get("kernel_shape", [])
            size = prod(kernel) if kernel and prod(kernel) == kernel[0] else 0
        name = made[1].inputs[0]
    if made is None or made[1].inputs != (x, x) or not size:
        return None
    beta, k, alpha = numbers
    return _as(node, "LRN", [x], size=size, alpha=alpha, beta=beta, bias=k), covered


def _vector(g: Graph, name: str) -> str | None:
    """The weight of C values behind Cx1x1."""
    made = g.by(name, "Unsqueeze", "Reshape")
    source = made[1].inputs[0] if made is not None else name
    return source if source in g.constants else None


PATTERNS: tuple[Callable[[Graph, int], Found | None], ...] = (
    _gated, _hardswish, _hardsigmoid, _gelu, _layernorm, _groupnorm, _normalised,
    _lrn,
)  # fmt: skip
