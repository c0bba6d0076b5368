"""Are two derived networks the same, whatever their names and formats? Where do they part?

Every layer gets a key made of what it computes and the keys of what it reads, in a normal form:
names, identities, dropout and flattening are left out; a depthwise convolution is a grouped
one; a mean over the whole map is one thing, however it is written; a convolution over the
whole map is a dense layer; x·sigmoid(x) is SiLU. Two networks are the same where their outputs'
keys are. The first parting is a layer whose inputs both networks have, but not the layer.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .formula import Number, product
from .layers.reshape import position
from .rows import Report, Row

Key = int
SKIPPED = frozenset(("identity", "dropout", "stochastic_depth", "flatten"))
CLIPS = ("relu6", "hardtanh", "clip")
GATES = {"sigmoid": "silu", "hardsigmoid": "hardswish"}


class Facts(NamedTuple):
    """What a layer computes, in words that do not depend on its format."""

    op: str
    fields: tuple[tuple[str, str], ...]


class Seen(NamedTuple):
    """One layer in normal form."""

    row: Row
    facts: Facts
    inputs: tuple[Key, ...]
    key: Key


class Parting(NamedTuple):
    """The first place where two networks differ; a side is None where it has no such layer."""

    a: Row | None
    b: Row | None
    differences: tuple[tuple[str, str, str], ...]  # what, in a, in b


class Fold(NamedTuple):
    """Normalisations of one network that the other has in the weights of the layer before them."""

    here: Row  # the layer before them
    folded: tuple[Row, ...]
    there: Row  # that layer in the other network

    @property
    def params(self) -> Number:
        """Parameters of the folded network less those of the other one."""
        return self.there.params - self.here.params - total(row.params for row in self.folded)

    @property
    def buffers(self) -> Number:
        """Running statistics likewise."""
        return self.there.buffers - self.here.buffers - total(row.buffers for row in self.folded)


class Verdict(NamedTuple):
    """`same`: equal layer by layer. `fused`: equal once the folded layers are left out.

    `folds` are of a's normalisations folded in b, `folds_b` of b's folded in a. Where there are
    some, `parting` is the first place that they do not explain.
    """

    same: bool
    fused: bool
    parting: Parting | None
    folds: tuple[Fold, ...] = ()
    folds_b: tuple[Fold, ...] = ()


def total(numbers: Iterable[Number]) -> Number:
    found: Number = 0
    for n in numbers:
        found = found + n
    return found


def compare(a: Report, b: Report) -> Verdict:
    """Whether two networks are the same, and where they first part.

    >>> import cnncalc
    >>> one, two = cnncalc.load("vgg11").derive(), cnncalc.load("vgg13").derive()
    >>> verdict = compare(one, two)
    >>> verdict.same, verdict.parting.a.op, verdict.parting.b.op
    (False, 'maxpool', 'conv')
    """
    keys: dict[Any, Key] = {}
    left, right = _Form(a, keys), _Form(b, keys)
    if left.outputs == right.outputs:
        return Verdict(True, False, None)
    keys = {}
    one, two = _Form(a, keys, True), _Form(b, keys, True)
    fused = one.outputs == two.outputs
    folds, folds_b = _folds(one, two), _folds(two, one)
    parting = _parting(left, right)
    if (folds or folds_b) and not fused:
        parting = _parting(one, two)
    return Verdict(False, fused, parting, folds, folds_b)


def _folds(a: "_Form", b: "_Form") -> tuple[Fold, ...]:
    """What a folds away and b has not: layers of one form, in order."""
    there: dict[Key, list[Row]] = {}
    for seen in b.seen:
        if seen.row.name not in b.folded:
            there.setdefault(seen.key, []).append(seen.row)
    found = []
    for seen in a.seen:
        rows = a.folded.get(seen.row.name)
        if rows and there.get(seen.key):
            found.append(Fold(seen.row, tuple(rows), there[seen.key].pop(0)))
    return tuple(found)


FOLDING = frozenset(
    ("conv", "depthwise_conv", "separable_conv", "conv_transpose", "dense", "linear")
)


def _folded(report: Report) -> dict[str, list[Row]]:
    """Normalisations that the weights of the layer before them can take in, by that layer.

    Nothing else may read what lies between, and the layer's weights are its own.
    """
    readers: dict[str, int] = {}
    for name in [n for row in report.layers for n in row.inputs] + list(report.outputs):
        readers[name] = readers.get(name, 0) + 1
    owners = {row.shared for row in report.layers if row.shared}
    roots = {
        row.name: row.name
        for row in report.layers
        if row.op in FOLDING and not row.shared and row.name not in owners
    }
    found: dict[str, list[Row]] = {}
    for row in report.layers:
        before = row.inputs[0] if row.inputs else ""
        if row.op in ("batchnorm", "scale") and before in roots and readers[before] == 1:
            roots[row.name] = roots[before]
            found.setdefault(roots[before], []).append(row)
    return found


class _Form:
    """A network in normal form; `keys` numbers the forms of both networks."""

    def __init__(self, report: Report, keys: dict[Any, Key], fused: bool = False) -> None:
        self.keys = keys
        self.folded = _folded(report) if fused else {}
        self.gone = {row.name for rows in self.folded.values() for row in rows}
        self.seen: list[Seen] = []
        self.of: dict[str, Key] = {}
        self.ops: dict[Key, Facts] = {}
        self.sources: dict[Key, tuple[Key, ...]] = {}
        for i, (name, shape) in enumerate(report.input_shapes.items()):
            self.of[name] = self._key(("input", i, _plain(shape)))
        self.of.setdefault("input", next(iter(self.of.values()), 0))
        for row in report.layers:
            self.of[row.name] = self._row(row)
        self.outputs = tuple(self.of[name] for name in report.outputs if name in self.of)

    def _key(self, form: Any) -> Key:
        return self.keys.setdefault(form, len(self.keys))

    def _row(self, row: Row) -> Key:
        inputs = tuple(self.of[name] for name in row.inputs)
        if _changes_nothing(row):
            return inputs[0]
        if row.name in self.gone:
            return inputs[0]
        if row.op == "separable_conv":
            middle = self._add(row, _depthwise_facts(row), inputs)
            return self._add(row, self._shifted(row, _pointwise_facts(row)), (middle,))
        if row.op == "conv" and row.layer.values().get("connect") is not None:
            return self._connected(row, inputs)
        facts = self._shifted(row, _facts(row))
        if row.op in ("add", "multiply"):
            inputs = tuple(sorted(inputs))
            gate = self._gate(row, inputs)
            if gate is not None:
                output = (("output", _plain(row.output)),)
                return self._add(row, Facts(gate[0], output), (gate[1],))
        trained = _trained(row)
        before = self.ops.get(inputs[0]) if trained else None
        if before is not None and before.op == "batchnorm" and dict(before.fields)["trained"] == "none":  # noqa: E501  # fmt: skip
            fields = {**dict(before.fields), "trained": trained}
            facts, inputs = Facts("batchnorm", tuple(fields.items())), self.sources[inputs[0]]
        if row.op == "subsample":
            inputs = self._summed(row, inputs)
        return self._add(row, facts, inputs)

    def _connected(self, row: Row, inputs: tuple[Key, ...]) -> Key:
        """A table of connections: one convolution a filter, over the maps it reads."""
        axis, one = ("axis", str(len(row.output) - 1)), (*row.output[:-1], 1)
        whole = dict(_conv_facts(row).fields)
        whole.pop("connect", None)
        parts = []
        for maps in row.layer.values()["connect"]:
            size = (*row.input[0][:-1], len(maps))
            picked = Facts("gather", (("indices", _text(maps)), axis, ("output", _plain(size))))
            fields = {**whole, "groups": "1", "output": _text(one)}
            conv = Facts("conv", tuple(fields.items()))
            parts.append(self._add(row, conv, (self._add(row, picked, inputs),)))
        return self._add(row, Facts("concat", (axis, ("output", _plain(row.output)))), tuple(parts))

    def _summed(self, row: Row, inputs: tuple[Key, ...]) -> tuple[Key, ...]:
        """Sums of windows as means of them times their size."""
        size = product([w.k for w in row.windows])
        for facts in (_pool_facts(row, "avgpool"), _rescaled(size, row)):
            inputs = (self._add(row, facts, inputs),)
        return inputs

    def _shifted(self, row: Row, facts: Facts) -> Facts:
        """The facts with the bias that folding gives."""
        rows = self.folded.get(row.name, ())
        if not any(r.op == "batchnorm" or "bias" in r.weights for r in rows):
            return facts
        fields = tuple((n, "true" if n == "bias" else v) for n, v in facts.fields)
        return facts._replace(fields=fields)

    def _gate(self, row: Row, inputs: Sequence[Key]) -> tuple[str, Key] | None:
        """x · sigmoid(x) and x · hardsigmoid(x)."""
        if row.op != "multiply" or len(inputs) != 2:
            return None
        for x, gate in (inputs, inputs[::-1]):
            facts = self.ops.get(gate)
            if facts is not None and facts.op in GATES and self.sources[gate] == (x,):
                return GATES[facts.op], x
        return None

    def _add(self, row: Row, facts: Facts, inputs: tuple[Key, ...]) -> Key:
        key = self._key((facts, inputs))
        self.seen.append(Seen(row, facts, inputs, key))
        self.ops.setdefault(key, facts)
        self.sources.setdefault(key, inputs)
        return key


def _parting(a: _Form, b: _Form) -> Parting:
    in_a, in_b = {s.key for s in a.seen}, {s.key for s in b.seen}
    first = _first(a, in_b, b)
    second = _first(b, in_a, a)
    if first is not None:
        same = [s for s in b.seen if s.key not in in_a and s.inputs == first.inputs]
        alike = [s for s in same if s.facts.op == first.facts.op]
        second = next(iter([*alike, *same]), second)
    if first is None and second is None:  # the same layers, but other outputs
        return Parting(None, None, (("outputs", _names(a), _names(b)),))
    return Parting(
        first.row if first else None, second.row if second else None, _differences(first, second)
    )


def _first(form: _Form, known: Iterable[Key], other: _Form) -> Seen | None:
    """The first layer that the other network has not, though it has all that this one reads."""
    there = {*known, *other.of.values()}
    return next((s for s in form.seen if s.key not in there), None)


def _names(form: _Form) -> str:
    found = [name for name, key in form.of.items() if key in form.outputs]
    return ", ".join(found[-len(form.outputs) :])


def _differences(a: Seen | None, b: Seen | None) -> tuple[tuple[str, str, str], ...]:
    if a is None or b is None:
        return ()
    if a.facts.op != b.facts.op:
        return (("op", a.facts.op, b.facts.op),)
    left, right = dict(a.facts.fields), dict(b.facts.fields)
    names = dict.fromkeys([*left, *right])
    found = [(n, left.get(n, "-"), right.get(n, "-")) for n in names if left.get(n) != right.get(n)]
    if not found and a.inputs != b.inputs:
        found = [("inputs", ", ".join(a.row.inputs), ", ".join(b.row.inputs))]
    return tuple(found)


def _trained(row: Row) -> str:
    """What a layer adds to a normalisation before it that trains nothing."""
    if row.op == "scale":
        return "beta, gamma" if "bias" in row.weights else "gamma"
    shape = row.weights.get("position", ()) if row.op == "positional" else ()
    return "beta" if shape and all(n == 1 for n in shape[:-1]) else ""


def _rescaled(scale: Any, row: Row) -> Facts:
    fields = (("scale", _real(scale)), ("offset", "0"), ("output", _plain(row.output)))
    return Facts("rescale", fields)


def _changes_nothing(row: Row) -> bool:
    if row.op == "roll":
        return all(by == 0 for _, by in row.layer._shifts(len(row.input[0])))  # type: ignore[attr-defined]
    if row.op == "reshape":
        return _plain(row.output) == _plain(row.input[0])
    if row.op in ("maxpool", "avgpool"):
        return all((w.k, w.s, w.before, w.after) == (1, 1, 0, 0) for w in row.windows)
    if row.op == "adaptive_avgpool":
        return row.output == row.input[0]
    return row.op in SKIPPED


# --- facts of one layer ------------------------------------------------------------------


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(_text(v) for v in value) or "1"
    return str(value)


def _plain(shape: Sequence[Number]) -> str:
    """A volume without its axes of size 1."""
    return _text(tuple(n for n in shape if n != 1))


def _facts(row: Row) -> Facts:
    op = row.op
    if op in ("conv", "depthwise_conv"):
        return _conv_facts(row)
    if op == "dense" or (op == "linear" and len(row.input[0]) == 1):
        return _dense_facts(row)
    if op in ("maxpool", "avgpool"):
        return _pool_facts(row)
    whole = _whole(row)
    if whole:
        return Facts(whole, (("output", _plain(row.output)),))
    if op == "adaptive_avgpool" and _even(row):
        return _even_facts(row)
    if op == "batchnorm":
        return Facts(op, (("eps", _real(row.layer.values().get("eps"))),
                          ("trained", ", ".join(sorted(row.weights)) or "none")))  # fmt: skip
    if op == "reshape":
        return Facts(op, (("output", _text(row.output)),))
    if op in CLIPS:
        values = row.layer.values()
        ends = (0, 6) if op == "relu6" else (values.get("low"), values.get("high"))
        found = (("low", _real(ends[0])), ("high", _real(ends[1])), ("output", _plain(row.output)))
        return Facts("clip", found)
    if op in ("lstm", "gru"):
        return _recurrent_facts(row)
    if op == "subsample":
        return Facts("scale", (("bias", "true"), ("output", _plain(row.output))))
    fields: dict[str, str] = {}
    for name, value in row.layer.values().items():
        fields[name] = _text(value) if isinstance(value, tuple | str | bool) else _real(value)
    if "bias" in fields:
        fields["bias"] = str("bias" in row.weights).lower()
    if op == "lrn" and fields:
        lrn: Any = row.layer
        divided = lrn.alpha if row.dialect.lrn_divides else lrn.alpha * lrn.size
        fields["alpha"] = _real(divided)
    if op in ("concat", "slice", "gather"):
        fields["axis"] = str(position(row.layer.values().get("axis", -1), len(row.input[0])))
    return Facts(op, (*fields.items(), ("output", _plain(row.output))))


def _recurrent_facts(row: Row) -> Facts:
    layer: Any = row.layer
    both = bool(layer.bidirectional)
    after = row.op == "gru" and layer.resets_after(row.dialect)
    return Facts(row.op, (
        ("units", str(layer.units)), ("sequences", str(layer.return_sequences).lower()),
        ("directions", "2" if both else "reverse" if layer.reverse else "1"),
        ("merge", layer.merge if both else "-"), ("reset_after", str(after).lower()),
        ("biases", str(len([n for n in row.weights if "bias" in n]))),
    ))  # fmt: skip


def _real(value: Any) -> str:
    """Numbers to five digits: formats keep them in float32."""
    try:
        return f"{float(value):.5g}" if value is not None else "-"
    except (TypeError, ValueError):
        return str(value)


def _conv_facts(row: Row) -> Facts:
    ws = row.windows
    values = row.layer.values()
    channels = row.input[0][-1]
    groups = channels if row.op == "depthwise_conv" else values.get("groups", 1)
    whole = all(w.out == 1 and w.before == 0 and w.after == 0 and w.k == w.n for w in ws)
    if whole and groups == 1 and values.get("connect") is None:
        return _dense_facts(row)
    return Facts("conv", (
        ("kernel", _text(tuple(w.k for w in ws))), ("stride", _text(tuple(w.s for w in ws))),
        ("pad", _ends(row)), ("dilation", _text(tuple(w.d for w in ws))), ("groups", str(groups)),
        ("bias", str("bias" in row.weights).lower()), ("output", _text(row.output)),
        *((("connect", str(values["connect"])),) if values.get("connect") is not None else ()),
    ))  # fmt: skip


def _ends(row: Row) -> str:
    pairs = [(w.before, w.after) for w in row.windows]
    return ", ".join(str(a) if a == b else f"{a}+{b}" for a, b in pairs)


def _dense_facts(row: Row) -> Facts:
    return Facts("dense", (("inputs", str(product(row.input[0]))), ("units", str(row.output[-1])),
                           ("bias", str("bias" in row.weights).lower())))  # fmt: skip


def _depthwise_facts(row: Row) -> Facts:
    ws = row.windows
    middle = (*row.output[:-1], row.input[0][-1] * row.layer.values().get("multiplier", 1))
    return Facts("conv", (
        ("kernel", _text(tuple(w.k for w in ws))), ("stride", _text(tuple(w.s for w in ws))),
        ("pad", _ends(row)), ("dilation", _text(tuple(w.d for w in ws))),
        ("groups", str(row.input[0][-1])), ("bias", "false"), ("output", _text(middle)),
    ))  # fmt: skip


def _pointwise_facts(row: Row) -> Facts:
    ones = _text((1,) * len(row.windows))
    zeros = ", ".join("0" for _ in row.windows)
    return Facts("conv", (
        ("kernel", ones), ("stride", ones), ("pad", zeros), ("dilation", ones), ("groups", "1"),
        ("bias", str("bias" in row.weights).lower()), ("output", _text(row.output)),
    ))  # fmt: skip


def _pool_facts(row: Row, op: str = "") -> Facts:
    op = op or row.op
    ws = row.windows
    if all(w.out == 1 and w.before == 0 and w.k == w.n for w in ws):
        kind = "mean of the map" if op == "avgpool" else "largest of the map"
        return Facts(kind, (("output", _plain(row.output)),))
    fields = [
        ("kernel", _text(tuple(w.k for w in ws))), ("stride", _text(tuple(w.s for w in ws))),
        ("pad", ", ".join(str(w.before) for w in ws)), ("output", _text(row.output)),
    ]  # fmt: skip
    if op == "avgpool" and any(w.before != 0 or w.after != 0 for w in ws):
        include = row.layer.values().get("count_include_pad")
        include = row.dialect.include_pad if include is None else include
        fields.append(("count_include_pad", str(include).lower()))
    return Facts(op, tuple(fields))


def _even(row: Row) -> bool:
    """Does the adaptive pool have windows of one size?"""
    pairs = zip(row.input[0][:-1], row.output[:-1], strict=True)
    return all(isinstance(n, int) and isinstance(o, int) and n % o == 0 for n, o in pairs)


def _even_facts(row: Row) -> Facts:
    pairs = zip(row.input[0][:-1], row.output[:-1], strict=True)
    kernel = _text(tuple(int(str(n)) // int(str(o)) for n, o in pairs))
    zeros = ", ".join("0" for _ in row.output[:-1])
    return Facts("avgpool", (("kernel", kernel), ("stride", kernel), ("pad", zeros),
                             ("output", _text(row.output))))  # fmt: skip


def _whole(row: Row) -> str:
    """Is this a mean (or maximum) over the whole map?"""
    rank = len(row.input[0]) - 1
    if row.op in ("global_avgpool", "global_maxpool"):
        return "mean of the map" if row.op == "global_avgpool" else "largest of the map"
    if row.op == "adaptive_avgpool" and all(n == 1 for n in row.output[:-1]):
        return "mean of the map"
    if row.op == "mean" and rank:
        axes = {position(a, rank + 1) for a in row.layer.values().get("axes", ())}
        return "mean of the map" if axes == set(range(rank)) else ""
    return ""
