"""All sizes at once: JAX's shape polymorphism against our closed forms, layer by layer.

Each layer is traced with symbolic inputs, which stand for our closed forms of the layers
before it; that its output equals our closed form then holds for the network by induction.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ..diagnostics import Diagnostic
from ..formula import Expr, Number, equal
from ..layers.base import Layer, Shape
from ..rows import Report, Row
from .dims import Dims
from .forward import volume
from .layer import Traced, trace
from .sizes import Env, Sizes, in_fields, row_at

BUDGET = 3000  # traces at numbers, over all the layers that need them
MOST, LEAST = 96, 12
Verdict = Literal["proved", "checked", "skipped", "disproved"]
Pair = tuple[str, Number, Any]  # what is compared, derived, real


class Proof(NamedTuple):
    """What is known of one layer at all sizes."""

    verdict: Verdict
    points: int = 0
    counterexample: str = ""


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
    known: dict[tuple[Any, ...], bool] = {}  # a layer met again on the same sizes is proved once
    for row in report.layers:
        progress(row.name)
        shapes = (*sorted(row.weights.items()), *sorted(row.buffer_shapes.items()))
        key = (row.layer, row.input, row.dialect.label, row.output, shapes)
        if key not in known:
            known[key] = _proved(row)
        found[row.name] = Proof("proved" if known[key] else "skipped")
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
        parts.append(f"{_layers(by['proved'])} proved by normal form")
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


# --- proof by normal form ----------------------------------------------------------


def _proved(row: Row) -> bool:
    """Whether JAX's symbolic shapes equal our closed forms for all values of the symbols."""
    try:
        dims, traced = _symbolic(row)
        pairs = list(_pairs(row, traced))
        return all(equal(ours, dims.read(real)) for _, ours, real in pairs)
    except Exception:  # what JAX cannot trace symbolically is checked at points
        return False


def _symbolic(row: Row) -> tuple[Dims, Traced]:
    """One trace with a JAX dimension for every closed form in the layer and its inputs."""
    dims = Dims()
    sizes = [n for shape in row.input for n in shape]
    for n in sizes:
        dims.require(n, 1)
    for w in row.layer.windows(row.input, row.dialect):
        if w.kind != "transpose":
            dims.require(w.padded - w.extent, 0)
    made = dims.make([*sizes, *in_fields(row.layer)])
    layer = row.layer.build({k: _swap(v, made) for k, v in row.layer.values().items()})
    shapes = [(1, *_swap(shape, made)) for shape in row.input]
    return dims, trace(layer, row.dialect, shapes)


def _swap(value: Any, made: Mapping[Number, Any]) -> Any:
    if isinstance(value, tuple):
        return tuple(_swap(v, made) for v in value)
    return made[value] if isinstance(value, Expr) else value


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


# --- exact evaluation at points ----------------------------------------------------


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
