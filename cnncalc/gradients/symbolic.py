"""The gradient of a small network as formulas: the engine run on SymPy symbols.

One item goes in. The outputs y are formulas of the inputs and parameters; g = dL/dy is
written in y; and the engine's pull-back gives every dL/dw in g: the chain rule, exactly.
The formulas are checked at a random point against SymPy's own derivative.
"""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, NamedTuple

from ..execute import Arrays, forward, whole
from ..rows import Row
from .network import Network, RefusedError, chosen, merged, shapes
from .results import Gradients, Options, Witness

MOST_SYMBOLS = 400
MOST_TERMS = 50_000
LETTERS = {"kernel": "w", "bias": "b", "coefficient": "c", "slope": "a", "scale": "s"}
GREEK = ("gamma", "beta")
TOLERANCE = 1e-9
NORMS = ("batchnorm", "layernorm", "groupnorm", "lrn")


class Symbols(NamedTuple):
    """What a letter stands for."""

    letter: str
    meaning: str
    shape: tuple[int, ...]


class Formula(NamedTuple):
    """left = right, each as text and in LaTeX."""

    left: str
    right: str
    left_latex: str
    right_latex: str


class Formulas(NamedTuple):
    """The network as formulas."""

    symbols: tuple[Symbols, ...]
    outputs: tuple[Formula, ...]
    loss: tuple[Formula, ...]
    upstream: tuple[Formula, ...]  # g = dL/dy
    gradients: tuple[Formula, ...]


class _Namer:
    """Makes arrays of symbols and remembers what they are called."""

    def __init__(self) -> None:
        self.legend: list[Symbols] = []
        self.latex: dict[Any, str] = {}

    def make(self, letter: str, meaning: str, shape: Sequence[int], positive: bool = False) -> Any:
        """An array of symbols `letter[i,j]`, counted from 1; axes of one entry have no index."""
        import numpy as np
        import sympy

        found = np.empty(tuple(shape), dtype=object)
        for index in np.ndindex(found.shape):
            places = [str(i + 1) for i, n in zip(index, found.shape, strict=True) if n > 1]
            name = f"{letter}[{','.join(places)}]" if places else letter
            symbol = sympy.Symbol(name, real=True, positive=positive or None)
            found[index] = symbol
            stem = letter.rstrip("0123456789")
            stem = f"\\{stem}" if stem in (*GREEK, "mu") else stem
            stem = "\\sigma^{2}" if stem == "v" else stem
            number = letter[len(letter.rstrip("0123456789")) :]
            below = ",".join(places)
            base = f"{stem}^{{({number})}}" if number else stem
            self.latex[symbol] = f"{base}_{{{below}}}" if below else base
        self.legend.append(Symbols(letter, meaning, tuple(n for n in shape if n > 1)))
        return found

    def formula(self, left: Any, right: Any, derivative: bool = False) -> Formula:
        import sympy

        text, latex = str(left), self.latex.get(left, str(left))
        if derivative:
            text, latex = f"dL/d{text}", f"\\frac{{\\partial L}}{{\\partial {latex}}}"
        shown = sympy.latex(right, symbol_names=self.latex)
        return Formula(text, sympy.sstr(right).replace("**", "^"), latex, shown)


def formulas(net: Network, options: Options) -> Gradients:
    """Outputs, loss and gradients as formulas; raises `RefusedError` where they are too many."""
    from .. import autograd as ag

    _require(net)
    names = _Namer()
    params, buffers, inputs = _symbols(net, names)
    layers = list(dict.fromkeys(term.layer for term in net.terms))

    def run(some: Arrays) -> Any:
        values, _ = forward(net.report, merged(params, some), buffers, inputs)
        return tuple(values[layer] for layer in layers)

    try:
        outputs, pull = ag.vjp(run, chosen(params, net.wanted))
    except NotImplementedError as missing:
        raise RefusedError(f"the engine has no '{missing}' layer yet") from None
    many = len(layers) > 1
    ys, gs, forward_, loss, upstream = [], [], [], [], []
    for i, (layer, values) in enumerate(zip(layers, outputs, strict=True)):
        number = str(i + 1) if many else ""
        y = names.make(f"y{number}", f"values of '{layer}'", values.shape)
        g = names.make(f"g{number}", f"dL/dy{number}", values.shape)
        ys.append(y)
        gs.append(g)
        forward_ += [names.formula(a, b) for a, b in zip(y.flat, values.flat, strict=True)]
    total: Any = 0
    slopes = []
    remarks = ["batch normalisation uses given statistics"] if buffers else []
    for i, term in enumerate(net.terms):
        k = layers.index(term.layer)
        part, slope, text = _loss(net, i, ys[k], names, options)
        total = total + part
        remarks.append(f"L: {text}")
        slopes.append((k, slope))
    loss.append(names.formula("L", total))
    for k, g in enumerate(gs):
        sums = [sum(s.flat[j] for at, s in slopes if at == k) for j in range(g.size)]
        upstream += [names.formula(a, b) for a, b in zip(g.flat, sums, strict=True)]
    (grads,) = pull(tuple(gs))
    error = _error(net, params, grads, outputs, gs, options)
    left = [params[layer][name] for layer, name in net.wanted]
    right = [grads[layer][name] for layer, name in net.wanted]
    shown = [
        names.formula(a, b, True)
        for x, y in zip(left, right, strict=True)
        for a, b in zip(x.flat, y.flat, strict=True)
    ]
    made = Formulas(
        tuple(names.legend), tuple(forward_), tuple(loss), tuple(upstream), tuple(shown)
    )
    witness = Witness(True, error, "against SymPy's own derivative at a random point")
    found = Gradients(
        "agrees", options._replace(batch=1), sizes=net.sizes, differences=witness,
        remarks=tuple(remarks), formulas=made,
    )  # fmt: skip
    if error > TOLERANCE:
        from ..diagnostics import Diagnostic

        text = f"the formulas differ from SymPy's own derivative by {error:.0e}"
        wrong = Diagnostic("R011", "error", text)
        return found._replace(status="disagrees", diagnostics=(wrong,))
    return found


def _require(net: Network) -> None:
    """Raises `RefusedError` before anything is computed that would not end or be read."""
    rows = net.report.layers
    count = sum(prod(whole(s)) for r in rows if not r.shared for s in r.weights.values())
    count += sum(prod(whole(s)) for s in net.report.input_shapes.values())
    known = shapes(net.report)
    count += sum(prod(known[layer]) for layer in {t.layer for t in net.terms})
    if not net.wanted:
        raise RefusedError("no layer has parameters: there is nothing to differentiate")
    if count > MOST_SYMBOLS:
        raise RefusedError(
            f"as formulas the network has {count:,} symbols (inputs, parameters and outputs), "
            f"more than {MOST_SYMBOLS}: use a smaller one"
        )
    size: dict[str, int] = dict.fromkeys([*net.report.input_shapes, "input"], 1)
    for row in rows:
        size[row.name] = _growth(row, max(size[name] for name in row.inputs))
    terms = sum(size[t.layer] * prod(known[t.layer]) for t in net.terms)
    if terms > MOST_TERMS:
        raise RefusedError(
            f"the formulas would have about {terms:,} terms, more than {MOST_TERMS:,}: use a "
            "smaller network or fewer layers"
        )


def _growth(row: Row, size: int) -> int:
    """About how long one entry's formula is, given its inputs' length."""
    taken = sum(prod(whole(shape)) for shape in row.input)
    made = prod(whole(row.output))
    (macs,) = whole([row.macs])
    if macs:
        return -(-macs // made) * (size + 1)
    if row.op == "maxpool":
        return size * prod(whole([w.k for w in row.windows])) ** 2
    if row.op == "global_maxpool":
        return size * (taken // made) ** 2
    if row.op in NORMS:
        return size * 2 * taken
    if row.layer.nonlinear:
        return 2 * size
    return size * max(1, -(-taken // made))


def _symbols(net: Network, names: _Namer) -> tuple[Arrays, Arrays, dict[str, Any]]:
    inputs: dict[str, Any] = {}
    many = len(net.report.input_shapes) > 1
    for i, (name, shape) in enumerate(net.report.input_shapes.items()):
        letter = f"x{i + 1}" if many else "x"
        inputs[name] = names.make(letter, f"the input '{name}'", (1, *whole(shape)))
    inputs.setdefault("input", next(iter(inputs.values())))
    owners = [r for r in net.report.layers if not r.shared and (r.weights or r.buffer_shapes)]
    params: Arrays = {}
    buffers: Arrays = {}
    for i, row in enumerate(owners):
        number = str(i + 1) if len(owners) > 1 else ""
        for name, shape in row.weights.items():
            letter = LETTERS.get(name, name) + number
            array = names.make(letter, f"{name} of '{row.name}'", whole(shape))
            params.setdefault(row.name, {})[name] = array
        for name, shape in row.buffer_shapes.items():
            letter = {"mean": "mu", "var": "v"}.get(name, name) + number
            array = names.make(letter, f"{name} of '{row.name}'", whole(shape), name == "var")
            buffers.setdefault(row.name, {})[name] = array
    return params, buffers, inputs


def _loss(net: Network, i: int, y: Any, names: _Namer, options: Options) -> tuple[Any, Any, str]:
    """The loss of the output symbols y, its derivative by each of them, and its name."""
    import numpy as np
    import sympy

    term = net.terms[i]
    number = str(i + 1) if len(net.terms) > 1 else ""
    slope = np.empty(y.shape, dtype=object)
    if not term.classes:
        t = names.make(f"t{number}", f"targets of '{term.output}'", y.shape)
        parts = [(a - b) ** 2 for a, b in zip(y.flat, t.flat, strict=True)]
        for index in np.ndindex(y.shape):
            slope[index] = 2 * (y[index] - t[index]) / sympy.Integer(y.size)
        return sympy.Add(*parts) / y.size, slope, f"mean of squares of '{term.layer}' less targets"
    random = np.random.default_rng([options.seed % (1 << 63), 3, i])
    rows = y.reshape(-1, term.classes)
    flat = slope.reshape(-1, term.classes)
    labels = [int(n) for n in random.integers(0, term.classes, len(rows))]
    total: Any = 0
    for row, out, label in zip(rows, flat, labels, strict=True):
        exponentials = sympy.Add(*(sympy.exp(v) for v in row))
        total += sympy.log(exponentials) - row[label]
        for k, v in enumerate(row):
            out[k] = (sympy.exp(v) / exponentials - int(k == label)) / sympy.Integer(len(rows))
    shown = ", ".join(str(n + 1) for n in labels)
    text = f"cross entropy of '{term.layer}' with class {shown}, counted from 1"
    return total / sympy.Integer(len(rows)), slope, text


def _error(
    net: Network, params: Arrays, grads: Arrays, outputs: Sequence[Any], gs: Sequence[Any],
    options: Options,
) -> float:  # fmt: skip
    """How far the formulas are from SymPy's derivative of sum g·y, at a random point."""
    import numpy as np
    import sympy

    pairs = zip(outputs, gs, strict=True)
    whole_ = sympy.Add(*(v * g for y, c in pairs for v, g in zip(y.flat, c.flat, strict=True)))
    keys = [(layer, name) for layer, name in net.wanted]
    ours = [e for layer, name in keys for e in grads[layer][name].flat]
    theirs = [sympy.diff(whole_, s) for layer, name in keys for s in params[layer][name].flat]
    used = _free([*ours, *theirs])
    random = np.random.default_rng([options.seed % (1 << 63), 6])
    point = [
        float(v) for v in random.uniform(0.5, 1.5, len(used)) * random.choice([1, -1], len(used))
    ]
    point = [abs(v) if s.is_positive else v for s, v in zip(used, point, strict=True)]
    a, b = (_values(used, exprs, point) for exprs in (ours, theirs))
    largest = max((abs(v) for v in b), default=0.0) or 1.0
    return max((abs(x - y) for x, y in zip(a, b, strict=True)), default=0.0) / largest


def _free(exprs: Iterable[Any]) -> list[Any]:
    found: set[Any] = set()
    for e in exprs:
        found |= getattr(e, "free_symbols", set())
    return sorted(found, key=str)


def _values(symbols: Sequence[Any], exprs: Sequence[Any], point: Sequence[float]) -> list[float]:
    import sympy

    function = sympy.lambdify(list(symbols), list(exprs), modules=["math", {"Heaviside": _step}])
    return [float(v) for v in function(*point)]


def _step(x: float, at_zero: float = 0.0) -> float:
    return float(x > 0) if x else at_zero
