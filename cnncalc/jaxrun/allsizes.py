"""All sizes at once: JAX's shape polymorphism against our closed forms, layer by layer.

Each layer is proved over symbols of its own, which stand for our closed forms of the layers
before it (`induction`); that its output is our closed form then holds for the network. All
sizes are those at which the network works: no volume is empty, no window larger than its
padded input, and no layer refuses what it gets. A layer that JAX cannot trace over symbols is
checked exactly at many sizes instead.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ..diagnostics import Diagnostic
from ..formula import Number
from ..layers.base import Layer, Shape
from ..rows import Report, Row
from .forward import volume
from .induction import Induction
from .layer import Traced, trace
from .sizes import Env, Sizes, row_at

BUDGET = 3000  # traces at numbers, over all the layers that need them
MOST, LEAST = 96, 12
Verdict = Literal["proved", "checked", "skipped", "disproved"]
Pair = tuple[str, Number, Any]  # what is compared, derived, real


class Proof(NamedTuple):
    """What is known of one layer at all sizes."""

    verdict: Verdict
    points: int = 0
    counterexample: str = ""
    fitting: bool = False  # proved for the sizes at which the layer fits, as not all do


class AllSizes(NamedTuple):
    """The verdict on the network, in one word, in one phrase, and layer by layer."""

    verdict: Verdict
    detail: str
    layers: Mapping[str, Proof]
    diagnostics: tuple[Diagnostic, ...]


def prove(
    report: Report, skip: frozenset[str], random: Any, progress: Callable[[str], None]
) -> AllSizes:
    """Compares every layer at all sizes: by proof where JAX can trace it, else at points."""
    found: dict[str, Proof] = {}
    induction = Induction()
    for row in report.layers:
        progress(row.name)
        known = induction.known(row)
        found[row.name] = Proof("proved" if known else "skipped", fitting=known == "fitting")
    left = [row for row in report.layers if row.name not in skip]
    open_rows = [row for row in left if found[row.name].verdict != "proved"]
    if open_rows:
        count = min(MOST, max(LEAST, BUDGET // len(open_rows)))
        points = Sizes(report, skip).points(count, random)
        for row in open_rows:
            progress(row.name)
            found[row.name] = _checked(row, points)
    return _summary(report, found)


def _summary(report: Report, found: Mapping[str, Proof]) -> AllSizes:
    diagnostics = []
    for row in report.layers:
        if found[row.name].verdict == "disproved":
            text = f"'{row.name}': {found[row.name].counterexample}"
            diagnostics.append(Diagnostic("R006", "error", text, row.span, row.name))
    by: dict[Verdict, list[str]] = {}
    for name, proof in found.items():
        by.setdefault(proof.verdict, []).append(name)
    verdict: Verdict = "proved"
    for worse in ("skipped", "checked", "disproved"):
        verdict = worse if worse in by else verdict
    return AllSizes(verdict, _phrase(by, found), found, tuple(diagnostics))


def _phrase(by: Mapping[Verdict, list[str]], found: Mapping[str, Proof]) -> str:
    parts = []
    if "proved" in by:
        fitting = sum(found[name].fitting for name in by["proved"])
        where = f" ({fitting} of them for the sizes at which they fit)" if fitting else ""
        parts.append(f"{_layers(by['proved'])} proved by normal form{where}")
    if "checked" in by:
        points = min(found[name].points for name in by["checked"])
        names = ", ".join(by["checked"][:3]) + (", ..." if len(by["checked"]) > 3 else "")
        parts.append(f"{_layers(by['checked'])} checked exactly at {points} sizes ({names})")
    if "disproved" in by:
        parts.append(f"{_layers(by['disproved'])} disproved")
    if "skipped" in by:
        parts.append(f"{_layers(by['skipped'])} skipped")
    return "at all sizes: " + ", ".join(parts)


def _layers(names: Sequence[str]) -> str:
    return "1 layer" if len(names) == 1 else f"{len(names)} layers"


# --- exact evaluation at points ----------------------------------------------------


class _MismatchError(Exception):
    """Ranks or weights differ at every size."""


def _pairs(row: Row, traced: Traced) -> Iterator[Pair]:
    """Every derived number next to the real one; raises where they do not pair up."""
    yield from _zip("output", row.output, traced.output[1:])
    for kind, ours, real in (
        ("weight", row.weights, traced.weights),
        ("buffer", row.buffer_shapes, traced.buffers),
    ):
        if set(ours) != set(real):
            raise _MismatchError(f"{kind}s {sorted(real)}, derived {sorted(ours)}")
        for name, shape in ours.items():
            yield from _zip(f"{kind} {name}", shape, real[name].shape)


def _zip(what: str, ours: Shape, real: Sequence[Any]) -> Iterator[Pair]:
    if len(ours) != len(real):
        raise _MismatchError(f"{what} has {len(real)} axes, derived {len(ours)}")
    return ((what, a, b) for a, b in zip(ours, real, strict=True))


def _checked(row: Row, points: Sequence[Env]) -> Proof:
    memo: dict[tuple[Layer, tuple[Shape, ...]], Traced] = {}
    for env in points:
        here = row_at(row, env)
        key = (here.layer, here.input)
        try:
            if key not in memo:
                shapes = [(1, *shape) for shape in here.input]
                memo[key] = trace(here.layer, row.dialect, shapes)
            wrong = any(ours != real for _, ours, real in _pairs(here, memo[key]))
            real = f"{volume(memo[key].output[1:])}, with {_weights(memo[key])}"
        except _MismatchError as error:
            return Proof("disproved", 0, f"the real layer has {error}")
        except Exception:  # JAX does not run the layer at this size: the real run says why
            return Proof("skipped")
        if wrong:
            derived = f"{volume(here.output)}, with {_shapes(here.weights)}"
            at = ", ".join(f"{name} = {value}" for name, value in env.items())
            return Proof("disproved", 0, f"at {at} the real output is {real}; derived {derived}")
    return Proof("checked" if points else "skipped", len(points))


def _weights(traced: Traced) -> str:
    return _shapes({name: weight.shape for name, weight in traced.weights.items()})


def _shapes(weights: Mapping[str, Shape]) -> str:
    return ", ".join(f"{k} {volume(v)}" for k, v in weights.items()) or "no weights"
