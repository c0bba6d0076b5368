"""How a key marks its answers: `points`, `feedback`, `tolerance` and `partial` beside `expect`.

Each is written on a layer, on a block, or at the top for the whole key; the nearest one counts.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from .diagnostics import Problem
from .scope import Scope
from .source import Node, shorten

MARKING_KEYS = ("points", "feedback", "tolerance", "partial")
FEEDBACK = ("full", "verdict", "none")
MOST_POINTS = 1_000_000
NUMBER = {"type": ["number", "string"]}
SCHEMA: dict[str, dict[str, Any]] = {
    "points": {
        "description": "points of each answer here, or of each quantity; by default 1",
        "anyOf": [
            NUMBER,
            {"type": "object", "additionalProperties": {"anyOf": [NUMBER, {
                "type": "object", "additionalProperties": NUMBER}]}},
        ],
    },
    "feedback": {"enum": list(FEEDBACK), "description": "what a student is told; by default full"},
    "tolerance": {
        **NUMBER,
        "description": "how far a number may be off: 1%, 0.01 (of the number), or 5 (from 1 on)",
    },
    "partial": {
        "type": ["boolean", "number", "string"],
        "description": "true: the share of a volume's sizes that are right; 0.5: half the points "
        "for a volume that is partly right, or for one known mistake",
    },
}  # fmt: skip

Feedback = Literal["full", "verdict", "none"]


class Tolerance(NamedTuple):
    """How far a number may be off.

    >>> Tolerance(Fraction(1, 100), True).covers(34848, 34944)
    True
    """

    size: Fraction
    relative: bool

    def covers(self, given: Any, correct: Any) -> bool:
        allowed = self.size * abs(correct) if self.relative else self.size
        return bool(abs(given - correct) <= allowed)


class Points(NamedTuple):
    """Points of the answers at one place: of each, or by quantity, or by layer (at the top)."""

    each: Fraction | None = None
    quantities: Mapping[str, Fraction] = {}
    layers: Mapping[str, "Points"] = {}


class Marking(NamedTuple):
    """The marking at one place; None where nothing is said."""

    points: Points | None = None
    feedback: Feedback | None = None
    tolerance: Tolerance | None = None
    partial: Fraction | bool | None = None


NOTHING = Marking()


def read(given: Mapping[str, Node], scope: Scope) -> Marking:
    """The marking that these nodes state; raises `Problem` E006, E007 or E012.

    >>> read({"points": Node.of(2), "feedback": Node.of("verdict")}, Scope()).points.each
    Fraction(2, 1)
    """
    readers: dict[str, Callable[[Node, Scope], Any]] = {
        "points": _points, "feedback": _feedback, "tolerance": _tolerance, "partial": _partial,
    }  # fmt: skip
    found = {
        name: readers[name](node, scope)
        for name, node in given.items()
        if name in readers and node.kind != "none"
    }
    return Marking(**found) if found else NOTHING


def _points(node: Node, scope: Scope, deep: bool = True) -> Points:
    if node.kind != "map":
        return Points(_worth(node, scope))
    quantities: dict[str, Fraction] = {}
    layers: dict[str, Points] = {}
    for key, value in node.pairs:
        if value.kind == "map" and deep:
            layers[key.text] = _points(value, scope, deep=False)
        else:
            quantities[key.text] = _worth(value, scope)
    return Points(None, quantities, layers)


def _worth(node: Node, scope: Scope) -> Fraction:
    value = _number(node, scope, "points must be a number, such as 2 or 0.5")
    if not 0 <= value <= MOST_POINTS:
        message = f"points lie between 0 and {MOST_POINTS:,}, got {shorten(str(value))}"
        raise Problem("E006", message, node.span)
    return value


def _number(node: Node, scope: Scope, what: str) -> Fraction:
    value = scope.number(node, what) if node.kind in ("text", "value") else None
    if not isinstance(value, int | Fraction) or isinstance(value, bool):
        raise Problem("E006", f"{what}, got {node.describe()}", node.span)
    return Fraction(value)


def _feedback(node: Node, scope: Scope) -> Feedback:
    word = node.text.strip().lower()
    if node.kind == "text" and word in FEEDBACK:
        return word  # type: ignore[return-value]
    message = f"feedback is {', '.join(FEEDBACK[:-1])} or {FEEDBACK[-1]}, got {node.describe()}"
    raise Problem("E006", message, node.span)


def _tolerance(node: Node, scope: Scope) -> Tolerance:
    what = "tolerance must be a number, such as 1% or 0.01"
    percent = node.kind == "text" and node.text.strip().endswith("%")
    if percent:
        bare = Node("text", node.span)
        bare.text = node.text.strip()[:-1]
        size = _number(bare, scope, what) / 100
    else:
        size = _number(node, scope, what)
    if size < 0 or (percent and size > 1):
        raise Problem("E006", f"{what}, got {node.describe()}", node.span)
    return Tolerance(size, percent or size < 1)


def _partial(node: Node, scope: Scope) -> Fraction | bool:
    word = node.text.strip().lower() if node.kind == "text" else ""
    if word in ("true", "yes", "false", "no") or isinstance(node.value, bool):
        return word in ("true", "yes") or node.value is True
    share = _number(node, scope, "partial is true, false, or a share such as 0.5")
    if not 0 <= share <= 1:
        message = f"partial is a share from 0 to 1, got {node.describe()}"
        raise Problem("E006", message, node.span)
    return share
