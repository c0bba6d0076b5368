"""Reads one answer, however it is spelled. Bounded; nothing is evaluated as Python.

Names that the scope knows (the spec's symbols and `let` values) become what they stand for;
other names are kept, so that the answer is a formula to be compared as such.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from .. import expr, units
from ..diagnostics import Problem
from ..formula import Expr, FormulaLimit, Number
from ..scope import Scope
from ..source import Node, shorten
from . import spelling

Kind = Literal[
    "number", "figure", "formula", "volume", "list", "padding", "fit", "none", "unreadable"
]
MAX_TEXT = 1000
MAX_ITEMS = 64


class Answer(NamedTuple):
    """One answer as it was read.

    number: `value` is an exact number, or a closed form in the spec's symbols. figure:
    `figure` is a rounded number, perhaps with a unit. formula: `value` is an expression's
    tree with names of its own. volume and list: `value` is a tuple of these. padding: a word
    or pairs. fit: True or False. unreadable: `problem` says what was expected.
    """

    kind: Kind
    text: str
    value: Any = None
    figure: units.Figure | None = None
    problem: str = ""
    note: str = ""  # how it was read, where that is not obvious

    @property
    def shape(self) -> tuple[int, ...] | None:
        """A volume, or one number, as whole numbers of at least 1; None where it is neither."""
        parts = self.value if self.kind in ("volume", "list") else (self.value,)
        good = isinstance(parts, tuple) and all(type(n) is int and n >= 1 for n in parts)
        return parts if good and parts and self.kind in ("volume", "list", "number") else None


def read_answer(given: object, kind: str = "number", scope: Scope | None = None) -> Answer:
    """Reads an answer to a question of this kind (see `Quantity.kind`).

    `given` is text, a number, a list, true or false, or a spec's node.

    >>> read_answer("(5*5*3+1)*10").value, read_answer("34.9K").kind
    (760, 'figure')
    >>> read_answer("10x32x32 (channels first)", "volume").value
    (32, 32, 10)
    >>> read_answer("does not fit", "volume").value
    False
    >>> read_answer("a few hundred").problem
    "expected a number such as 760, 34.9K or (5*5*3+1)*10; cannot read 'a few hundred'"
    """
    text = ""
    try:
        plain = _plain(given)
        text = show(plain)
        return _Reader(kind, scope or Scope()).read(plain)._replace(text=text)
    except _Refused as refused:
        return Answer("unreadable", text or shown(given), problem=str(refused))


EXPECTED = {
    "number": "a number such as 760, 34.9K or (5*5*3+1)*10",
    "bytes": "an amount of memory such as 93 MB, 88.7 MiB or a number of bytes",
    "volume": "a volume such as 32x32x10, or 'does not fit'",
    "axes": "a number, or one for each axis such as 3x5",
    "fit": "true, false or 'does not fit'",
    "list": "a list of numbers such as [27648, 3]",
}


class _Refused(Exception):
    """What is wrong with an answer."""


def _plain(given: object) -> Any:
    """Text, numbers and lists of these; anything else is refused."""
    if isinstance(given, Node):
        given = _of_node(given)
    if isinstance(given, str):
        if len(given) > MAX_TEXT:
            raise _Refused(f"the answer is longer than {MAX_TEXT} characters")
        return given
    if isinstance(given, bool | int | Fraction | Expr) or given is None:
        if isinstance(given, int) and given.bit_length() > expr.MAX_BITS:
            raise _Refused("the number is too large")
        return given
    if isinstance(given, float):
        if given != given or given in (float("inf"), float("-inf")):
            raise _Refused("the answer is not a finite number")
        return int(given) if given == int(given) else repr(given)
    if isinstance(given, Sequence) and not isinstance(given, bytes | bytearray):
        if len(given) > MAX_ITEMS:
            raise _Refused(f"the answer lists more than {MAX_ITEMS} values")
        return [_inner(item) for item in given]
    raise _Refused(f"an answer is text, a number or a list, not {_what(given)}")


def _inner(item: object) -> Any:
    found = _plain(item)
    if isinstance(found, list) and any(isinstance(x, list) for x in found):
        raise _Refused("the lists are nested too deeply")
    return found


def _of_node(node: Node) -> object:
    if node.kind == "list":
        return node.items
    if node.kind == "text":
        return node.text
    if node.kind == "value":
        return node.value
    return None if node.kind == "none" else {}


def _what(given: object) -> str:
    return "a mapping" if isinstance(given, Mapping) or given == {} else type(given).__name__


def show(value: Any) -> str:
    """A plain answer as text for a report: one printable line."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(show(v) for v in value[:MAX_ITEMS]) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return shorten("" if value is None else str(value), 120)


def shown(given: object) -> str:
    """What was given, where it could not even be taken apart."""
    if isinstance(given, str):
        return shorten(given[:MAX_TEXT], 120)
    if isinstance(given, Node):
        return shorten(given.text[:MAX_TEXT], 120) if given.text else given.describe()
    if isinstance(given, int | float) and not isinstance(given, bool):
        return "a number"
    return f"<{_what(given)}>"


class _Reader:
    def __init__(self, kind: str, scope: Scope) -> None:
        self.kind, self.scope = kind, scope

    def refuse(self, given: object, why: str = "") -> _Refused:
        expected = EXPECTED.get(self.kind, EXPECTED["number"])
        reason = f": {why}" if why else ""
        return _Refused(f"expected {expected}; cannot read '{shorten(show(given))}'{reason}")

    def read(self, given: Any) -> Answer:
        if given is None or given == "" or (isinstance(given, str) and not given.strip()):
            raise _Refused("there is no answer")
        if isinstance(given, bool):
            if self.kind == "fit":
                return Answer("fit", "", given)
            raise self.refuse(given)
        if isinstance(given, str):
            word = spelling.phrase(given)
            if word in spelling.NO_FIT:
                return Answer("fit", "", False)
            if word in spelling.FITS and self.kind == "fit":
                return Answer("fit", "", word in spelling.TRUE)
            if word in spelling.NONE:
                return Answer("none", "")
        if self.kind == "fit":
            raise self.refuse(given)
        if isinstance(given, list):
            return self.listed(given)
        if self.kind == "volume":
            return self.volume(given)
        if self.kind in ("axes", "list"):
            return self.axes(given)
        return self.number(given)

    # --- lists and volumes ---------------------------------------------------------

    def listed(self, items: list[Any]) -> Answer:
        if not items:
            raise self.refuse("[]", "the list is empty")
        if self.kind in ("volume", "axes", "list"):
            if self.kind == "axes" and any(isinstance(item, list) for item in items):
                pairs = [item if isinstance(item, list) else [item, item] for item in items]
                values = tuple(tuple(self.value(x) for x in pair) for pair in pairs)
                return Answer("padding", "", values)
            if any(isinstance(item, list) for item in items):
                raise self.refuse(items, "a list of plain numbers is wanted")
            return Answer("volume" if self.kind == "volume" else "list", "",
                          tuple(self.value(item) for item in items))  # fmt: skip
        if len(items) == 1 and not isinstance(items[0], list):
            return self.number(items[0])
        raise self.refuse(items)

    def value(self, item: Any) -> Any:
        """One entry of a list: an exact number, a closed form, or a formula's tree."""
        found = self.number(item)
        if found.kind == "figure" and found.figure is not None:
            return _tidy(found.figure.value)
        return found.value

    def volume(self, given: Any) -> Answer:
        if not isinstance(given, str):
            return Answer("volume", "", (self.number(given).value,))
        text, order = spelling.channel_order(spelling.normal(given))
        parts = self.split(text)
        if parts is None:
            raise self.refuse(given)
        if len(parts) == 1 and (found := units.read(parts[0])) is not None:
            return Answer("volume", "", (_tidy(found.value),))
        sizes = tuple(self.value(part) for part in parts)
        if order == "first" and len(sizes) > 1:
            return Answer("volume", "", (*sizes[1:], sizes[0]), note="channels first")
        return Answer("volume", "", sizes)

    def split(self, text: str) -> list[str] | None:
        from .. import literals

        known = self.scope.known() | spelling.letters(text)
        try:
            parts = literals.split_volume(text, known, star=not spelling.arithmetic(text))
        except expr.ExprError as error:
            raise self.refuse(text, error.message) from None
        return None if parts is None else [part for part, _ in parts]

    def axes(self, given: Any) -> Answer:
        if not isinstance(given, str):
            return self.number(given)
        word = spelling.phrase(given)
        if word in ("same", "valid"):
            return Answer("padding", "", word)
        parts = self.split(spelling.normal(given))
        if parts is None:
            raise self.refuse(given)
        if len(parts) == 1:
            return self.number(given)
        return Answer("list", "", tuple(self.value(part) for part in parts))

    # --- numbers -------------------------------------------------------------------

    def number(self, given: Any) -> Answer:
        if isinstance(given, bool) or given is None or isinstance(given, list):
            raise self.refuse(given)
        if not isinstance(given, str):
            return Answer("number", "", _tidy(given))
        text = spelling.bare(spelling.normal(given))
        figure = units.read(text)
        if figure is not None:
            if figure.digit == 0:
                return Answer("number", "", _tidy(figure.value), figure)
            return Answer("figure", "", _tidy(figure.value), figure)
        sides = [self.expression(side, given) for side in text.split("=")]
        if len(sides) > 3:
            raise self.refuse(given)
        first = sides[-1]
        for side in sides[:-1]:
            if side.kind == first.kind == "number" and side.value != first.value:
                raise self.refuse(given, "the two sides of '=' differ")
        return first

    def expression(self, text: str, given: str) -> Answer:
        figure = units.read(text)
        if figure is not None:
            return Answer("number", "", _tidy(figure.value), figure)
        try:
            tree = expr.parse(text, implicit=True)
            free = [name for name in expr.names(tree) if self.scope.find(name) is None]
            if free:
                if any(not spelling.name(n) for n in free):
                    raise self.refuse(given)
                return Answer("formula", "", tree)
            return Answer("number", "", _tidy(expr.evaluate(tree, self.lookup)))
        except expr.ExprError as error:
            raise self.refuse(given, error.message if spelling.arithmetic(text) else "") from None
        except (FormulaLimit, ZeroDivisionError) as error:
            raise self.refuse(given, str(error)) from None
        except Problem as problem:
            raise self.refuse(given, problem.diagnostic.message) from None

    def lookup(self, name: str) -> Number:
        return lookup(self.scope)(name)


def lookup(scope: Scope) -> Callable[[str], Number]:
    """The values of names in a scope; KeyError for others."""

    def value(name: str) -> Number:
        found = scope.find(name)
        if found is None:
            raise KeyError(name)
        return scope.number(found) if isinstance(found, Node) else found

    return value


def _tidy(x: Any) -> Any:
    return x.numerator if isinstance(x, Fraction) and x.denominator == 1 else x
