"""What a designer should know about the gradients: R011 to R015, as diagnostics."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..diagnostics import Diagnostic, Severity
from ..rows import Row
from .network import Network
from .results import Depth, Param, Term, Units

RATIO = 1e4  # of relative gradient norms across depth
MOSTLY = 0.75  # of a rectifier's channels
HIGH, SLACK = 3.0, 4.0  # times ln(classes), and more: logits deviate by 2 to 4 as a rule
CANCELS = (
    "batch normalisation after it subtracts the mean, and with it this shift",
    "what comes back to it cancels to rounding",
)
FEW = 8  # channels below which chance alone kills many


def depth_of(net: Network, params: Sequence[Param]) -> Depth | None:
    """Relative gradients of the first and last layer that has a kernel and a gradient."""
    kernels = [p for p in params if len(p.shape) > 1 and p.relative]
    if len({p.layer for p in kernels}) < 2:
        return None
    first, last = kernels[0], kernels[-1]
    return Depth(first.layer, last.layer, first.relative or 0.0, last.relative or 0.0)


def units_of(net: Network, alive: Mapping[str, Any]) -> tuple[Units, ...]:
    """How many channels of each rectifier are zero on all of the batch."""
    return tuple(
        Units(row.name, int(alive[row.name].size), int((~alive[row.name]).sum()))
        for row in net.report.layers
        if row.name in alive
    )


def findings(
    net: Network, params: Sequence[Param], units: Sequence[Units], depth: Depth | None,
    terms: Sequence[Term],
) -> tuple[Diagnostic, ...]:  # fmt: skip
    """All of them, in the order of their codes."""
    say = _Speaker(net)
    found = [*_disagreements(say, params), *_without(net, say, params)]
    found += [*_depth(say, depth), *_dead(say, units), *_loss(say, terms)]
    return tuple(found)


class _Speaker:
    """Makes diagnostics that point at the layers of the spec."""

    def __init__(self, net: Network) -> None:
        self.rows: dict[str, Row] = {row.name: row for row in net.report.layers}

    def __call__(
        self, code: str, severity: Severity, text: str, layer: str, help: tuple[str, ...] = ()
    ) -> Diagnostic:
        row = self.rows.get(layer)
        return Diagnostic(code, severity, text, row.span if row else None, layer, help)


def _disagreements(say: _Speaker, params: Sequence[Param]) -> Iterator[Diagnostic]:
    for p in params:
        if p.verdict == "disagrees":
            text = f"the gradient of '{p.layer}' {p.name} {p.detail}"
            yield say("R011", "error", text, p.layer)


def _without(net: Network, say: _Speaker, params: Sequence[Param]) -> Iterator[Diagnostic]:
    by: dict[tuple[str, str], list[str]] = {}
    for p in params:
        if p.verdict == "none":
            by.setdefault((p.layer, p.detail), []).append(p.name)
    for (layer, why), names in by.items():
        text = f"'{layer}' {' and '.join(names)} {'get' if len(names) > 1 else 'gets'} no gradient"
        severity: Severity = "note" if why in CANCELS else "warning"
        yield say("R012", severity, f"{text}: {why}", layer)


def reached(net: Network) -> set[str]:
    """The layers that the loss depends on."""
    found = {term.layer for term in net.terms}
    for row in reversed(net.report.layers):
        if row.name in found:
            found |= set(row.inputs)
    return found | {row.shared for row in net.report.layers if row.shared and row.name in found}


def why_none(net: Network, layer: str, exactly: bool, reach: set[str]) -> str:
    """Why an array of `layer` gets no gradient."""
    if layer not in reach:
        return "no output depends on it"
    if not exactly:
        normalised = any(row.op == "batchnorm" for row in net.report.layers)
        return CANCELS[0] if normalised else CANCELS[1]
    return "on this batch everything after it is constant in it"


def _depth(say: _Speaker, depth: Depth | None) -> Iterator[Diagnostic]:
    if depth is None or 1 / RATIO <= depth.ratio <= RATIO:
        return
    word = "vanish" if depth.ratio < 1 else "explode"
    times = depth.ratio if depth.ratio > 1 else 1 / depth.ratio
    text = (
        f"the gradients {word} towards the input: beside its weights, that of '{depth.first}' is "
        f"{times:.0e} times {'larger' if depth.ratio > 1 else 'smaller'} than that of "
        f"'{depth.last}'"
    )
    yield say("R013", "warning", text, depth.first)


def _dead(say: _Speaker, units: Sequence[Units]) -> Iterator[Diagnostic]:
    for u in units:
        if u.dead == u.channels or (u.channels >= FEW and u.dead > MOSTLY * u.channels):
            text = f"{u.dead:,} of the {u.channels:,} channels of '{u.layer}' are zero on all of "
            yield say("R014", "warning", text + "the batch: they pass no gradient on", u.layer)


def _loss(say: _Speaker, terms: Sequence[Term]) -> Iterator[Diagnostic]:
    for term in terms:
        if term.expected and far(term.value, term.expected):
            text = (
                f"the initial loss at '{term.layer}' is {term.value:.3g}, far from "
                f"ln({term.classes:,}) = {term.expected:.3g}: the logits are spread too far"
            )
            yield say("R015", "warning", text, term.layer)


def far(value: float, expected: float) -> bool:
    """Is an initial loss far from ln(classes)?

    >>> far(5.9, 2.3), far(12.0, 2.3)
    (False, True)
    """
    return value > HIGH * expected + SLACK
