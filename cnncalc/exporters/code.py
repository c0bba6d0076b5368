"""Constructor calls with numbers in them, and what many uses of one block have in common.

A block that is used often becomes one class: the calls of its uses are the same but for
numbers. The numbers of one place over all uses form a column; a column becomes a literal where
it is constant, else an expression in the block's arguments that gives every entry, else a
parameter of its own. So the generated source is right for every use by construction.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

NOTHING: Any = object()


class Arg(NamedTuple):
    """One argument; left out where it is `default` in every use."""

    name: str
    value: Any  # numbers, tuples of them, None, booleans; str is code as it stands
    keyword: bool = True
    default: Any = NOTHING


class Call(NamedTuple):
    """`fn(args)`: the constructor of a layer. `children` are further positional calls."""

    fn: str
    args: tuple[Arg, ...] = ()
    children: tuple[Any, ...] = ()


class Use(NamedTuple):
    """The constructor of use `number` of a class."""

    cls: Any
    number: int
    args: tuple[Arg, ...] = ()


class Loop(NamedTuple):
    """The same calls, one an iteration, of one skeleton."""

    bodies: tuple[Any, ...]


class Line(NamedTuple):
    """A statement: `text` holds {m} where the call stands (if there is one)."""

    text: str
    call: Any = None
    note: str = ""  # for a comment; uses may differ in it


class Lines(NamedTuple):
    """Statements in order."""

    lines: tuple[Any, ...]


Code = Call | Use | Loop | Line | Lines


def skeleton(code: Any) -> Any:
    """What two uses must have in common to be one class: everything but the numbers."""
    match code:
        case Call():
            args = tuple((a.name, _shape(a.value)) for a in code.args)
            return (code.fn, args, tuple(skeleton(c) for c in code.children))
        case Use():
            return ("use", id(code.cls), tuple((a.name, _shape(a.value)) for a in code.args))
        case Loop():
            return ("loop", skeleton(code.bodies[0]))
        case Line():
            return ("line", code.text, skeleton(code.call))
        case Lines():
            return ("lines", tuple(skeleton(c) for c in code.lines))
    return None


def loop(bodies: Sequence[Any]) -> Loop | None:
    """A loop over the bodies, or None where they differ in more than numbers."""
    first = skeleton(bodies[0])
    return Loop(tuple(bodies)) if all(skeleton(b) == first for b in bodies[1:]) else None


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shape(value: Any) -> Any:
    if is_number(value):
        return "#"
    return tuple(_shape(v) for v in value) if isinstance(value, tuple) else repr(value)


# --- columns ------------------------------------------------------------------------


class Column(NamedTuple):
    """The numbers (or tuples of them) of one place over all uses."""

    hint: str
    values: tuple[Any, ...]


class Slot(NamedTuple):
    at: int


class Text(NamedTuple):
    """An expression; `value` where it is constant."""

    text: str
    value: Any = NOTHING

    @property
    def factor(self) -> str:
        """The expression as a factor or term of another one."""
        plain = self.text.replace(".", "_").isidentifier() or self.value is not NOTHING
        return self.text if plain else f"({self.text})"


class Over(NamedTuple):
    """How a number of a loop's body depends on the iteration."""

    kind: str  # const, first, affine or table
    slots: tuple[Slot, ...]


class Frame(NamedTuple):
    """Code of many uses with slots where its numbers were."""

    code: Any
    args: tuple[tuple[Arg, Any], ...] = ()  # each argument, and its value with slots
    children: tuple["Frame", ...] = ()
    times: Slot | None = None
    overs: tuple[Over, ...] = ()  # of a loop: one a slot of its body
    values: tuple[Slot, ...] = ()  # of a use: one a parameter of its class


def resolve(points: Sequence[Any], columns: list[Column]) -> Frame:
    """The common frame of codes with one skeleton; their numbers go to `columns`."""
    code = points[0]
    match code:
        case Call():
            args = _arguments(points, columns)
            children = tuple(
                resolve([p.children[i] for p in points], columns) for i in range(len(code.children))
            )
            return Frame(code, args, children)
        case Use():
            params = code.cls.params
            slots = tuple(
                _add(columns, p.hint, [p.values[q.number] for q in points]) for p in params
            )
            return Frame(code, _arguments(points, columns), values=slots)
        case Loop():
            return _loop(points, columns)
        case Line():
            inner = () if code.call is None else (resolve([p.call for p in points], columns),)
            return Frame(code, children=inner)
        case Lines():
            count = len(code.lines)
            return Frame(
                code,
                children=tuple(
                    resolve([p.lines[i] for p in points], columns) for i in range(count)
                ),
            )
    raise TypeError(f"no code: {code!r}")


def _add(columns: list[Column], hint: str, values: Iterable[Any]) -> Slot:
    columns.append(Column(hint, tuple(values)))
    return Slot(len(columns) - 1)


def _arguments(points: Sequence[Any], columns: list[Column]) -> tuple[tuple[Arg, Any], ...]:
    found = []
    for i, arg in enumerate(points[0].args):
        found.append((arg, _slots(arg.name, [p.args[i].value for p in points], columns)))
    return tuple(found)


def _slots(hint: str, values: Sequence[Any], columns: list[Column]) -> Any:
    first = values[0]
    if is_number(first):
        return _add(columns, hint, values)
    if isinstance(first, tuple):
        return tuple(_slots(hint, [v[i] for v in values], columns) for i in range(len(first)))
    return first


def _loop(points: Sequence[Loop], columns: list[Column]) -> Frame:
    inner: list[Column] = []
    body = resolve([b for p in points for b in p.bodies], inner)
    counts = [len(p.bodies) for p in points]
    times = _add(columns, "depth", counts)
    overs = []
    for column in inner:
        rest = iter(column.values)
        runs = [[next(rest) for _ in range(count)] for count in counts]
        overs.append(_over(column.hint, runs, columns))
    return Frame(points[0], children=(body,), times=times, overs=tuple(overs))


def _over(hint: str, runs: Sequence[Sequence[Any]], columns: list[Column]) -> Over:
    starts = [run[0] for run in runs]
    if all(v == run[0] for run in runs for v in run):
        return Over("const", (_add(columns, hint, starts),))
    later = [run[1] if len(run) > 1 else None for run in runs]
    if all(v == run[1] for run in runs for v in run[1:]):
        ends = [a if b is None else b for a, b in zip(starts, later, strict=True)]
        return Over("first", (_add(columns, "in_" + hint.removeprefix("in_"), starts),
                              _add(columns, hint, ends)))  # fmt: skip
    numbers = all(is_number(v) for run in runs for v in run)
    if numbers and all(run[i] - run[0] == i * (run[1] - run[0])
                       for run in runs for i in range(1, len(run))):  # fmt: skip
        known = [run[1] - run[0] for run in runs if len(run) > 1]
        steps = [run[1] - run[0] if len(run) > 1 else known[0] for run in runs]
        return Over("affine", (_add(columns, hint, starts), _add(columns, "growth", steps)))
    return Over("table", (_add(columns, f"{hint}_list", [tuple(run) for run in runs]),))


# --- expressions ---------------------------------------------------------------------


def fit(values: Sequence[Any], known: Sequence[tuple[str, Sequence[int]]]) -> Text | None:
    """An expression in the `known` names that gives every value, the simplest first.

    >>> fit([64, 128, 256], [("c", [16, 32, 64])]).text
    '4 * c'
    >>> fit([5, 9, 4], [("a", [1, 2, 3]), ("b", [4, 7, 1])]).text
    'a + b'
    """
    if all(v == values[0] and type(v) is type(values[0]) for v in values):
        return Text(show(values[0]), values[0])
    if not all(isinstance(v, int) for v in values):
        return None
    for name, column in known:
        if list(column) == list(values):
            return Text(name)
    for name, column in known:
        text = _multiple(values, name, column)
        if text:
            return Text(text)
    return _sum(values, known)


def _multiple(values: Sequence[int], name: str, column: Sequence[int]) -> str:
    a, b = values[0], column[0]
    for k in range(2, 33):
        if a == k * b and all(v == k * c for v, c in zip(values, column, strict=True)):
            return f"{k} * {name}"
        if b == k * a and all(c == k * v for v, c in zip(values, column, strict=True)):
            return f"{name} // {k}"
    return ""


def _sum(values: Sequence[int], known: Sequence[tuple[str, Sequence[int]]]) -> Text | None:
    points = len(set(zip(values, *(c for _, c in known), strict=True)))
    for i in range(len(known)):
        total = [0] * len(values)
        for j in range(i, len(known)):
            total = [t + c for t, c in zip(total, known[j][1], strict=True)]
            if j > i and total == list(values):
                return Text(" + ".join(name for name, _ in known[i : j + 1]))
    if points < 3:
        return None
    for name, column in known:
        rest = [v - c for v, c in zip(values, column, strict=True)]
        if rest == rest[:1] * len(rest) and abs(rest[0]) < 8:
            return Text(f"{name} {'-' if rest[0] < 0 else '+'} {abs(rest[0])}")
        for other, second in known:
            if other != name and (rest == list(second) or _multiple(rest, other, second)):
                term = other if rest == list(second) else _multiple(rest, other, second)
                return Text(f"{name} + {term}")
    return None


def show(value: Any) -> str:
    """A literal in source."""
    if isinstance(value, tuple):
        inside = ", ".join(show(v) for v in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value) if not isinstance(value, str) else value


# --- classes --------------------------------------------------------------------------


class Param(NamedTuple):
    """A parameter of a class: its name, and its value in every use."""

    name: str
    hint: str
    values: tuple[Any, ...]


class Class:
    """All uses of one block: their codes, and what is found to be common."""

    def __init__(self, name: str, key: Any, note: str = "") -> None:
        self.name, self.key, self.note = name, key, note
        self.codes: list[Any] = []
        self.known: list[dict[str, int]] = []  # argument values of each use
        self.shapes: list[Sequence[tuple[Any, ...]]] = []  # of each use, for comments
        self.params: list[Param] = []
        self.texts: list[Text] = []
        self.frame: Frame | None = None

    def use(self, code: Any, known: dict[str, int], shapes: Sequence[Any] = ()) -> int:
        self.codes.append(code)
        self.known.append(known)
        self.shapes.append(shapes)
        return len(self.codes) - 1

    def settle(self, rename: Callable[[str], str]) -> None:
        """Finds the parameters; `rename` gives a free identifier for a wanted one."""
        columns: list[Column] = []
        self.frame = resolve(self.codes, columns)
        env = self._environment()
        names = {name: rename(name) for name, _ in env}
        found: dict[str, Param] = {}
        extra: dict[tuple[Any, ...], Text] = {}
        for column in columns:
            text = fit(column.values, env)
            if text is None and column.values in extra:
                text = extra[column.values]
            elif text is None:
                name = rename(column.hint)
                text = extra[column.values] = Text(name)
                found[name] = Param(name, column.hint, column.values)
            elif text.value is NOTHING:
                text = self._renamed(text, env, names, found)
            self.texts.append(text)
        order = [names[name] for name, _ in env]
        self.params = sorted(found.values(), key=lambda p: order.index(p.name)
                             if p.name in order else len(order))  # fmt: skip

    def _environment(self) -> list[tuple[str, tuple[int, ...]]]:
        names = dict.fromkeys(n for known in self.known for n in known)
        found = []
        for name in names:
            if all(name in known for known in self.known):
                values = tuple(known[name] for known in self.known)
                if len(set(values)) > 1:
                    found.append((name, values))
        return found

    def _renamed(
        self, text: Text, env: Sequence[tuple[str, tuple[int, ...]]], names: dict[str, str],
        found: dict[str, Param],
    ) -> Text:  # fmt: skip
        words = text.text.split(" ")
        for i, word in enumerate(words):
            for name, values in env:
                if word == name:
                    words[i] = names[name]
                    found.setdefault(names[name], Param(names[name], name, values))
                    break
        return Text(" ".join(words))

    def comment(
        self, index: int, extra: Sequence[tuple[str, Sequence[int]]] = ()
    ) -> list[str] | None:
        """Shape number `index` of this class's codes, where it can be said of all uses."""
        shapes = [s[index] for s in self.shapes]
        if len({len(s) for s in shapes}) != 1:
            return None
        own = [(p.name, p.values) for p in self.params]
        others = list(extra)
        parts = []
        for dims in zip(*shapes, strict=True):
            if len({str(d) for d in dims}) == 1:
                parts.append(str(dims[0]))
                continue
            known = [(n, v) for n, v in (*own, *others) if all(type(x) is int for x in v)]
            text = fit(dims, known) if all(isinstance(d, int) for d in dims) else None
            if text is None:
                return None
            parts.append(text.text)
            others.sort(key=lambda e: e[0] in parts[-1].split())  # H, W where both are equal
        return parts
