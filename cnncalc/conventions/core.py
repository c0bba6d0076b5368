"""What a convention is, and the sums over a network."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..formula import Expr, Number, equal, product
from ..rows import Report, Row

BASE = "multiply-adds"
Terms = dict[str, Number]
Rule = Callable[[Row], Terms]


class Need(Exception):
    """A convention that cannot be counted here: the message says why."""


class Bug(NamedTuple):
    """A known fault of a tool, and the layers it strikes."""

    text: str
    strikes: Callable[[Row], bool]


class Convention(NamedTuple):
    """One tool's way to count.

    `rule` gives the terms of a row besides its multiply-adds, by name; `params` the terms
    besides its trainable parameters.
    """

    name: str
    tool: str
    unit: str  # what the tool calls the figure
    source: str
    rule: Rule
    params: Rule
    bugs: tuple[Bug, ...] = ()
    remark: str = ""
    hooks: bool = False  # counts by hooks on modules: calls of functions are not seen
    whole: Callable[[Sequence[Row]], Terms] | None = None  # terms of the network, not of a layer


class Line(NamedTuple):
    """A term of the bridge: what it is, and its exact amount."""

    term: str
    amount: Number


class Counted(NamedTuple):
    """A network under one convention: totals, and the terms from cnncalc's to the tool's."""

    convention: Convention
    total: Number
    params: Number
    terms: tuple[Line, ...]  # sum to total - multiply-adds
    param_terms: tuple[Line, ...]  # sum to params - trainable parameters
    bugs: tuple[tuple[str, tuple[str, ...]], ...]  # the fault, and the layers it strikes


def values_in(row: Row) -> Number:
    """Values of the first input."""
    return product(row.input[0])


def values_out(row: Row) -> Number:
    return product(row.output)


def count(row: Row, convention: Convention, functional: bool = False) -> Terms:
    """Terms of one layer besides its multiply-adds; zero ones are left out."""
    terms = dict(convention.rule(row))
    if functional and convention.hooks and row.op in CONVOLUTIONS:
        terms = {"convolutions called as functions (not seen)": -row.macs}
    return {name: amount for name, amount in terms.items() if not zero(amount)}


CONVOLUTIONS = frozenset(("conv", "depthwise_conv", "separable_conv", "conv_transpose"))


def zero(amount: Number) -> bool:
    return equal(amount, 0) if isinstance(amount, Expr) else amount == 0


def totals(report: Report, name: str, functional: bool = False) -> Counted:
    """The network's totals as the tool prints them. Raises `Need`, KeyError.

    >>> import cnncalc
    >>> totals(cnncalc.load("resnet50").derive(), "ptflops-aten").total
    4089185256
    """
    from .table import convention

    found = convention(name)
    assert report.totals is not None
    terms: Terms = {}
    params: Terms = {}
    struck: dict[str, list[str]] = {}
    for row in report.layers:
        _add(terms, count(row, found, functional))
        _add(params, found.params(row))
        for bug in found.bugs:
            if bug.strikes(row):
                struck.setdefault(bug.text, []).append(row.name)
    if found.whole is not None:
        _add(terms, found.whole(report.layers))
    _add(params, _whole(found, report, params))
    lines = tuple(Line(t, a) for t, a in terms.items() if not zero(a))
    param_lines = tuple(Line(t, a) for t, a in params.items() if not zero(a))
    return Counted(
        found, _sum(report.totals.macs, lines), _sum(report.totals.params, param_lines), lines,
        param_lines, tuple((text, tuple(names)) for text, names in struck.items()),
    )  # fmt: skip


def _whole(convention: Convention, report: Report, params: Mapping[str, Number]) -> Terms:
    """What a tool adds once for the whole network."""
    if not convention.name.endswith("-adam"):
        return {}
    assert report.totals is not None
    return {"optimiser state": 2 * report.totals.params + 2}


def _add(terms: Terms, more: Mapping[str, Number]) -> None:
    for name, amount in more.items():
        terms[name] = terms.get(name, 0) + amount


def _sum(start: Number, lines: Sequence[Line]) -> Number:
    for line in lines:
        start = start + line.amount
    return start


def recount(rows: Sequence[Row], name: str) -> tuple[Row, ...]:
    """The rows with the tool's count of each layer in place of its multiply-adds."""
    from .table import convention

    found = convention(name)
    return tuple(
        row._replace(macs=_sum(row.macs, [Line(t, a) for t, a in count(row, found).items()]))
        for row in rows
    )


def recounted_total(rows: Sequence[Row], name: str) -> Number:
    """What the tool prints of the whole network, from rows as they were derived."""
    from .table import convention

    found = convention(name)
    total = _sum(0, [Line("", row.macs) for row in recount(rows, name)])
    whole = found.whole(rows) if found.whole is not None else {}
    return _sum(total, [Line(t, a) for t, a in whole.items()])
