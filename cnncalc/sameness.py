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
from .normal import (
    Facts,
    changes_nothing,
    conv_facts,
    cuts_facts,
    depthwise_facts,
    ends_of,
    facts_of,
    plain,
    pointwise_facts,
    pool_facts,
    rescaled,
    text,
    trained,
)
from .rows import Report, Row

Key = int
GATES = {"sigmoid": "silu", "hardsigmoid": "hardswish"}


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
        self.zeros: dict[Key, tuple[Key, Sequence[tuple[Number, Number]]]] = {}  # borders
        for i, (name, shape) in enumerate(report.input_shapes.items()):
            self.of[name] = self._key(("input", i, plain(shape)))
        self.of.setdefault("input", next(iter(self.of.values()), 0))
        for row in report.layers:
            self.of[row.name] = self._row(row)
        self.outputs = tuple(self.of[name] for name in report.outputs if name in self.of)

    def _key(self, form: Any) -> Key:
        return self.keys.setdefault(form, len(self.keys))

    def _row(self, row: Row) -> Key:
        inputs = tuple(self.of[name] for name in row.inputs)
        if changes_nothing(row):
            return inputs[0]
        if row.name in self.gone:
            return inputs[0]
        if row.op == "separable_conv":
            middle = self._add(row, depthwise_facts(row), inputs)
            return self._add(row, self._shifted(row, pointwise_facts(row)), (middle,))
        if row.op == "conv" and row.layer.values().get("connect") is not None:
            return self._connected(row, inputs)
        zeros = self.zeros.get(inputs[0]) if row.op in ("conv", "depthwise_conv") else None
        if zeros is not None:  # a border of zeros is the convolution's padding
            inputs, facts = (zeros[0],), self._shifted(row, conv_facts(row, zeros[1]))
        else:
            facts = self._shifted(row, facts_of(row))
        if row.op in ("add", "multiply"):
            inputs = tuple(sorted(inputs))
            gate = self._gate(row, inputs)
            if gate is not None:
                output = (("output", plain(row.output)),)
                return self._add(row, Facts(gate[0], output), (gate[1],))
        adds = trained(row)
        before = self.ops.get(inputs[0]) if adds else None
        if before is not None and before.op == "batchnorm" and dict(before.fields)["trained"] == "none":  # noqa: E501  # fmt: skip
            fields = {**dict(before.fields), "trained": adds}
            facts, inputs = Facts("batchnorm", tuple(fields.items())), self.sources[inputs[0]]
        if row.op == "pad":
            key = self._add(row, facts, inputs)
            self.zeros[key] = inputs[0], ends_of(row)
            return key
        if row.op == "subsample":
            inputs = self._summed(row, inputs)
        cuts = cuts_facts(row) if row.op == "slice" else []
        if cuts:
            for cut in cuts:
                inputs = (self._add(row, cut, inputs),)
            return inputs[0]
        return self._add(row, facts, inputs)

    def _connected(self, row: Row, inputs: tuple[Key, ...]) -> Key:
        """A table of connections: one convolution a filter, over the maps it reads."""
        axis, one = ("axis", str(len(row.output) - 1)), (*row.output[:-1], 1)
        whole = dict(conv_facts(row).fields)
        whole.pop("connect", None)
        parts = []
        for maps in row.layer.values()["connect"]:
            size = (*row.input[0][:-1], len(maps))
            picked = Facts("gather", (("indices", text(maps)), axis, ("output", plain(size))))
            fields = {**whole, "groups": "1", "output": text(one)}
            conv = Facts("conv", tuple(fields.items()))
            parts.append(self._add(row, conv, (self._add(row, picked, inputs),)))
        return self._add(row, Facts("concat", (axis, ("output", plain(row.output)))), tuple(parts))

    def _summed(self, row: Row, inputs: tuple[Key, ...]) -> tuple[Key, ...]:
        """Sums of windows as means of them times their size."""
        size = product([w.k for w in row.windows])
        for facts in (pool_facts(row, "avgpool"), rescaled(size, row)):
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
