"""The key: a spec, the questions it asks, and what each is worth."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from ..diagnostics import Diagnostic
from ..expr import nearest
from ..graph import Graph
from ..layers.base import Shape
from ..marking import Feedback, Marking, Points, Tolerance
from ..rows import Report
from ..source import Node, shorten
from .quantities import quantity
from .subjects import Subject, subjects

if TYPE_CHECKING:
    from ..network import Network

ONE = Fraction(1)
SAME = {"channels": "depth", "trainable": "params", "activations": "neurons",
        "activations_memory": "memory"}  # fmt: skip
Place = tuple[str | None, str]  # a layer (None: the network) and a quantity


class Question(NamedTuple):
    """One question: of which layer (None: the network), what, and how it is marked."""

    layer: str | None
    quantity: str
    points: Fraction = ONE
    tolerance: Tolerance | None = None
    partial: Fraction | bool = False
    feedback: Feedback = "full"
    asked: bool = True  # False: a student answered it of his own accord, for no points

    @property
    def title(self) -> str:
        return f"{self.layer or 'network'} {self.quantity.replace('_', ' ')}"


class Key(NamedTuple):
    """A derived spec as a key. Without questions of its own it asks what its sheets answer."""

    path: str
    name: str
    report: Report
    graph: Graph
    subjects: Mapping[str | None, Subject]
    questions: tuple[Question, ...]
    marking: Marking
    places: Mapping[str, Marking]  # of layers and groups
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def inputs(self) -> Mapping[str, Shape]:
        return self.report.input_shapes

    def question(self, layer: str | None, what: str, asked: bool = True) -> Question:
        """The question at a place, with its points and how it is marked."""
        own = self.places.get(layer, Marking()) if layer is not None else Marking()
        top = self.marking
        points = _points(layer, what, own.points, top.points)
        partial = own.partial if own.partial is not None else top.partial
        return Question(
            layer, what, points if asked else Fraction(0), own.tolerance or top.tolerance,
            partial or False, own.feedback or top.feedback or "full", asked,
        )  # fmt: skip

    def find(self, layer: str | None) -> str | None:
        """The layer that a sheet means; raises KeyError. Case and blanks do not matter."""
        if layer in self.subjects:
            return layer
        wanted = _plain(layer or "")
        close = [name for name in self.subjects if name and _plain(name) == wanted]
        if len(close) != 1:
            raise KeyError(layer)
        return close[0]

    def near(self, layer: str) -> str:
        known = [name for name in self.subjects if name]
        found = nearest(layer, known)
        return f": did you mean '{found}'?" if found else ""


class KeyRefusedError(Exception):
    """A key that cannot be used; `report` holds the diagnostics where there are any."""

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report


def canonical(name: str) -> str | None:
    """The name of a quantity, equal ones under one name; None where there is none.

    >>> canonical("Channels"), canonical("output shape"), canonical("color")
    ('depth', 'output', None)
    """
    found = quantity(name)
    return SAME.get(found.name, found.name) if found is not None else None


def read_key(network: "Network") -> Key:
    """The key that a spec states; raises `KeyRefusedError`."""
    report = network.derive()
    if report.totals is None or report.status() == 2:
        raise KeyRefusedError("the key cannot be read", report)
    spec, graph = network._spec, network.graph()
    places = {v.name: v.marking for v in graph.vertices} | {g.name: g.marking for g in graph.groups}
    key = Key(
        report.source.path, report.name, report, graph, subjects(network), (), spec.marking,
        places, tuple(d for d in report.diagnostics if d.code in ("A001", "A002")),
    )  # fmt: skip
    asked: dict[Place, None] = {}
    for vertex in graph.vertices:
        asked |= dict.fromkeys(_asked(vertex.name, vertex.expect, vertex.marking))
    for group in graph.groups:
        asked |= dict.fromkeys(_asked(group.name, group.expect, group.marking))
    asked |= dict.fromkeys(_asked(None, spec.expect, spec.marking))
    asked |= dict.fromkeys(_named(key))
    order = {name: i for i, name in enumerate(key.subjects)}
    places_in_order = sorted(asked, key=lambda place: order[place[0]])
    return key._replace(questions=tuple(key.question(*place) for place in places_in_order))


def _asked(layer: str | None, expect: Node | None, marking: Marking) -> Iterator[Place]:
    if expect is not None and expect.kind == "map":
        for name, _ in expect.pairs:
            found = canonical(name.text)
            if found is not None:
                yield layer, found
    elif expect is not None and expect.kind != "none":
        yield layer, "output"
    if marking.points is not None and layer is not None:
        for what in marking.points.quantities:
            found = canonical(what)
            if found is None:
                raise KeyRefusedError(f"points of {layer}: there is no quantity '{shorten(what)}'")
            yield layer, found


def _named(key: Key) -> Iterator[Place]:
    """The questions that the points at the top name: `{CONV1: {output: 2}, params: 1}`."""
    points = key.marking.points or Points()
    for name in points.quantities:
        found = canonical(name)
        if found is not None:
            yield None, found
        elif name not in key.subjects:
            message = f"points name '{shorten(name)}', which is no layer and no quantity"
            raise KeyRefusedError(message + key.near(name))
    for name, inside in points.layers.items():
        if name not in key.subjects:
            raise KeyRefusedError(f"points name no layer '{shorten(name)}'{key.near(name)}")
        for what in inside.quantities:
            found = canonical(what)
            if found is None:
                raise KeyRefusedError(f"points of {name}: there is no quantity '{shorten(what)}'")
            yield name, found


def _points(layer: str | None, what: str, own: Points | None, top: Points | None) -> Fraction:
    """The nearest points: by quantity before by layer before of the whole key; else 1."""
    own, top = own or Points(), top or Points()
    if layer is None:
        found = _of(top.quantities, what)
    else:
        inside = top.layers.get(layer, Points())
        candidates = (
            _of(own.quantities, what), own.each, _of(inside.quantities, what),
            top.quantities.get(layer) if canonical(layer) is None else None,
        )  # fmt: skip
        found = next((c for c in candidates if c is not None), None)
    return found if found is not None else top.each if top.each is not None else ONE


def _of(points: Mapping[str, Fraction], what: str) -> Fraction | None:
    return next((worth for name, worth in points.items() if canonical(name) == what), None)


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c not in " _-")
