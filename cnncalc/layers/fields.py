"""What a field of a layer accepts: read from a node, checked, described as JSON Schema.

The parser, the Python constructors and `cnncalc schema` all use these declarations.
"""

from fractions import Fraction
from typing import Any

from .. import expr, formula
from ..diagnostics import Problem
from ..formula import Expr, Number
from ..scope import Scope
from ..source import Node, shorten

Dim = int | Expr
Sizes = Dim | tuple[Dim, ...]
Pad = str | Dim | tuple[Dim, ...] | tuple[tuple[Dim, Dim], ...]

LIMIT = 10**12
EXPRESSION: dict[str, Any] = {"type": ["integer", "number", "string"]}
MISSING: Any = object()
TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "on", "On"})
FALSE = frozenset({"false", "False", "FALSE", "no", "No", "off", "Off"})


class Field:
    """One declared field: its default and the reading of its value."""

    what = "a value"
    schema: dict[str, Any] = {}

    def __init__(self, default: Any = MISSING, alias: str = "") -> None:
        self.default = default
        self.alias = alias  # the name in a spec, where it is not the attribute's
        self.attribute = ""
        self.name = ""

    @property
    def required(self) -> bool:
        return self.default is MISSING

    def read(self, node: Node, scope: Scope) -> Any:
        raise NotImplementedError

    def text(self, value: Any) -> str:
        """A value as a spec writes it, where that is not plain from the value; else empty."""
        return ""

    def refuse(self, node: Node, why: str = "") -> Problem:
        message = f"{self.name or 'this'} must be {self.what}, got {node.describe()}"
        return Problem("E006", message + (f": {why}" if why else ""), node.span)

    def number(self, node: Node, scope: Scope, minimum: int | None = None) -> Number:
        return checked(scope.number(node, f"{self.name} as a number"), node, self, minimum)

    def axes(self, node: Node, scope: Scope, minimum: int | None, star: bool) -> list[Number]:
        """The entries of a list or of a literal such as `5x3`; one entry for a plain number."""
        if node.kind == "list":
            if not node.items:
                raise self.refuse(node, "the list is empty")
            return [self.number(scope.resolve(item), scope, minimum) for item in node.items]
        if node.kind == "text":
            parts = scope.split(node, star)
            if parts is not None and len(parts) > 1:
                values = [scope.evaluate(text, node, at) for text, at in parts]
                return [checked(value, node, self, minimum) for value in values]
        return [self.number(node, scope, minimum)]


def checked(value: Number, node: Node, field: Field, minimum: int | None) -> Number:
    """A whole number of at least `minimum`; closed forms pass unless provably less."""
    if minimum is None:
        return value
    whole = value if isinstance(value, int) else None
    if isinstance(value, Fraction):
        what = node.describe() if str(value) == node.text else f"{node.describe()} = {value}"
        raise Problem("E006", f"{field.name} must be a whole number, got {what}", node.span)
    if whole is not None and whole < minimum:
        raise Problem("E006", f"{field.name} must be at least {minimum}, got {whole}", node.span)
    if whole is not None and whole > LIMIT:
        raise Problem("E013", f"{field.name} is larger than {LIMIT:,}", node.span)
    if isinstance(value, Expr):
        top = formula.upper_bound(value)
        if top is not None and top < minimum:
            message = f"{field.name} must be at least {minimum}, but {value} is at most {top}"
            raise Problem("E006", message, node.span)
    return value


class Count(Field):
    """A whole number, or a closed form for one."""

    what = "a whole number"
    schema = EXPRESSION

    def __init__(self, default: Any = MISSING, minimum: int = 1) -> None:
        super().__init__(default)
        self.minimum = minimum

    def read(self, node: Node, scope: Scope) -> Any:
        return self.number(node, scope, self.minimum)


class Rational(Field):
    """An exact number: a rate, an epsilon, a scale."""

    what = "a number"
    schema = EXPRESSION

    def __init__(
        self, default: Any = MISSING, low: Fraction | int | None = None, below: int | None = None
    ) -> None:
        super().__init__(default)
        self.low, self.below = low, below

    def read(self, node: Node, scope: Scope) -> Any:
        value = self.number(node, scope)
        if isinstance(value, int | Fraction):
            if self.low is not None and value < self.low:
                raise self.refuse(node, f"it must be at least {self.low}")
            if self.below is not None and value >= self.below:
                raise self.refuse(node, f"it must be less than {self.below}")
        return value


class PerAxis(Field):
    """One value for every spatial axis, or one an axis: `3`, `5x3`, `[5, 3]`."""

    what = "a whole number, or one an axis such as 5x3 or [5, 3]"
    schema = {"anyOf": [EXPRESSION, {"type": "array", "items": EXPRESSION, "minItems": 1}]}

    def __init__(
        self,
        default: Any = MISSING,
        minimum: int = 1,
        rational: bool = False,
        alias: str = "",
    ) -> None:
        super().__init__(default, alias)
        self.minimum = minimum
        self.rational = rational

    def read(self, node: Node, scope: Scope) -> Any:
        minimum = None if self.rational else self.minimum
        values = self.axes(node, scope, minimum, star=False)
        if self.rational and any(formula.compare(v, 0) in (0, -1) for v in values):
            raise self.refuse(node, "it must be positive")
        return tuple(values) if node.kind == "list" or len(values) > 1 else values[0]


class Padding(PerAxis):
    """Zero padding: a number, one an axis, `same`, `valid`, or pairs `[[1, 2], [1, 2]]`."""

    what = "a number, one an axis, 'same', 'valid', or a pair per axis [[top, bottom], ...]"
    WORDS = ("same", "valid", "same_lower")
    schema = {
        "anyOf": [
            {"enum": list(WORDS)},
            EXPRESSION,
            {
                "type": "array",
                "minItems": 1,
                "items": {
                    "anyOf": [
                        EXPRESSION,
                        {"type": "array", "items": EXPRESSION, "minItems": 2, "maxItems": 2},
                    ]
                },
            },
        ]
    }

    def __init__(self, default: Any = MISSING, words: bool = True) -> None:
        super().__init__(default, minimum=0)
        self.words = words

    def read(self, node: Node, scope: Scope) -> Any:
        word = node.text.strip().lower() if node.kind == "text" else ""
        if word in self.WORDS or word == "same_upper":
            if not self.words:
                raise self.refuse(node, "here only numbers make sense")
            return "same" if word == "same_upper" else word
        if node.kind == "text" and word.isalpha() and scope.find(node.text.strip()) is None:
            near = expr.nearest(word, self.WORDS)
            if near:
                raise self.refuse(node, f"did you mean '{near}'?")
        if node.kind == "list" and any(item.kind == "list" for item in node.items):
            return tuple(self._pair(item, scope) for item in node.items)
        return super().read(node, scope)

    def _pair(self, node: Node, scope: Scope) -> tuple[Any, Any]:
        if node.kind != "list" or len(node.items) != 2:
            raise self.refuse(node, "each axis takes two numbers, [before, after]")
        before, after = (self.number(item, scope, 0) for item in node.items)
        return before, after


class Flag(Field):
    what = "true or false"
    schema = {"type": "boolean"}

    def read(self, node: Node, scope: Scope) -> Any:
        if node.kind == "value" and isinstance(node.value, bool):
            return node.value
        if node.text in TRUE:
            return True
        if node.text in FALSE:
            return False
        raise self.refuse(node)


class Choice(Field):
    def __init__(self, options: tuple[str, ...], default: Any = MISSING) -> None:
        super().__init__(default)
        self.options = options
        self.what = " or ".join(options)
        self.schema = {"enum": list(options)}

    def read(self, node: Node, scope: Scope) -> Any:
        if node.text in self.options and node.kind == "text":
            return node.text
        near = expr.nearest(node.text, self.options)
        raise self.refuse(node, f"did you mean '{near}'?" if near else "")


class Axes(Field):
    """A list of axes by number, the batch not counted: 0 is the first, -1 the channels."""

    what = "a list of axis numbers"
    schema = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}

    def read(self, node: Node, scope: Scope) -> Any:
        items = node.items if node.kind == "list" else [node]
        values = [self.number(item, scope, -8) for item in items]
        if not values or not all(isinstance(v, int) and v <= 8 for v in values):
            raise self.refuse(node)
        return tuple(values)


class Indices(Field):
    """One position or a list of them, counted from 0, or from the end where negative."""

    what = "a position or a list of positions"
    schema = {"anyOf": [EXPRESSION, {"type": "array", "items": EXPRESSION, "minItems": 1}]}
    MOST = 100_000

    def read(self, node: Node, scope: Scope) -> Any:
        if node.kind != "list":
            return self.number(node, scope, -LIMIT)
        if not node.items or len(node.items) > self.MOST:
            raise self.refuse(node, f"it must name between 1 and {self.MOST:,}")
        return tuple(self.number(scope.resolve(item), scope, -LIMIT) for item in node.items)


class Ranges(Field):
    """One range an axis from the first: `start:stop:step`, each part optional, as in Python."""

    what = "a list of ranges such as [0::2, 1:-1]"
    schema = {"anyOf": [EXPRESSION, {"type": "array", "items": EXPRESSION, "minItems": 1}]}

    def read(self, node: Node, scope: Scope) -> Any:
        if node.kind == "none":
            return None
        items = node.items if node.kind == "list" else [node]
        if not items:
            raise self.refuse(node, "the list is empty")
        return tuple(self._range(scope.resolve(item), scope) for item in items)

    def text(self, value: Any) -> str:
        """
        >>> Ranges().text(((0, None, 2), (1, -1, 1)))
        '[0::2, 1:-1]'
        """
        if value is None:
            return ""
        parts = [(a, "" if b is None else b, "" if c == 1 else f":{c}") for a, b, c in value]
        return f"[{', '.join(f'{a}:{b}{c}' for a, b, c in parts)}]"

    def _range(self, node: Node, scope: Scope) -> tuple[Any, Any, Any]:
        parts = node.text.split(":") if node.kind == "text" else []
        if not 2 <= len(parts) <= 3:
            raise self.refuse(node, "a range has colons: 2:5, 1:-1, 0::2, or : for all")
        at, found = 0, []
        for part in parts:
            given = scope.evaluate(part, node, at) if part.strip() else None
            found.append(None if given is None else checked(given, node, self, -LIMIT))
            at += len(part) + 1
        start, stop, step = (*found, None)[:3]
        step = 1 if step is None else checked(step, node, self, 1)
        return 0 if start is None else start, stop, step


class Index(Field):
    """A whole number that may be negative, counted from the end as in NumPy."""

    what = "a whole number"
    schema = EXPRESSION

    def read(self, node: Node, scope: Scope) -> Any:
        if node.kind == "none":
            return None
        return self.number(node, scope, -LIMIT)


class Volume(Field):
    """A volume literal, channels last: `32x32x3`, `[32, 32, 3]`, `3072`."""

    what = "a volume such as 32x32x3"
    schema = {"anyOf": [EXPRESSION, {"type": "array", "items": EXPRESSION, "minItems": 1}]}

    def __init__(self, default: Any = MISSING, minimum: int = 1) -> None:
        super().__init__(default)
        self.minimum = minimum

    def read(self, node: Node, scope: Scope) -> Any:
        if node.kind not in ("text", "list", "value"):
            raise self.refuse(node)
        return tuple(self.axes(node, scope, self.minimum, star=True))


class Table(Field):
    """For each filter the list of input maps it reads, counted from 0."""

    what = "a list with, for each filter, the list of input maps it reads"
    schema = {
        "type": "array",
        "items": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
    }

    def read(self, node: Node, scope: Scope) -> Any:
        if node.kind == "none":
            return None
        if node.kind != "list" or not node.items:
            raise self.refuse(node)
        return tuple(self._row(row, scope) for row in node.items)

    def _row(self, row: Node, scope: Scope) -> tuple[int, ...]:
        if row.kind != "list" or not row.items:
            raise self.refuse(row, "each filter needs at least one input map")
        maps = [self.number(item, scope, 0) for item in row.items]
        if not all(isinstance(m, int) for m in maps) or len(set(maps)) != len(maps):
            raise self.refuse(row, "maps are distinct whole numbers from 0")
        return tuple(int(str(m)) for m in maps)


class Text(Field):
    what = "a word"
    schema = {"type": "string"}

    def read(self, node: Node, scope: Scope) -> Any:
        if node.kind not in ("text", "value"):
            raise self.refuse(node)
        return shorten(node.text, 200)
