"""A network with numbers for sizes, its loss, and the real values that go into it."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..diagnostics import Problem
from ..execute import ENDS, Arrays, cross_entropy, forward, initialise, logits_row, whole
from ..rows import Report, Row
from .results import Options, Term

Key = tuple[str, str]  # layer, array
DTYPE = "float64"
RECTIFIERS = ("relu", "relu6")


class Network(NamedTuple):
    """A concrete network, cut off where its loss is taken."""

    report: Report
    sizes: Mapping[str, int]
    terms: tuple[Term, ...]
    wanted: tuple[Key, ...]  # the arrays whose gradients are asked for


class Data(NamedTuple):
    """Real values: parameters, buffers, inputs, and one target an output."""

    params: Arrays
    buffers: Arrays
    inputs: Mapping[str, Any]
    targets: tuple[Any, ...]


class RefusedError(Exception):
    """What `grad` was asked for makes no sense; one message."""


def concrete(report: Report, options: Options) -> Network:
    """The network at its smallest sizes that work; raises `Problem` R010, `RefusedError`."""
    from ..jaxrun.sizes import at

    sizes = _sizes(report, options)
    net = at(report, sizes)
    rows = _owned(net.rows)
    full = report._replace(symbols={}, input_shapes=net.inputs, layers=rows)
    terms = tuple(_term(full, output) for output in report.outputs)
    ends = tuple(dict.fromkeys(t.layer for t in terms))
    trimmed = full._replace(layers=_cut(full, terms), outputs=ends)
    return Network(trimmed, sizes, terms, wanted(trimmed, options.at))


def _sizes(report: Report, options: Options) -> dict[str, int]:
    if not report.symbols:
        return {}
    import numpy as np

    from ..jaxrun.sizes import Sizes

    drawn = Sizes(report).draw(1, np.random.default_rng([options.seed % (1 << 63), 1]))
    if not drawn:
        names = ", ".join(report.symbols)
        text = f"no sizes for {names} were found at which every layer works"
        raise Problem("R010", text, help=["give them values with --set"])
    return drawn[0]


def _owned(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Rows whose `shared` names the layer that really holds the weights."""
    owner: dict[str, str] = {}
    found = []
    for row in rows:
        shared = owner.get(row.shared, row.shared) if row.shared else None
        if shared:
            owner[row.name] = shared
        found.append(row._replace(shared=shared))
    return tuple(found)


def _term(report: Report, output: str) -> Term:
    """Cross entropy for a class vector or what a softmax reads, else the mean of squares."""
    layer = logits_row(report, output)
    shape = shapes(report)[layer]
    classes = shape[-1]
    if classes > 1 and (len(shape) == 1 or layer != output):
        return Term(output, layer, "cross entropy", classes)
    return Term(output, layer, "mean of squares")


def shapes(report: Report) -> dict[str, tuple[int, ...]]:
    """The concrete shapes of all values by name."""
    found = {"input": whole(next(iter(report.input_shapes.values())))}
    found |= {name: whole(shape) for name, shape in report.input_shapes.items()}
    return found | {row.name: whole(row.output) for row in report.layers}


def _cut(report: Report, terms: Iterable[Term]) -> tuple[Row, ...]:
    """The rows without the softmaxes that end the network."""
    taken = {t.layer for t in terms}
    rows = list(report.layers)
    while True:
        read = {name for row in rows for name in row.inputs} | taken
        kept = [row for row in rows if row.op not in ENDS or row.name in read]
        if len(kept) == len(rows):
            return tuple(rows)
        rows = kept


def wanted(report: Report, at: str | None) -> tuple[Key, ...]:
    """Every parameter array, or those of the layer or block `at`."""
    keys = [(r.name, k) for r in report.layers if r.shared is None for k in r.weights]
    if at is None:
        return tuple(keys)
    owners = {
        row.shared or row.name
        for row in report.layers
        if row.name == at or row.name.startswith(at + "/")
    }
    found = tuple(key for key in keys if key[0] in owners)
    if found:
        return found
    layers = list(dict.fromkeys(layer for layer, _ in keys))
    if owners:
        raise RefusedError(f"'{at}' has no parameters; layers that have: {_few(layers)}")
    from ..expr import nearest

    near = nearest(at, layers)
    hint = f"did you mean '{near}'?" if near else f"layers with parameters: {_few(layers)}"
    raise RefusedError(f"there is no layer '{at}'; {hint}")


def _few(names: list[str]) -> str:
    return (", ".join(names[:8]) + (", ..." if len(names) > 8 else "")) or "none"


def draw(net: Network, options: Options) -> Data:
    """Parameters, standard normal inputs and random targets: the same for the same seed."""
    import numpy as np

    seed = options.seed % (1 << 63)
    params, buffers = initialise(net.report, seed, DTYPE)
    inputs: dict[str, Any] = {}
    for i, (name, shape) in enumerate(net.report.input_shapes.items()):
        random = np.random.default_rng([seed, 2, i])
        words = [r.layer for r in net.report.layers if r.op == "embedding" and name in r.inputs]
        full = (options.batch, *whole(shape))
        if words:
            inputs[name] = random.integers(0, words[0].values()["vocab"], full)
        else:
            inputs[name] = random.standard_normal(full)
    inputs.setdefault("input", next(iter(inputs.values())))
    targets: list[Any] = []
    known = shapes(net.report)
    for i, term in enumerate(net.terms):
        random = np.random.default_rng([seed, 3, i])
        full = (options.batch, *known[term.layer])
        if term.classes:
            targets.append(random.integers(0, term.classes, full[:-1]))
        else:
            targets.append(random.standard_normal(full))
    return Data(params, buffers, inputs, tuple(targets))


def values_of(net: Network, data: Data, params: Arrays, keep: bool = False) -> dict[str, Any]:
    """The forward pass as training does it: batch statistics, but no dropout."""
    values, _ = forward(
        net.report, params, data.buffers, data.inputs, training=True, mask=None, keep=keep
    )
    return values


def losses(net: Network, data: Data, values: Mapping[str, Any]) -> list[Any]:
    """Each output's loss."""
    from .. import autograd as ag

    found = []
    for term, target in zip(net.terms, data.targets, strict=True):
        if term.classes:
            found.append(cross_entropy(values[term.layer], target))
        else:
            difference = values[term.layer] - target
            found.append(ag.mean(difference * difference))
    return found


def merged(params: Arrays, some: Mapping[str, Any]) -> Arrays:
    """`params` with the arrays "layer/name" of `some` in their places."""
    found = {layer: dict(arrays) for layer, arrays in params.items()}
    for layer, arrays in some.items():
        found[layer].update(arrays)
    return found


def chosen(params: Arrays, keys: Iterable[Key]) -> Arrays:
    """Only the arrays `keys`."""
    found: Arrays = {}
    for layer, name in keys:
        found.setdefault(layer, {})[name] = params[layer][name]
    return found
